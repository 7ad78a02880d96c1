"""The laws of poses: mirroring, splitting, retargeting. Tiny poses are made here; the real pack only if it is given."""

import os
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from humanlrm.people.poses import everyday
from humanlrm.people.poses.pack import (
    POSE_INDEX,
    POSE_JOINTS,
    POSE_PARENTS,
    PosePack,
    load_poses,
    mirrored,
    perturbed,
    retargeted,
    smallest_rotation,
    split_of,
    with_shoulder_girdle,
    world_rotations,
)

MIRROR_X = np.diag([-1.0, 1.0, 1.0])
T_POSE_ARM = {
    "shoulder": (0.2, 1.4, 0.0),
    "elbow": (0.45, 1.4, 0.0),
    "wrist": (0.7, 1.4, 0.0),
    "hip": (0.1, 0.9, 0.0),
    "knee": (0.1, 0.5, 0.0),
    "ankle": (0.1, 0.1, 0.0),
}


def random_pose(seed: int) -> np.ndarray:
    rotations = Rotation.from_rotvec(np.random.default_rng(seed).normal(0, 0.5, (22, 3)))
    return rotations.as_quat(scalar_first=True).astype(np.float32)


def rest_positions(arm_turn: Rotation) -> dict[str, np.ndarray]:
    """A rig at rest whose left arm is turned about the shoulder, and the right one mirrored."""
    left = {name: np.array(p) for name, p in T_POSE_ARM.items()}
    for name in ("elbow", "wrist"):
        left[name] = left["shoulder"] + arm_turn.apply(left[name] - left["shoulder"])
    return {f"left_{n}": p for n, p in left.items()} | {f"right_{n}": MIRROR_X @ p for n, p in left.items()}


def write_pack(path: Path, joints: tuple[str, ...] = POSE_JOINTS) -> Path:
    quats = np.stack([random_pose(i) for i in range(12)])
    sources = np.array([f"clip{i // 3}" for i in range(12)])
    np.savez(path, joint_names=np.array(joints), quat_wxyz=quats, source=sources)
    return path


def test_mirroring_twice_changes_nothing():
    pose = random_pose(0)
    np.testing.assert_array_equal(mirrored(mirrored(pose)), pose)


def test_a_mirrored_pose_has_mirrored_world_rotations():
    pose = random_pose(1)
    there, here = world_rotations(mirrored(pose)), world_rotations(pose)
    left, right, head = POSE_INDEX["left_wrist"], POSE_INDEX["right_wrist"], POSE_INDEX["head"]
    np.testing.assert_allclose(there[left], MIRROR_X @ here[right] @ MIRROR_X, atol=1e-6)
    np.testing.assert_allclose(there[head], MIRROR_X @ here[head] @ MIRROR_X, atol=1e-6)


def test_parents_come_before_their_children():
    assert all(parent < joint for joint, parent in enumerate(POSE_PARENTS))


def test_train_and_val_share_no_source(tmp_path: Path):
    pack = load_poses(write_pack(tmp_path / "poses.npz"))
    train, val = pack.of_split("train"), pack.of_split("val")
    assert not set(train.sources) & set(val.sources)
    assert len(train.sources) + len(val.sources) == len(pack.sources)
    assert not set(everyday.names_of("train")) & set(everyday.names_of("val"))


def test_a_pack_with_other_joints_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="joints"):
        load_poses(write_pack(tmp_path / "poses.npz", POSE_JOINTS[::-1]))


def test_a_missing_pack_is_named(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="pose pack"):
        load_poses(tmp_path / "nothing.npz")


def test_an_empty_pack_has_nothing_to_draw():
    with pytest.raises(ValueError, match="no pose"):
        PosePack(np.zeros((0, 22, 4), np.float32), ()).draw(np.random.default_rng(0))


def test_perturbed_poses_stay_close_and_differ():
    pose = random_pose(2)
    other = perturbed(pose, np.random.default_rng(0), sigma_deg=3.0)
    apart = Rotation.from_quat(pose, scalar_first=True).inv() * Rotation.from_quat(other, scalar_first=True)
    angles = np.rad2deg(apart.magnitude())
    assert 0.5 < angles.mean() < 10
    assert angles.max() < 60


@pytest.mark.parametrize("seed", range(5))
def test_smallest_rotation_turns_start_into_end_about_their_normal(seed: int):
    rng = np.random.default_rng(seed)
    start, end = rng.normal(size=3), rng.normal(size=3)
    turn = smallest_rotation(start, end)
    np.testing.assert_allclose(turn @ start / np.linalg.norm(start), end / np.linalg.norm(end), atol=1e-9)
    np.testing.assert_allclose(turn @ np.cross(start, end), np.cross(start, end), atol=1e-9)


def test_opposite_directions_have_no_smallest_rotation():
    with pytest.raises(ValueError, match="opposite"):
        smallest_rotation(np.array([1.0, 0, 0]), np.array([-1.0, 0, 0]))


def test_retargeting_to_a_t_pose_rig_is_the_pose_itself():
    world = world_rotations(random_pose(3))
    np.testing.assert_allclose(retargeted(world, rest_positions(Rotation.identity())), world, atol=1e-9)


def test_a_rig_at_rest_in_a_pose_points_its_arm_where_a_t_pose_rig_does():
    world = world_rotations(random_pose(4))
    rest = rest_positions(Rotation.from_euler("z", -45, degrees=True))
    change = retargeted(world, rest)
    for side, x in (("left", 1.0), ("right", -1.0)):
        arm = change[POSE_INDEX[f"{side}_shoulder"]] @ (rest[f"{side}_elbow"] - rest[f"{side}_shoulder"])
        expected = world[POSE_INDEX[f"{side}_shoulder"]] @ [x, 0, 0]
        np.testing.assert_allclose(arm / np.linalg.norm(arm), expected, atol=1e-9)


def test_the_shoulder_girdle_moves_but_the_arm_keeps_its_direction():
    pose = everyday.everyday_pose("relaxed", np.random.default_rng(0))
    moved = with_shoulder_girdle(pose)
    for side in ("left", "right"):
        arm, collar = POSE_INDEX[f"{side}_shoulder"], POSE_INDEX[f"{side}_clavicle"]
        np.testing.assert_allclose(world_rotations(moved)[arm], world_rotations(pose)[arm], atol=1e-5)
        assert not np.allclose(moved[collar], pose[collar], atol=1e-2)


@pytest.mark.parametrize("name", everyday.EVERYDAY)
def test_everyday_poses_are_unit_rotations_with_the_head_up_unless_they_bend_or_lie(name: str):
    pose = everyday.everyday_pose(name, np.random.default_rng(0))
    np.testing.assert_allclose(np.linalg.norm(pose, axis=1), 1, atol=1e-5)
    head_up = world_rotations(pose)[POSE_INDEX["head"]][1, 1]
    assert (head_up > 0.6) != (everyday.EVERYDAY[name][0] in ("bend", "lie"))


def test_relaxed_arms_hang_and_raised_arms_rise():
    def arm_height(name: str) -> float:
        pose = everyday.everyday_pose(name, np.random.default_rng(0))
        return float((world_rotations(pose)[POSE_INDEX["left_elbow"]] @ [1, 0, 0])[1])

    assert arm_height("relaxed") < -0.8
    assert arm_height("cheering") > 0.8


def test_an_unknown_everyday_pose_is_refused():
    with pytest.raises(ValueError, match="no pose"):
        everyday.everyday_pose("flying", np.random.default_rng(0))


@pytest.mark.skipif("HUMANLRM_ASSETS" not in os.environ, reason="needs the asset pack")
def test_the_real_pack_has_walking_people_on_both_sides():
    assert split_of("deepmimic/walk") in ("train", "val")
    pack = load_poses(Path(os.environ["HUMANLRM_ASSETS"]) / "poses" / "poses.npz")
    for split in ("train", "val"):
        assert len(pack.of_split(split).sources) > 50
