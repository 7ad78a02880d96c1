import numpy as np
import pytest
import torch

from humanlrm.body.landmarks import INDEX
from humanlrm.evaluate.corruptions import (
    corrupt_landmarks,
    corrupt_mask,
    corrupt_photo,
    corrupt_viewpoint,
    exact_landmarks,
)
from humanlrm.evaluate.plan import PROTOCOLS, Corruption, conditions
from humanlrm.evaluate.renderer import UNLIT, Viewpoint, camera_at

RNG = np.random.default_rng


@pytest.fixture(scope="module")
def photo(renderer):
    return renderer.photograph(camera_at(renderer, Viewpoint(0)), UNLIT, RNG(0))


def kinds(protocol: str) -> list[str]:
    return [kind for kind in PROTOCOLS[protocol] if kind != "clean"]


@pytest.mark.parametrize("kind", kinds("occlusion"))
def test_an_occluder_hides_about_the_share_that_its_level_says(photo, kind):
    whole = (photo.alpha > 0.5).sum()
    hidden = []
    for level in PROTOCOLS["occlusion"][kind]:
        after = corrupt_photo(Corruption("occlusion", kind, level), photo, RNG(1))
        hidden.append(1 - (after.alpha > 0.5).sum() / whole)
        assert after.rgb.shape[:2] == after.alpha.shape == after.camera.size_px
        assert np.isfinite(after.where[after.alpha > 0.5]).all()
        if "mask" in kind:
            assert level - 0.01 < hidden[-1] < level + 0.15
    assert 0.01 < hidden[0] < hidden[-1] < 0.8
    assert hidden == sorted(hidden)


def test_half_a_body_ends_at_half_its_height(photo):
    after = corrupt_photo(Corruption("occlusion", kinds("occlusion")[0], 0.5), photo, RNG(1))
    rows = [np.ptp(np.flatnonzero((p.alpha > 0.5).any(1))) for p in (photo, after)]
    assert rows[1] == pytest.approx(rows[0] / 2, abs=3)
    np.testing.assert_array_equal(after.rgb, photo.rgb[: len(after.rgb)])


def test_what_is_not_hidden_stays_as_it_was(photo):
    after = corrupt_photo(Corruption("occlusion", "box, share of mask", 0.2), photo, RNG(2))
    seen = after.alpha > 0.5
    np.testing.assert_array_equal(after.rgb[seen], photo.rgb[seen])
    assert (after.rgb[(photo.alpha > 0.5) & ~seen] != photo.rgb[(photo.alpha > 0.5) & ~seen]).any()


@pytest.mark.parametrize("kind", ["blur px", "noise", "jpeg quality", "darkness"])
def test_a_bad_camera_spoils_the_picture_more_with_each_level_and_leaves_the_mask(photo, kind):
    errors = []
    for level in PROTOCOLS["robustness"][kind]:
        after = corrupt_photo(Corruption("robustness", kind, level), photo, RNG(1))
        np.testing.assert_array_equal(after.alpha, photo.alpha)
        errors.append(np.abs(after.rgb.astype(float) - photo.rgb).mean())
    assert 0 < errors[0] < errors[-1]
    assert errors == sorted(errors)


def test_masks_grow_and_shrink(photo):
    areas = [
        corrupt_mask(Corruption("robustness", f"mask {word} px", 4), photo.alpha).sum()
        for word in ("eroded", "dilated")
    ]
    assert areas[0] < photo.alpha.sum() < areas[1]
    assert corrupt_mask(Corruption(), photo.alpha) is photo.alpha


def test_cameras_move():
    view = Viewpoint(120)
    assert corrupt_viewpoint(Corruption("robustness", "camera from below deg", 20), view) == Viewpoint(
        120, pitch_deg=-20
    )
    assert corrupt_viewpoint(Corruption("robustness", "field of view deg", 60), view).fov_deg == 60
    assert corrupt_viewpoint(Corruption("robustness", "noise", 0.1), view) == view


def test_every_kind_of_every_protocol_does_something(photo, case):
    for protocol in PROTOCOLS:
        for condition in conditions(protocol):
            changed = (
                corrupt_viewpoint(condition, Viewpoint(0)) != Viewpoint(0)
                or corrupt_photo(condition, photo, RNG(0)) is not photo
                or corrupt_mask(condition, photo.alpha) is not photo.alpha
            )
            if protocol == "landmarks":
                found = corrupt_landmarks(condition, case.shown.landmarks, case.truth.landmarks, 100, RNG(0), 3)
                changed = not torch.equal(found.landmarks, exact_landmarks(case.truth.landmarks))
            assert changed == (condition.kind != "clean"), condition


def test_a_limb_moves_by_so_many_centimetres_and_nothing_else_does(case):
    marks, truth = case.shown.landmarks, case.truth.landmarks
    found = corrupt_landmarks(Corruption("landmarks", "limb moved cm", 10), marks, truth, 80.0, RNG(0), 3)
    step = (found.landmarks - exact_landmarks(truth))[:, :3].norm(dim=1).numpy() * 80
    moved = [INDEX[name] for name in found.limb]
    np.testing.assert_allclose(step[moved], 10, atol=1e-3)
    assert np.delete(step, moved).max() == 0


def test_the_limb_is_the_same_at_every_level(case):
    marks, truth = case.shown.landmarks, case.truth.landmarks
    found = [corrupt_landmarks(c, marks, truth, 80.0, RNG(i), 3) for i, c in enumerate(conditions("landmarks"))]
    assert len({change.limb for change in found}) == 1
    seeds = [corrupt_landmarks(conditions("landmarks")[0], marks, truth, 80.0, RNG(0), s) for s in range(12)]
    assert len({change.limb for change in seeds}) == 4


def test_the_samples_of_a_limb_are_near_its_landmarks(shoot):
    case = shoot(Corruption("landmarks", "limb moved cm", 10))
    assert 0.02 < case.truth.limb.mean() < 0.35
    assert 1 < case.truth.limb_bound_cm <= 10
    spread = [np.ptp(case.truth.samples.points[part], axis=0).max() for part in (case.truth.limb, ~case.truth.limb)]
    assert spread[0] < spread[1]


def test_missing_landmarks_are_missing_and_flipped_ones_are_mirrored_in_depth(case):
    marks, truth = case.shown.landmarks, case.truth.landmarks
    half = corrupt_landmarks(Corruption("landmarks", "missing, share", 0.5), marks, truth, 80, RNG(0), 3).landmarks
    assert (half == 0).all(1).sum() == round(0.5 * len(marks))
    flipped = corrupt_landmarks(Corruption("landmarks", "depth flipped", 1), marks, truth, 80, RNG(0), 3).landmarks
    np.testing.assert_allclose(flipped[:, 2], -truth[:, 2], atol=1e-6)
    np.testing.assert_allclose(flipped[:, :2], truth[:, :2], atol=1e-6)
    assert torch.equal(
        corrupt_landmarks(Corruption("landmarks", "detected"), marks, truth, 80, RNG(0), 3).landmarks, marks
    )


def test_unknown_landmarks_are_missing_ones_and_none_at_all_are_refused():
    truth = np.zeros((len(INDEX), 3), np.float32)
    truth[2] = np.nan
    assert exact_landmarks(truth)[:, 3].tolist() == [float(i != 2) for i in range(len(truth))]
    with pytest.raises(ValueError, match="needs true landmarks"):
        corrupt_landmarks(Corruption("landmarks"), torch.zeros(len(INDEX), 4), None, 80, RNG(0), 3)


def test_an_unknown_protocol_is_refused():
    with pytest.raises(ValueError, match="unknown protocol 'night'"):
        conditions("night")
