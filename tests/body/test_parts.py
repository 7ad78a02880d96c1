"""What belongs to what on somebody who stands upright, and how tall they are."""

import numpy as np
import pytest

from humanlrm.body.height import crown_mask, standing_height
from humanlrm.body.landmarks import INDEX
from humanlrm.body.parts import detail_membership, part_segmenter


def test_a_jacket_covers_arms_and_trunk_and_trousers_begin_at_the_hips(standing):
    chest, sleeve, seat, knee, hand, foot, head = np.array(
        [(0, 0.3, 0.1), (0.25, 0.1, 0), (0, -0.04, -0.1), (0.12, -0.4, 0.05), (0.24, -0.13, 0.02), (0.11, -0.85, 0.1),
         (0, 0.8, 0)], np.float32)  # fmt: skip
    clothes = part_segmenter(standing)(np.stack([chest, sleeve, seat, knee, hand, foot, head]))
    assert clothes[0] == clothes[1]
    assert clothes[2] == clothes[3]
    assert len(set(clothes[[0, 2, 4, 5, 6]])) == 5


def test_a_crown_is_above_the_middle_of_the_head_and_near_it(standing):
    places = np.array([(0, 0.84, 0), (0.05, 0.8, -0.05), (0, 0.92, 0), (0, 0.68, 0.05), (0, 1.1, 0), (0.4, 0.8, 0)])
    assert crown_mask(places, standing).tolist() == [True, True, True, False, False, False]


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


def test_people_look_at_head_and_hands(standing):
    middle = (standing[INDEX["left_wrist"]] + standing[INDEX["left_hand"]]) / 2
    places = np.stack([standing[INDEX["head"]], middle, standing[INDEX["left_knee"]], standing[INDEX["left_elbow"]]])
    assert (detail_membership(standing)(places.astype(np.float32)) > 0.5).tolist() == [True, True, False, False]
