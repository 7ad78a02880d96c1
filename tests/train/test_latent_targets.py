"""Laws of the teacher's cached latents, and of the pairs that are made with them."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from painted import subject
from tiny_diffusion import tiny_lrm

from humanlrm.camera import Cameras
from humanlrm.data.augment.hide import hidden
from humanlrm.data.records import ShardError
from humanlrm.data.shards import ShardFolder, write_shard
from humanlrm.diffusion.latent.denoiser import Denoiser, tiny_denoiser
from humanlrm.frame import canonical_camera
from humanlrm.train.latent.pairs import Pairs, collate_pairs, less_sure
from humanlrm.train.latent.targets import LatentError, LatentFolder, clean_views, fingerprint, write_latents


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("people")
    write_shard(folder / "part" / "a.tar", [("00000001", subject(1)), ("00000002", subject(2))])
    write_shard(folder / "b.tar", [("00000001", subject(3, views=2))])
    return folder


@pytest.fixture(scope="module")
def teacher():
    return tiny_lrm()


@pytest.fixture(scope="module")
def latents(data, teacher, tmp_path_factory):
    folder = tmp_path_factory.mktemp("latents")
    write_latents(teacher, data, folder, views=3)
    return folder


def test_the_first_view_is_canonical_and_others_see_the_same_point(data):
    shards = ShardFolder(data)
    index = next(i for i, entry in enumerate(shards.entries) if entry.shard.name == "a.tar")
    image, cameras = clean_views(shards, index, first=1, count=3)
    one = canonical_camera(64)
    torch.testing.assert_close(cameras.w2c[0], one.w2c)
    assert image.shape == (3, 5, 64, 64)
    assert bool((image[:, 4] == 1).all())
    point = np.array([0.2, -0.3, 0.1, 1.0])
    frames = [shards.load(index, view)[0].to_frame for view in (1, 0, 2)]
    in_first = torch.from_numpy((frames[0] @ point)[None, :3]).float()
    for view, frame in enumerate(frames):
        seen = one.project(torch.from_numpy((frame @ point)[None, :3]).float())[0, :2]
        through = Cameras(cameras.K[view], cameras.w2c[view], cameras.size_px).project(in_first)[0, :2]
        torch.testing.assert_close(through, seen, atol=1e-3, rtol=0)


@pytest.mark.parametrize("flags", [{}, {"pixel_features": True, "depth_prior": True}], ids=["plain", "pixels"])
def test_reconstruction_from_the_cached_latent_equals_the_teachers(flags, data, tmp_path):
    teacher = tiny_lrm(**flags)
    write_latents(teacher, data, tmp_path, views=3)
    shards, cached = ShardFolder(data), LatentFolder(tmp_path, teacher)
    assert len(cached) == 8
    index = next(i for i, entry in enumerate(shards.entries) if entry.shard.name == "a.tar")
    image, cameras = clean_views(shards, index, first=1, count=3)
    batch = Cameras(cameras.K[None], cameras.w2c[None], cameras.size_px)
    first = Cameras(cameras.K[None, :1], cameras.w2c[None, :1], cameras.size_px)
    points = torch.rand(1, 200, 3) * 2 - 1
    with torch.no_grad():
        theirs = teacher(image[None], None, None, batch)
        given = teacher(image[None, :1], cameras=first).inputs
        ours = teacher.decoder.from_latent(cached["part/a", "00000001", 1][None], given)
        expected, found = teacher.field(theirs, points), teacher.field(ours, points)
        other = teacher.decoder.from_latent(cached["part/a", "00000001", 2][None], given)
    torch.testing.assert_close(ours.xy, theirs.xy, rtol=0, atol=1e-6)
    torch.testing.assert_close(found.sdf, expected.sdf, rtol=0, atol=1e-5)
    torch.testing.assert_close(found.rgb, expected.rgb, rtol=0, atol=1e-5)
    assert not torch.allclose(teacher.field.distance(other, points), expected.sdf, atol=5e-5)


def test_statistics_make_latents_of_mean_0_and_deviation_1(latents, teacher):
    cached = LatentFolder(latents)
    mean, scale = cached.statistics()
    everyone = torch.stack([cached[place] for place in cached._places])
    network = Denoiser(replace(tiny_denoiser(), mean=mean, scale=scale))
    normal = network.normalised(everyone).transpose(0, 2).flatten(2)
    torch.testing.assert_close(normal.mean(-1), torch.zeros(8, 3), atol=1e-3, rtol=0)
    torch.testing.assert_close(normal.std(-1), torch.ones(8, 3), atol=2e-3, rtol=0)


def test_latents_that_are_there_are_not_made_again_and_those_that_lack_are(data, latents, teacher):
    files = sorted(latents.rglob("*.safetensors"))
    assert [f.relative_to(latents).as_posix() for f in files] == ["b.safetensors", "part/a.safetensors"]
    content = files[1].read_bytes()
    files[1].unlink()
    before = files[0].stat().st_mtime_ns
    write_latents(teacher, data, latents, views=3)
    assert files[0].stat().st_mtime_ns == before
    assert files[1].read_bytes() == content
    assert list(latents.rglob("*.partial")) == []


def test_another_teachers_latents_are_refused(data, latents, teacher):
    other = tiny_lrm()
    with torch.no_grad():
        other.field.sdf.bias.add_(1e-3)
    assert fingerprint(other) != fingerprint(teacher) == fingerprint(tiny_lrm())
    with pytest.raises(LatentError, match="another teacher"):
        LatentFolder(latents, other)
    with pytest.raises(LatentError, match="another folder"):
        write_latents(other, data, latents, views=3)
    with pytest.raises(LatentError, match="saw 3 views, not 2"):
        write_latents(teacher, data, latents, views=2)


def test_damaged_or_missing_latents_are_named(tmp_path, latents):
    with pytest.raises(LatentError, match="no latents"):
        LatentFolder(tmp_path)
    (tmp_path / "x.safetensors").write_bytes((latents / "b.safetensors").read_bytes()[:100])
    with pytest.raises(LatentError, match=r"x\.safetensors.*delete it"):
        LatentFolder(tmp_path)
    with pytest.raises(LatentError, match="subject 00000001, photo 9 of b"):
        LatentFolder(latents)["b", "00000001", 9]


def test_a_person_without_target_pictures_is_reported_and_left_out(tmp_path, teacher):
    old = subject(1)
    old = replace(old, views=[replace(view, target=None) for view in old.views])
    write_shard(tmp_path / "data" / "a.tar", [("00000001", old), ("00000002", subject(2))])
    with pytest.raises(ShardError, match="render the people again"):
        clean_views(ShardFolder(tmp_path / "data"), 0, 0, 2)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        write_latents(teacher, tmp_path / "data", tmp_path / "latents")
    assert len(told) == 3
    assert len(LatentFolder(tmp_path / "latents")) == 3


# ---- pairs


def test_every_pass_visits_each_photo_once_with_its_own_latent(data, latents):
    cached = LatentFolder(latents)
    pairs = Pairs(data, cached, image_px=64, seed=3)
    assert len(pairs) == 8
    for start in (0, 8):
        found = torch.stack([pairs[start + k].latent for k in range(8)])
        wanted = torch.stack([cached[place] for place in cached._places])
        assert bool(((found[:, None] == wanted).flatten(2).all(-1).sum(1) == 1).all())
        assert bool(((found[:, None] == wanted).flatten(2).all(-1).sum(0) == 1).all())


def test_a_pair_is_the_same_every_time_and_hides_something(data, latents):
    make = lambda share: Pairs(data, LatentFolder(latents), 64, seed=1, hidden_share=share)  # noqa: E731
    one, two, open_air = make(1.0), make(1.0), make(0.0)
    for k in range(4):
        assert torch.equal(one[k].inputs.image, two[k].inputs.image)
        assert torch.equal(one[k].inputs.landmarks, two[k].inputs.landmarks)
        assert one[k].inputs.image[3].sum() < open_air[k].inputs.image[3].sum()
    shown, whole = (sum(float(pairs[k].inputs.image[3].sum()) for k in range(4)) for pairs in (one, open_air))
    assert shown < 0.95 * whole
    batch = collate_pairs([one[0], one[1]])
    assert batch.inputs.image.shape == (2, 5, 64, 64)
    assert batch.latent.shape == (2, 3, 8, 8, 8)


def test_hiding_takes_part_of_the_person_away_and_adds_nothing(data, latents):
    image = Pairs(data, LatentFolder(latents), 64, hidden_share=0)[0].inputs.image.numpy().transpose(1, 2, 0)
    shares = []
    for seed in range(20):
        left = hidden(image, np.random.default_rng(seed))
        shares.append((left[..., 3] > 0.5).sum() / (image[..., 3] > 0.5).sum())
        assert bool((left[..., 3:] <= image[..., 3:]).all())
    assert 0.05 < min(shares) < max(shares) < 1
    assert np.mean(shares) < 0.9


def test_landmarks_are_less_sure_where_nothing_is_seen_and_untouched_elsewhere(data, latents):
    given = Pairs(data, LatentFolder(latents), 64, hidden_share=0)[0].inputs
    image = given.image.clone()
    image[3, :] = 1
    assert torch.equal(less_sure(given.landmarks, image, np.random.default_rng(0)), given.landmarks)
    image[3, :] = 0
    found = less_sure(given.landmarks, image, np.random.default_rng(0))
    assert float(found[:, 3].max()) <= 0.3
    assert 0 < int((found[:, 3] == 0).sum()) < 12
    assert bool((found[found[:, 3] == 0] == 0).all())


def test_latents_of_other_people_are_refused(latents, tmp_path):
    write_shard(tmp_path / "c.tar", [("00000001", subject(1))])
    with pytest.raises(LatentError, match="other shards"):
        Pairs(tmp_path, LatentFolder(latents), 64)
