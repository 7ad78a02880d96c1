"""The laws of stance: people who stand do not fall over."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from humanlrm.people import everyday
from humanlrm.people.posepack import POSE_INDEX, perturbed, world_rotations
from humanlrm.people.stance import _figure, settled

UP = np.array([0.0, 1.0, 0.0])


def sway(quats: np.ndarray) -> float:
    """Horizontal distance of the weight from the middle between the feet, in body heights."""
    figure = _figure(world_rotations(quats))
    feet = figure.joints[[POSE_INDEX[f"{s}_{j}"] for s in ("left", "right") for j in ("ankle", "toe")]].mean(0)
    return float(np.linalg.norm((figure.weight - feet)[[0, 2]]))


@pytest.mark.parametrize("tilt_deg", [(12, 0, 0), (-10, 0, 0), (0, 0, 9)])
def test_a_standing_person_who_leans_is_put_above_the_feet(tilt_deg):
    pose = everyday.everyday_pose("attention", np.random.default_rng(0))
    lean = Rotation.from_euler("xyz", tilt_deg, degrees=True)
    pose[0] = (lean * Rotation.from_quat(pose[0], scalar_first=True)).as_quat(scalar_first=True)
    assert sway(pose) > 0.05
    assert sway(settled(pose)) < 0.035


def test_soles_that_bear_weight_are_level():
    for seed in range(10):
        rng = np.random.default_rng(seed)
        pose = settled(perturbed(everyday.everyday_pose("attention", rng), rng))
        world = world_rotations(pose)
        level = [float((world[POSE_INDEX[f"{s}_ankle"]] @ UP)[1]) for s in ("left", "right")]
        assert max(level) > 0.9999


def test_people_who_sit_jump_or_lie_are_not_tilted():
    for name in ("sitting", "lying", "sitting_on_the_floor"):
        pose = everyday.everyday_pose(name, np.random.default_rng(1))
        np.testing.assert_array_equal(settled(pose)[0], pose[0])


def test_hard_poses_have_their_share():
    rng = np.random.default_rng(0)
    names = [everyday.draw("train", rng)[0].split("/")[1] for _ in range(400)]
    hard = np.mean([everyday.EVERYDAY[name][0] in everyday.HARD_STANCES for name in names])
    assert abs(hard - everyday.HARD_SHARE) < 0.08
