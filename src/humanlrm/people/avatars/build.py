"""Builds and poses of rigged avatars: a stretch and a rotation of each joint."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from humanlrm.people.armature import Armature
from humanlrm.people.poses.pack import POSE_INDEX, retargeted

_SIDE_NAMES = (("left", "Left"), ("right", "Right"))
#: Rig joint -> joint of a pose. Other rig joints follow their parent.
RIG_JOINTS: dict[str, str] = {
    "Hips": "pelvis",
    "Spine": "spine1",
    "Spine1": "spine2",
    "Spine2": "spine3",
    "Neck": "neck",
    "Head": "head",
} | {
    f"{rig_side}{rig}": f"{side}_{joint}"
    for side, rig_side in _SIDE_NAMES
    for rig, joint in {
        "Shoulder": "clavicle",
        "Arm": "shoulder",
        "ForeArm": "elbow",
        "Hand": "wrist",
        "UpLeg": "hip",
        "Leg": "knee",
        "Foot": "ankle",
        "ToeBase": "toe",
    }.items()
}


@dataclass(frozen=True)
class Build:
    """Proportions of a body relative to the avatar it starts from: factors, 1 changes nothing.

    Attributes:
        chest, belly, hips: width (x) and depth (z) of the trunk there.
        arm, leg: thickness of arms and legs.
        arm_length, leg_length, trunk_length: along the bones.
        head: size of the head; neck: thickness of the neck.
        hand, foot: size of hands and feet.
    """

    chest: tuple[float, float] = (1.0, 1.0)
    belly: tuple[float, float] = (1.0, 1.0)
    hips: tuple[float, float] = (1.0, 1.0)
    arm: float = 1.0
    leg: float = 1.0
    arm_length: float = 1.0
    leg_length: float = 1.0
    trunk_length: float = 1.0
    head: float = 1.0
    neck: float = 1.0
    hand: float = 1.0
    foot: float = 1.0


def random_build(rng: np.random.Generator, *, child: bool) -> Build:
    """A random build: a common girth, then what differs from place to place."""
    girth = float(np.exp(np.clip(rng.normal(0.02, 0.11), -0.2, 0.32)))

    def near(base: float, sigma: float) -> float:
        return float(base * np.exp(np.clip(rng.normal(0, sigma), -2.2 * sigma, 2.2 * sigma)))

    belly = near(girth, 0.04) * (1 + max(0.0, float(rng.normal(0, 0.08))))
    hips = near(girth**0.8, 0.04)
    return Build(
        chest=(near(girth**0.6, 0.04), near(girth**0.9, 0.04)),
        belly=(near(girth, 0.04), belly),
        hips=(hips, near(girth**0.9, 0.04)),
        arm=near(girth**0.9, 0.05),
        leg=min(near(girth**0.9, 0.05), hips * 1.06),
        arm_length=near(0.95 if child else 1.0, 0.03),
        leg_length=near(0.86 if child else 1.0, 0.035),
        trunk_length=near(1.0, 0.03),
        head=near(1.24 if child else 1.0, 0.05 if child else 0.035),
        neck=near(girth**0.6 * (0.9 if child else 1.0), 0.04),
        hand=near(1.0, 0.04),
        foot=near(1.0, 0.04),
    )


def build_matrices(rig: Armature, build: Build) -> Float[np.ndarray, "J 3 3"]:
    """The stretch of each joint about its rest position: along and across its bone. Symmetric matrices.

    A joint without a stretch of its own (fingers, eyes) takes its parent's.
    """
    long = build.trunk_length
    stretched = {
        "Hips": _trunk(build.hips, long),
        "Spine": _trunk(_between(build.hips, build.belly), long),
        "Spine1": _trunk(build.belly, long),
        "Spine2": _trunk(build.chest, long),
        "Neck": _trunk((build.neck, build.neck), long),
        "Head": np.eye(3) * build.head,
    }
    for _, side in _SIDE_NAMES:
        stretched[f"{side}Shoulder"] = _trunk(build.chest, long)
        stretched[f"{side}Hand"] = np.eye(3) * build.hand
        stretched[f"{side}Foot"] = np.eye(3) * build.foot
        for name, child, across, along in (
            ("Arm", "ForeArm", build.arm, build.arm_length),
            ("ForeArm", "Hand", build.arm, build.arm_length),
            ("UpLeg", "Leg", build.leg, build.leg_length),
            ("Leg", "Foot", build.leg, build.leg_length),
        ):
            bone = rig.rest[rig.index(side + child)] - rig.rest[rig.index(side + name)]
            stretched[side + name] = _limb(bone, across, along)
    stretch = np.empty((len(rig.names), 3, 3))
    for joint, (name, parent) in enumerate(zip(rig.names, rig.parents, strict=True)):
        stretch[joint] = stretched[name] if name in stretched else stretch[parent]
    return stretch


def _between(a: tuple[float, float], b: tuple[float, float]) -> tuple[float, float]:
    return (a[0] + b[0]) / 2, (a[1] + b[1]) / 2


def _trunk(width_depth: tuple[float, float], height: float) -> Float[np.ndarray, "3 3"]:
    return np.diag([width_depth[0], height, width_depth[1]])


def _limb(bone: Float[np.ndarray, "3"], across: float, along: float) -> Float[np.ndarray, "3 3"]:
    axis = bone / np.linalg.norm(bone)
    return across * np.eye(3) + (along - across) * np.outer(axis, axis)


def rig_rotations(
    rig: Armature, world: Float[np.ndarray, "22 3 3"], finger_bend_deg: Float[np.ndarray, "2"]
) -> Float[np.ndarray, "J 3 3"]:
    """World rotation change of every rig joint from the pose's world rotations, fingers bent toward the palm.

    Args:
        finger_bend_deg: bend of each finger joint of the left and of the right hand (thumbs take a third).
    """
    rest = {joint: rig.rest[rig.index(name)] for name, joint in RIG_JOINTS.items()}
    change = retargeted(world, rest)
    turns = np.empty((len(rig.names), 3, 3))
    for joint, (name, parent) in enumerate(zip(rig.names, rig.parents, strict=True)):
        if name in RIG_JOINTS:
            turns[joint] = change[POSE_INDEX[RIG_JOINTS[name]]]
        else:
            turns[joint] = turns[parent] @ _finger(name, finger_bend_deg)
    return turns


def _finger(name: str, bend_deg: Float[np.ndarray, "2"]) -> Float[np.ndarray, "3 3"]:
    """Bend of one finger joint relative to its parent: about -z on the left hand, +z on the right (palms look down)."""
    if "Hand" not in name or name[-1] not in "123":
        return np.eye(3)
    left = name.startswith("Left")
    angle = float(bend_deg[0 if left else 1]) * (0.33 if "Thumb" in name else 1.0)
    return Rotation.from_euler("z", -angle if left else angle, degrees=True).as_matrix()
