"""Skeleton, weights, cuts and poses."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gltf_files import GltfFile
from jointed_bodies import capsule_body
from scipy.spatial.transform import Rotation

from humanlrm.body.landmarks import INDEX
from humanlrm.mesh.surface import is_closed
from humanlrm.output import Deliverable, write
from humanlrm.output_settings import OutputSettings
from humanlrm.rig.pose import local_rotations, place_joints, rotations_to, shortest_rotation, world_rotations
from humanlrm.rig.skeleton import JOINT, JOINTS, PARENTS, skeleton_from_landmarks
from humanlrm.rig.skin import RiggedPerson
from humanlrm.rig.weights import nearest_on_segments

_BEND = Rotation.from_euler("xyz", [25, 15, 30], degrees=True)


def subtree(joint: int) -> list[int]:
    """A joint and all that hangs on it."""
    members = [joint]
    for child, parent in enumerate(PARENTS):
        if parent in members:
            members.append(child)
    return members


def edge_stretch(before: np.ndarray, after: np.ndarray, faces: np.ndarray) -> np.ndarray:
    a, b = (np.linalg.norm(v[faces] - v[np.roll(faces, -1, axis=1)], axis=-1) for v in (before, after))
    return b / np.maximum(a, 1e-6)


def deliver(person: RiggedPerson, path: Path, output: OutputSettings) -> Path:
    made = Deliverable(person.mesh, np.zeros((19, 3), np.float32), 0.9, {}, {})
    # The person is rigged already.
    made.__dict__["rigged"] = person
    return write(path, made, output)[0]


def test_joints_lie_on_the_landmarks(standing):
    skeleton = skeleton_from_landmarks(standing)
    for joint, mark in {"leftUpperArm": "left_shoulder", "rightLowerLeg": "right_knee", "neck": "neck"}.items():
        np.testing.assert_allclose(skeleton.positions[JOINT[joint]], standing[INDEX[mark]], atol=1e-6)
    np.testing.assert_allclose(place_joints(skeleton, np.tile(np.eye(3), (len(JOINTS), 1, 1))), skeleton.positions)


@pytest.mark.parametrize("name", ["left_hip", "nose"])
def test_a_person_without_a_landmark_gets_no_rig(standing, name):
    marks = standing.copy()
    marks[INDEX[name]] = np.nan
    with pytest.raises(ValueError, match=f"missing: {name}"):
        skeleton_from_landmarks(marks)


def test_weights_are_four_shares_of_one_whole(free):
    assert free.weights.joints.shape[1] == 4
    assert free.weights.weights.min() >= 0
    np.testing.assert_allclose(free.weights.weights.sum(axis=1), 1, atol=1e-6)
    assert free.weights.joints[free.weights.weights == 0].max(initial=0) == 0


def test_duplicates_on_texture_seams_have_equal_weights(free):
    dense = free.weights.dense()
    first = np.zeros(free.mesh.welded.max() + 1, int)
    first[free.mesh.welded] = np.arange(len(dense))
    np.testing.assert_array_equal(dense, dense[first[free.mesh.welded]])


def test_the_middle_of_each_limb_bone_moves_with_its_joint(free):
    dense = free.weights.dense()
    for name in JOINTS:
        if not name.endswith(("UpperArm", "LowerArm", "UpperLeg", "LowerLeg")):
            continue
        joint = JOINT[name]
        middle = (free.skeleton.positions[joint] + free.skeleton.ends[joint]) / 2
        near = np.linalg.norm(free.mesh.vertices - middle, axis=1).argsort()[:10]
        assert dense[near, joint].min() > 0.75, name


@pytest.mark.parametrize("name", JOINTS)
def test_a_bent_joint_moves_its_part_and_nothing_else(free, tmp_path_factory, name):
    path = tmp_path_factory.getbasetemp() / "bent.glb"
    if not path.exists():
        deliver(free, path, OutputSettings(rig=True))
    file = GltfFile(path)
    rest, bent = file.vertices(), file.vertices({name: _BEND})
    np.testing.assert_allclose(rest, file.attribute("POSITION"), atol=2e-6)
    bones = np.stack([free.skeleton.positions, free.skeleton.ends], axis=1)
    feet, distances = nearest_on_segments(free.mesh.vertices.astype(float), bones)
    bone = distances.argmin(axis=1)
    nearest = feet[np.arange(len(bone)), bone]
    joint_place = free.skeleton.positions[JOINT[name]]
    # Skin within a hand's breadth of the joint bends; what is farther away belongs to one side of it.
    away = np.linalg.norm(free.mesh.vertices - joint_place, axis=1) > 0.3
    member = np.isin(bone, subtree(JOINT[name]))
    outer = member & away & (np.linalg.norm(nearest - joint_place, axis=1) > 0.25)
    moved = np.linalg.norm(bent - rest, axis=1)
    if name == "hips":
        assert moved.min() > 0
        return
    limb = name.removeprefix("left").removeprefix("right")
    still = ~member & away & (np.linalg.norm(nearest - joint_place, axis=1) > 0.35)
    assert still.sum() > 100
    assert moved[still].max() < 0.04
    assert moved[still].mean() < 0.002
    tip = np.linalg.norm(free.mesh.vertices - free.skeleton.ends[JOINT[name]], axis=1).argsort()[:8]
    assert moved[tip].min() > 0.01, limb
    if outer.sum() > 20 and limb not in ("spine", "chest", "Shoulder"):
        pivot = (free.skeleton.positions[JOINT[name]] - _ground(free)) * 0.9
        turned = (rest[outer] - pivot) @ _BEND.as_matrix().T + pivot
        assert np.linalg.norm(turned - bent[outer], axis=1).mean() < 0.01


def _ground(person: RiggedPerson) -> np.ndarray:
    low, high = person.mesh.vertices.min(0), person.mesh.vertices.max(0)
    return np.array([(low[0] + high[0]) / 2, low[1], (low[2] + high[2]) / 2])


def test_limbs_that_touch_nothing_are_not_cut(free, free_landmarks):
    assert free.contacts == ()
    np.testing.assert_array_equal(free.source, np.arange(len(free.mesh.vertices)))
    np.testing.assert_array_equal(free.mesh.vertices, capsule_body(free_landmarks).vertices)


def test_arms_that_are_fused_with_the_trunk_are_cut_free(fused):
    assert [sentence.partition(" touches")[0] for sentence in fused.contacts][:2] == ["the left arm", "the right arm"]
    assert is_closed(fused.mesh.welded[fused.mesh.faces])
    assert np.isfinite(fused.mesh.vertices).all()
    assert fused.mesh.uv.min() >= 0
    assert fused.mesh.uv.max() <= 1


def test_a_freed_arm_leaves_the_trunk_when_it_is_raised(fused):
    raised = np.tile(np.eye(3), (len(JOINTS), 1, 1))
    for side, sign in (("left", 1), ("right", -1)):
        turn = Rotation.from_euler("z", sign * 60, degrees=True).as_matrix()
        raised[[JOINT[f"{side}{part}"] for part in ("UpperArm", "LowerArm", "Hand")]] = turn
    after = fused.vertices_in(raised)
    stretch = edge_stretch(fused.mesh.vertices, after, fused.mesh.faces)
    assert (stretch > 3).mean() < 0.01
    trunk = np.abs(fused.mesh.vertices[:, 0]) < 0.12
    trunk &= np.abs(fused.mesh.vertices[:, 1] - 0.2) < 0.15
    assert np.linalg.norm(after - fused.mesh.vertices, axis=1)[trunk].max() < 0.05


def test_shortest_rotations_reach_their_target():
    for start, stop in [([1, 0, 0], [0, 0, 2]), ([0, 1, 0], [0, -3, 0]), ([1, 1, 0], [1, 1, 0])]:
        turned = shortest_rotation(np.array(start, float), np.array(stop, float)) @ start
        np.testing.assert_allclose(turned / np.linalg.norm(turned), np.array(stop) / np.linalg.norm(stop), atol=1e-9)


def test_local_and_world_rotations_are_inverse():
    world = Rotation.random(3 * len(JOINTS), rng=np.random.default_rng(0)).as_matrix().reshape(3, len(JOINTS), 3, 3)
    np.testing.assert_allclose(world_rotations(local_rotations(world)), world, atol=1e-12)


@pytest.mark.parametrize("pose", ["a", "t"])
def test_people_of_any_posture_come_to_a_symmetric_pose(free, pose):
    twisted = np.tile(np.eye(3), (len(JOINTS), 1, 1))
    twisted[JOINT["leftLowerArm"]] = Rotation.from_euler("y", -70, degrees=True).as_matrix()
    twisted[JOINT["rightUpperLeg"]] = Rotation.from_euler("x", -50, degrees=True).as_matrix()
    person = free.reposed(world_rotations(twisted)).in_pose(pose)
    for name in ("UpperArm", "LowerArm", "UpperLeg", "LowerLeg"):
        left, right = (
            person.skeleton.ends[JOINT[side + name]] - person.skeleton.positions[JOINT[side + name]]
            for side in ("left", "right")
        )
        np.testing.assert_allclose(left / np.linalg.norm(left) * [-1, 1, 1], right / np.linalg.norm(right), atol=1e-6)
    arm = person.skeleton.ends[JOINT["leftLowerArm"]] - person.skeleton.positions[JOINT["leftUpperArm"]]
    assert np.rad2deg(np.arctan2(arm[1], arm[0])) == pytest.approx(-45 if pose == "a" else 0, abs=0.1)
    # A second time nothing is left to do.
    np.testing.assert_allclose(rotations_to(person.skeleton, pose), np.tile(np.eye(3), (len(JOINTS), 1, 1)), atol=0.02)


def test_posed_skin_keeps_its_lengths(free):
    person = free.in_pose("t")
    stretch = edge_stretch(free.mesh.vertices, person.mesh.vertices, free.mesh.faces)
    assert np.median(stretch) == pytest.approx(1, abs=0.03)
    assert (stretch > 3).mean() < 0.005


def test_a_file_without_rig_says_so(free, tmp_path):
    with pytest.raises(ValueError, match="hold no rig"):
        deliver(free, tmp_path / "a.obj", OutputSettings(rig=True))
    assert list(tmp_path.iterdir()) == []


def test_values_of_the_vertices_follow_the_cut(fused, standing, tmp_path):
    mesh = capsule_body(standing)
    person = Deliverable(mesh, standing, 1.0, {"_HEIGHT": mesh.vertices[:, 1]}, {})
    file = GltfFile(write(tmp_path / "a.glb", person, OutputSettings(rig=True))[0])
    np.testing.assert_allclose(
        file.attribute("_HEIGHT") - file.attribute("POSITION")[:, 1], mesh.vertices[:, 1].min(), atol=0.1
    )


def test_unknown_poses_and_motions_are_refused(tmp_path):
    for wrong, words in [({"pose": "b"}, "pose must be"), ({"animate": ("dance",)}, "walk, idle, wave")]:
        with pytest.raises(ValueError, match=words):
            OutputSettings(**wrong)
    with pytest.raises(ValueError, match="does not exist"):
        OutputSettings(animate=(str(tmp_path / "no.bvh"),)).check(tmp_path / "a.glb")
    assert replace(OutputSettings(), rig=True).rigged
