from dataclasses import replace

import numpy as np
import pytest

from humanlrm.body.landmarks import INDEX, MIRROR
from humanlrm.people.procedural.bodies import Body, landmarks, rig, sample_body, skin
from humanlrm.people.procedural.limbs import arm_clearance_m, bone_turns
from humanlrm.people.procedural.poses import PHOTO_POSES, Arm, BodyPose, Leg, mirrored, sample_pose


@pytest.fixture(scope="module")
def body():
    return sample_body(np.random.default_rng(1))


def _marks(body, pose):
    turns = bone_turns(body, pose)
    return landmarks(body, turns, skin(body, turns))


def test_no_turns_leave_the_body_at_rest(body):
    np.testing.assert_allclose(skin(body, {}), body.vertices, atol=1e-5)


def test_left_is_plus_x_and_the_average_body_is_symmetric():
    average = Body(rig().vertices, rig().armature, "female", 0.67)
    marks = landmarks(average, {}, average.vertices)
    assert (marks[: len(marks) // 2 - 1, 0] > 0).all()
    np.testing.assert_allclose(marks[MIRROR] * [-1, 1, 1], marks, atol=2e-3)
    assert marks[INDEX["nose"], 2] > marks[INDEX["head"], 2]


def test_statures_are_those_of_people():
    bodies = [sample_body(np.random.default_rng(seed)) for seed in range(60)]
    adults = np.array([b.height_m for b in bodies if b.age > 0.55])
    assert 0.02 < np.mean([b.age < 0.55 for b in bodies]) < 0.35
    assert 1.6 < adults.mean() < 1.78
    assert 0.05 < adults.std() < 0.12
    assert adults.min() > 1.35


def test_standing_arms_hang_and_sitting_thighs_are_level(body):
    standing = _marks(body, BodyPose("standing"))
    assert standing[INDEX["left_wrist"], 1] < standing[INDEX["left_elbow"], 1] < standing[INDEX["left_shoulder"], 1]
    sitting = _marks(body, next(p for _, p in PHOTO_POSES if p.family == "sitting"))
    thigh, shin = (
        sitting[INDEX[b]] - sitting[INDEX[a]] for a, b in (("left_hip", "left_knee"), ("left_knee", "left_ankle"))
    )
    assert abs(thigh[1]) < 0.35 * np.linalg.norm(thigh)
    assert thigh[2] > 0
    assert shin[1] < -0.8 * np.linalg.norm(shin)


def test_raised_arms_are_above_the_head(body):
    marks = _marks(body, next(p for _, p in PHOTO_POSES if p.family == "arms-raised"))
    assert marks[[INDEX["left_wrist"], INDEX["right_wrist"]], 1].min() > marks[INDEX["head"], 1]


def test_a_reaching_wrist_arrives(body):
    arm = Arm(reach=(0.12, -0.3, 0.6), pole=(1, -1, 0))
    turns = bone_turns(body, BodyPose("reach", arms=(arm, arm)))
    marks = landmarks(body, turns, skin(body, turns))
    neck, root = (body.armature.rest[body.armature.index(name)] for name in ("neck01", "root"))
    wanted = neck + np.linalg.norm(neck - root) * np.array([0.12, -0.3, 0.6])
    assert np.linalg.norm(marks[INDEX["left_wrist"]] - wanted) < 0.05


def test_mirroring_twice_is_nothing_and_once_swaps_the_sides(body):
    pose = replace(PHOTO_POSES[3][1], head=(3.0, 4.0, 20.0))
    assert mirrored(mirrored(pose)) == pose
    there, back = _marks(body, pose), _marks(body, mirrored(pose))
    np.testing.assert_allclose(back[MIRROR] * [-1, 1, 1], there, atol=0.02)


def test_sampled_angles_stay_within_joint_limits():
    rng = np.random.default_rng(0)
    for _ in range(300):
        pose = sample_pose(rng)
        assert all(1 <= leg.knee <= 138 and -28 <= leg.flex <= 118 for leg in pose.legs)
        assert all(4 <= arm.elbow <= 142 and 2 <= arm.abduct <= 165 for arm in pose.arms)


def test_hanging_arms_are_pushed_clear_of_the_trunk(body):
    tight = Arm(abduct=0, twist=60, elbow=60)
    turns = bone_turns(body, BodyPose("tight", arms=(tight, tight), legs=(Leg(), Leg())))
    assert all(arm_clearance_m(body, turns, side) > 0 for side in "LR")
