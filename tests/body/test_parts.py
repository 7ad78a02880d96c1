"""What belongs to what on somebody who stands upright, and how tall they are."""

import numpy as np
import pytest

from humanlrm.body.height import crown_mask, standing_height
from humanlrm.body.landmarks import INDEX
from humanlrm.body.parts import face_membership, part_segmenter

SHANK_AND_THIGH = (("hip", "knee"), ("knee", "ankle"))


def test_a_jacket_covers_arms_and_trunk_and_trousers_begin_at_the_hips(standing):
    chest, sleeve, seat, knee, hand, foot, head = np.array(
        [(0, 0.3, 0.1), (0.25, 0.1, 0), (0, -0.04, -0.1), (0.12, -0.4, 0.05), (0.24, -0.13, 0.02), (0.11, -0.85, 0.1),
         (0, 0.8, 0)], np.float32)  # fmt: skip
    clothes = part_segmenter(standing)(np.stack([chest, sleeve, seat, knee, hand, foot, head])).clothes
    assert clothes[0] == clothes[1]
    assert clothes[2] == clothes[3]
    assert len(set(clothes[[0, 2, 4, 5, 6]])) == 5


def test_a_crown_is_above_the_middle_of_the_head_and_near_it(standing):
    places = np.array([(0, 0.84, 0), (0.05, 0.8, -0.05), (0, 0.92, 0), (0, 0.68, 0.05), (0, 1.1, 0), (0.4, 0.8, 0)])
    assert crown_mask(places, standing).tolist() == [True, True, True, False, False, False]


def test_an_arm_is_another_limb_than_the_trunk_and_than_the_other_arm(standing):
    places = np.array([(0, 0.3, 0.1), (0, -0.04, -0.1), (0.24, 0.1, 0), (-0.24, 0.1, 0)], np.float32)
    limbs = part_segmenter(standing)(places).limb
    assert limbs[0] == limbs[1]
    assert len(set(limbs)) == 3


def test_heights_go_outward_along_limbs_and_up_the_trunk(standing):
    parts = part_segmenter(standing)
    for chain in (("shoulder", "elbow", "wrist"), ("hip", "knee", "ankle")):
        places = standing[[INDEX[f"left_{name}"] for name in chain]]
        beside = places + np.array([0.03, 0, 0.02], np.float32)
        wanted = np.cumsum([0, *np.linalg.norm(np.diff(places, axis=0), axis=1)])
        np.testing.assert_allclose(parts(beside.astype(np.float32)).height[1:], wanted[1:], atol=0.05)
    low, high = parts(np.array([(0, 0.1, 0.1), (0, 0.4, -0.1)], np.float32)).height
    assert high - low == pytest.approx(0.3, abs=0.02)


def test_twins_are_the_same_limb_of_the_other_side_and_hands_are_bare(standing):
    places = np.array([(0.24, 0.1, 0), (0.12, -0.4, 0.05), (0.11, -0.85, 0.1), (0.24, -0.13, 0.02)], np.float32)
    parts = part_segmenter(standing)
    left, right = parts(places), parts(places * np.array([-1, 1, 1], np.float32))
    assert (left.limb != right.limb).all()
    np.testing.assert_array_equal(left.twin[left.limb], right.limb)
    assert left.bare[left.limb].tolist() == [False, False, False, True]
    trunk = parts(np.array([(0, 0.3, 0.1)], np.float32)).limb
    assert left.twin[trunk] == trunk


def test_of_a_leg_that_is_estimated_shorter_heights_mean_the_same_places(standing):
    bones = [INDEX[f"left_{name}"] for name in ("hip", "knee", "ankle")]
    short = standing.copy()
    short[bones[1]] = standing[bones[0]] + 0.7 * (standing[bones[1]] - standing[bones[0]])
    short[bones[2]] = short[bones[1]] + 0.7 * (standing[bones[2]] - standing[bones[1]])
    parts = part_segmenter(short)
    middle = lambda side: [(short[INDEX[f"{side}_{a}"]] + short[INDEX[f"{side}_{b}"]]) / 2 for a, b in SHANK_AND_THIGH]  # noqa: E731
    left, right = (parts(np.stack(middle(side)).astype(np.float32)).height for side in ("left", "right"))
    np.testing.assert_allclose(left, right, atol=0.02)


def test_a_faces_skin_is_around_the_nose(standing):
    nose, head = standing[INDEX["nose"]], standing[INDEX["head"]]
    cheek, behind = nose + np.array([0.03, -0.01, -0.02], np.float32), head - (nose - head)
    assert face_membership(standing)(np.stack([nose, cheek, behind, standing[INDEX["neck"]]])).tolist() == [1, 1, 0, 0]


def test_a_leg_that_is_estimated_too_short_makes_nobody_smaller(standing):
    shortened = standing.copy()
    knee, ankle = INDEX["left_knee"], INDEX["left_ankle"]
    shortened[ankle] = standing[knee] + 0.6 * (standing[ankle] - standing[knee])
    assert standing_height(shortened) == pytest.approx(standing_height(standing), rel=0.01)
    both = shortened.copy()
    both[INDEX["right_ankle"]] = both[INDEX["right_knee"]] + 0.6 * (
        standing[INDEX["right_ankle"]] - standing[INDEX["right_knee"]]
    )
    assert standing_height(both) < 0.95 * standing_height(standing)
