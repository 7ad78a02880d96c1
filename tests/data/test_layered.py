"""Laws of the view prior's training samples."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from humanlrm.data.augment import hide
from humanlrm.data.layered import LayeredDataset, build_layered_sample, is_usable
from humanlrm.data.records import ShardError
from humanlrm.data.render.shoot import render_subject
from humanlrm.data.settings import RenderSettings
from humanlrm.data.shards import ShardFolder, write_shard
from humanlrm.frame import project_ndc

SETTINGS = RenderSettings(views=2, points=30, cropped=0, own_mask=1, occluded=0, holding=0)


@pytest.fixture(scope="module")
def view(person, detector):
    return render_subject(person, detector, SETTINGS, seed=3).views[0]


def test_equal_seeds_give_equal_samples_of_a_folder(person, detector, tmp_path):
    subject = render_subject(person, detector, SETTINGS, seed=3)
    write_shard(tmp_path / "a.tar", [("a", subject)])
    first, second = (LayeredDataset(ShardFolder(tmp_path), seed=1, image_px=64) for _ in range(2))
    for index in range(4):
        for a, b in zip(first[index], second[index], strict=True):
            torch.testing.assert_close(a, b)
    assert not torch.equal(first[0].photo, first[1].photo)


def test_a_folder_without_whole_people_is_refused(person, detector, tmp_path):
    subject = render_subject(person, detector, SETTINGS, seed=3)
    views = [replace(view, layers=None, head_layers=None) for view in subject.views]
    write_shard(tmp_path / "a.tar", [("a", replace(subject, views=views))])
    with pytest.raises(ShardError, match="layers of a whole person"):
        LayeredDataset(ShardFolder(tmp_path), seed=1)[0]


def test_the_photo_shows_the_front_layer_of_the_sample(view):
    """Of squares around heads as well as of whole crops, mirrored or not."""
    zooms = set()
    for seed in range(24):
        sample = build_layered_sample(view, view.layers, view.head_layers, 64, np.random.default_rng(seed))
        zooms.add(float(sample.zoom))
        shown = sample.photo[3] > 0.9
        if shown.sum() > 40:
            gap = (sample.photo[:3] - sample.layers[:3]).abs().mean(0)[shown]
            assert gap.median() < 0.12, seed
    assert zooms == {1.0, 4.0}


def test_landmarks_follow_mirroring(view):
    for seed in range(12):
        sample = build_layered_sample(view, view.layers, None, 64, np.random.default_rng(seed))
        columns = torch.linspace(-1, 1, 64)
        middle = (sample.layers[3].sum(0) * columns).sum() / sample.layers[3].sum()
        assert project_ndc(sample.landmarks)[:, 0].mean() == pytest.approx(float(middle), abs=0.12)


def test_views_that_cut_the_person_off_are_not_used(view):
    assert is_usable(view, view.layers)
    assert not is_usable(view, None)
    low = view.landmarks.copy()
    low[3, 1] -= 2
    assert not is_usable(replace(view, landmarks=low), view.layers)
    low[3] = np.nan
    assert not is_usable(replace(view, landmarks=low), view.layers)


def test_hiding_removes_parts_of_the_person_and_adds_none(view):
    whole = np.dstack([view.rgb, view.alpha, view.known]).astype(np.float32) / 255
    shares = []
    for seed in range(40):
        image = hide.hidden(whole, np.random.default_rng(seed))
        assert (image[..., 3] <= whole[..., 3]).all()
        shares.append(image[..., 3].sum() / whole[..., 3].sum())
    assert min(shares) < 0.5
    assert 0.4 < np.mean(shares) < 0.95
    assert (whole[..., 3] > 0).any()
