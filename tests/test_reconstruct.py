"""Between the network and the mesh: where the field is asked, and what belongs to what."""

import numpy as np
import pytest
import torch

from humanlrm.landmarks import INDEX
from humanlrm.model.config import tiny
from humanlrm.model.lrm import HumanLRM, build
from humanlrm.model.triplane import GivenView, Triplane
from humanlrm.reconstruct import crown, distance_of, framed, parts_of, stature
from humanlrm.subject import SubjectCrop, assemble_crop
from humanlrm.views import Given

#: Somebody who stands upright: x, y, z of each landmark on the person's left (the viewer's right); the middle.
SIDE = {
    "shoulder": (0.18, 0.5, 0),
    "elbow": (0.22, 0.2, 0),
    "wrist": (0.24, -0.05, 0),
    "hand": (0.24, -0.14, 0),
    "hip": (0.1, 0, 0),
    "knee": (0.11, -0.4, 0),
    "ankle": (0.11, -0.8, 0),
    "toe": (0.11, -0.84, 0.12),
}
MIDDLE = {"neck": (0, 0.55, 0), "head": (0, 0.72, 0), "nose": (0, 0.7, 0.1)}


@pytest.fixture(scope="module")
def standing() -> np.ndarray:
    marks = np.zeros((len(INDEX), 3), np.float32)
    for name, (x, y, z) in SIDE.items():
        marks[INDEX[f"left_{name}"]], marks[INDEX[f"right_{name}"]] = (x, y, z), (-x, y, z)
    for name, place in MIDDLE.items():
        marks[INDEX[name]] = place
    return marks


def test_far_from_all_bones_the_field_is_not_asked(standing):
    model, asked = build(tiny()), []

    def everywhere_inside(planes, points):
        asked.append(points.shape[1])
        return -torch.ones(points.shape[:2])

    model.field.distance = everywhere_inside  # pyright: ignore[reportAttributeAccessIssue]
    image = torch.zeros(1, 5, 64, 64)
    planes = Triplane(image, image, image, GivenView(image, None, None, torch.from_numpy(standing)[None]))
    found = distance_of(model, planes)(torch.tensor([[0.0, 0.3, 0.0], [0.35, 0.0, 0.2], [0.95, -0.9, 0.9]]))
    assert asked == [2]
    assert found[:2].tolist() == [-1, -1]
    assert found[2] > 0.5


def test_a_jacket_covers_arms_and_trunk_and_trousers_begin_at_the_hips(standing):
    parts = parts_of(standing)
    chest, sleeve, seat, knee, hand, foot, head = np.array(
        [(0, 0.3, 0.1), (0.25, 0.1, 0), (0, -0.04, -0.1), (0.12, -0.4, 0.05), (0.24, -0.13, 0.02), (0.11, -0.85, 0.1),
         (0, 0.8, 0)], np.float32)  # fmt: skip
    clothes = parts.clothes(np.stack([chest, sleeve, seat, knee, hand, foot, head]))
    assert clothes[0] == clothes[1]
    assert clothes[2] == clothes[3]
    assert len(set(clothes[[0, 2, 4, 5, 6]])) == 5


def test_a_crown_is_above_the_middle_of_the_head_and_near_it(standing):
    places = np.array([(0, 0.84, 0), (0.05, 0.8, -0.05), (0, 0.92, 0), (0, 0.68, 0.05), (0, 1.1, 0), (0.4, 0.8, 0)])
    assert crown(places, standing).tolist() == [True, True, True, False, False, False]


def test_an_arm_is_another_limb_than_the_trunk_and_than_the_other_arm(standing):
    places = np.array([(0, 0.3, 0.1), (0, -0.04, -0.1), (0.24, 0.1, 0), (-0.24, 0.1, 0)], np.float32)
    limbs = parts_of(standing).limbs(places).argmin(axis=1)
    assert limbs[0] == limbs[1]
    assert len(set(limbs)) == 3


def test_heights_go_outward_along_limbs_and_up_the_trunk(standing):
    height = parts_of(standing).height
    for chain in (("shoulder", "elbow", "wrist"), ("hip", "knee", "ankle")):
        places = standing[[INDEX[f"left_{name}"] for name in chain]]
        beside = places + np.array([0.03, 0, 0.02], np.float32)
        wanted = np.cumsum([0, *np.linalg.norm(np.diff(places, axis=0), axis=1)])
        np.testing.assert_allclose(height(beside.astype(np.float32))[1:], wanted[1:], atol=0.05)
    low, high = height(np.array([(0, 0.1, 0.1), (0, 0.4, -0.1)], np.float32))
    assert high - low == pytest.approx(0.3, abs=0.02)


def test_a_leg_that_is_estimated_too_short_makes_nobody_smaller(standing):
    shortened = standing.copy()
    knee, ankle = INDEX["left_knee"], INDEX["left_ankle"]
    shortened[ankle] = standing[knee] + 0.6 * (standing[ankle] - standing[knee])
    assert stature(shortened) == pytest.approx(stature(standing), rel=0.01)
    both = shortened.copy()
    both[INDEX["right_ankle"]] = both[INDEX["right_knee"]] + 0.6 * (
        standing[INDEX["right_ankle"]] - standing[INDEX["right_knee"]]
    )
    assert stature(both) < 0.95 * stature(standing)


def _looking(below: float, monkeypatch) -> tuple[HumanLRM, list[Given]]:
    """A model that puts the feet so many units below the middle of the first frame and three less in each further one,
    and what it has been shown."""
    model, shown = build(tiny()), []
    assert isinstance(model, HumanLRM)

    def planes_of(given: Given) -> Triplane:
        points, nothing = torch.zeros(1, len(INDEX), 3), torch.zeros(1, 1, 1, 1)
        points[:, INDEX["left_ankle"], 1] = -max(0.9, below - 3 * len(shown))
        shown.append(given)
        return Triplane(nothing, nothing, nothing, GivenView(torch.zeros(1, 5, 1, 1), None, None, points, points))

    monkeypatch.setattr(model, "planes_of", planes_of)
    return model, shown


def _somebody(top: int, bottom: int) -> SubjectCrop:
    alpha = np.zeros((200, 200), np.float32)
    alpha[top:bottom, 80:120] = 1
    return assemble_crop(np.zeros((200, 200, 3), np.uint8), alpha, None, 32)


@pytest.mark.parametrize(("below", "looks"), [(0.9, 1), (3.0, 2), (100.0, 3)])
def test_a_frame_grows_until_it_has_room_but_not_for_ever(below, looks, monkeypatch):
    (model, shown), subject = _looking(below, monkeypatch), _somebody(100, 200)
    grown, _ = framed(model, subject)
    assert len(shown) == looks
    assert (grown is subject) == (looks == 1)
    assert grown.crop.side_px <= 12 * subject.crop.side_px


def test_a_frame_does_not_grow_for_people_who_are_seen_whole(monkeypatch):
    (model, shown), subject = _looking(3.0, monkeypatch), _somebody(50, 150)
    assert framed(model, subject)[0] is subject
    assert len(shown) == 1
