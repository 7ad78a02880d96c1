"""The laws of stance: people who stand do not fall over, whatever body they have."""

import numpy as np
import pytest
import torch
from mean_body import mean_skeleton
from scipy.spatial.transform import Rotation

from humanlrm.body.balance import balance_offset, is_standing
from humanlrm.people.poses import everyday
from humanlrm.people.poses.balance import balanced, balancing
from humanlrm.people.poses.pack import POSE_INDEX, perturbed, world_rotations
from humanlrm.people.procedural.bodies import sample_body, skeleton
from humanlrm.people.procedural.limbs import bone_turns
from humanlrm.people.procedural.poses import sample_pose

UP = np.array([0.0, 1.0, 0.0])


def lean_deg(landmarks: np.ndarray) -> float:
    """Angle between the arm of the weight and the vertical."""
    arm = balance_offset(torch.from_numpy(landmarks)).numpy()
    return float(np.degrees(np.arctan2(np.hypot(arm[0], arm[2]), arm[1])))


def of_mean_body(quats: np.ndarray) -> np.ndarray:
    return mean_skeleton(world_rotations(quats))


@pytest.mark.parametrize("tilt_deg", [(12, 0, 0), (-10, 0, 0), (0, 0, 14)])
def test_a_standing_person_who_leans_is_put_above_the_feet(tilt_deg):
    pose = everyday.everyday_pose("attention", np.random.default_rng(0))
    lean = Rotation.from_euler("xyz", tilt_deg, degrees=True)
    pose[0] = (lean * Rotation.from_quat(pose[0], scalar_first=True)).as_quat(scalar_first=True)
    assert lean_deg(of_mean_body(pose)) > 4
    assert lean_deg(of_mean_body(balanced(pose, mean_skeleton))) < 2


def test_a_body_that_differs_from_the_mean_is_balanced_as_it_is():
    """Here: one whose trunk goes forward."""

    def bent(world: np.ndarray) -> np.ndarray:
        points = mean_skeleton(world)
        points[:, 2] += 0.25 * (points[:, 1] > 0) * points[:, 1]
        return points

    pose = everyday.everyday_pose("attention", np.random.default_rng(0))
    assert lean_deg(bent(world_rotations(balanced(pose, mean_skeleton)))) > 2.5
    assert lean_deg(bent(world_rotations(balanced(pose, bent)))) < 2


def test_procedural_people_who_stand_are_balanced():
    leans = []
    for seed in range(40):
        body, pose = sample_body(np.random.default_rng([seed, 0])), sample_pose(np.random.default_rng([seed, 1]))
        found = skeleton(body, bone_turns(body, pose))
        if is_standing(torch.from_numpy(found)):
            leans.append(lean_deg(found))
    assert len(leans) > 15
    assert max(leans) < 3


def test_soles_that_bear_weight_are_level():
    for seed in range(10):
        rng = np.random.default_rng(seed)
        pose = balanced(perturbed(everyday.everyday_pose("attention", rng), rng), mean_skeleton)
        world = world_rotations(pose)
        level = [float((world[POSE_INDEX[f"{s}_ankle"]] @ UP)[1]) for s in ("left", "right")]
        assert max(level) > 0.9999


def test_people_who_sit_jump_or_lie_are_not_tilted():
    for name in ("sitting", "lying", "sitting_on_the_floor"):
        pose = everyday.everyday_pose(name, np.random.default_rng(1))
        assert balancing(of_mean_body(pose)) is None
        np.testing.assert_array_equal(balanced(pose, mean_skeleton)[0], pose[0])


def test_hard_poses_have_their_share():
    rng = np.random.default_rng(0)
    names = [everyday.draw("train", rng)[0].split("/")[1] for _ in range(400)]
    hard = np.mean([everyday.EVERYDAY[name][0] in everyday.HARD_STANCES for name in names])
    assert abs(hard - everyday.HARD_SHARE) < 0.08
