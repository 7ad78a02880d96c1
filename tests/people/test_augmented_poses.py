"""The laws of poses that are made of others."""

import numpy as np
import pytest

from humanlrm.people.poses import everyday
from humanlrm.people.poses.augmented import augmented, bent, crossed, tilted, with_loose_legs
from humanlrm.people.poses.balance import random_pose
from humanlrm.people.poses.pack import POSE_INDEX, POSE_JOINTS, PosePack, world_rotations

LEGS = [POSE_INDEX[name] for name in POSE_JOINTS if name.split("_")[-1] in ("hip", "knee", "ankle", "toe")]


def a_pose(name: str = "strolling", seed: int = 0) -> np.ndarray:
    return everyday.everyday_pose(name, np.random.default_rng(seed))


def test_legs_are_one_poses_and_arms_are_anothers():
    walk, cheer = a_pose(), a_pose("cheering", 1)
    found = crossed(walk, cheer)
    np.testing.assert_array_equal(found[[0, *LEGS]], walk[[0, *LEGS]])
    rest = [joint for joint in range(1, len(POSE_JOINTS)) if joint not in LEGS]
    np.testing.assert_array_equal(found[rest], cheer[rest])


@pytest.mark.parametrize("seed", range(12))
def test_a_trunk_bends_above_legs_that_stay(seed: int):
    pose = a_pose("attention", seed)
    before, after = world_rotations(pose), world_rotations(bent(pose, np.random.default_rng(seed)))
    np.testing.assert_allclose(after[LEGS], before[LEGS], atol=1e-5)
    chest = [world[POSE_INDEX["spine3"]][:, 1] for world in (before, after)]
    assert chest[0] @ chest[1] < np.cos(np.deg2rad(3))


def test_trunks_mostly_bend_forward_and_arms_may_stay_where_they_were():
    pose = a_pose("attention")
    forward, still = [], []
    for seed in range(60):
        world = world_rotations(bent(pose, np.random.default_rng(seed)))
        forward.append(world[POSE_INDEX["spine3"]][2, 1] > 0)
        arm = POSE_INDEX["left_shoulder"]
        still.append(np.allclose(world[arm], world_rotations(pose)[arm], atol=1e-4))
    assert 0.6 < np.mean(forward) < 1
    assert 0.15 < np.mean(still) < 0.7


def test_loose_legs_go_farther_than_everyday_ones_and_knees_bend_one_way():
    pose, thighs, knees = a_pose("attention"), [], []
    for seed in range(200):
        found = with_loose_legs(pose, np.random.default_rng(seed))
        np.testing.assert_array_equal(np.delete(found, LEGS, axis=0), np.delete(pose, LEGS, axis=0))
        world = world_rotations(found)
        for side in ("left", "right"):
            thighs.append(-world[POSE_INDEX[f"{side}_hip"]][:, 1])
            knees.append(found[POSE_INDEX[f"{side}_knee"]][1])
    thighs = np.array(thighs)
    assert thighs[:, 2].min() < -0.5
    assert thighs[:, 2].max() > 0.9
    assert np.min(knees) > -1e-6


def test_a_person_is_tilted_as_a_whole():
    pose = a_pose()
    found = tilted(pose, np.random.default_rng(3))
    np.testing.assert_array_equal(found[1:], pose[1:])
    assert world_rotations(found)[0][1, 1] < 0.99


def test_each_augmented_pose_is_rotations_and_differs_from_what_it_is_made_of():
    first, second = a_pose(), a_pose("cheering", 1)
    for seed in range(30):
        found = augmented(first, second, np.random.default_rng(seed))
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
        assert found.dtype == np.float32
        assert not np.allclose(found, first, atol=1e-3)


def test_no_pose_of_validation_is_augmented():
    pack = PosePack(np.tile(np.array([1, 0, 0, 0], np.float32), (2, 22, 1)), ("clip a", "clip b"))
    named = {
        split: [random_pose(pack, split, np.random.default_rng(seed))[0].startswith("unusual/") for seed in range(120)]
        for split in ("train", "val")
    }
    assert not any(named["val"])
    assert 0.2 < np.mean(named["train"]) < 0.5
