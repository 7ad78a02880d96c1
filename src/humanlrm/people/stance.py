"""Standing people stand: their weight is above their feet and the soles lie on the floor.

Perturbed joints tilt a whole person and lift toes or heels; both are put right here, on a pose, before it meets a body.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from humanlrm.people import everyday
from humanlrm.people.posepack import (
    POSE_INDEX,
    POSE_JOINTS,
    POSE_PARENTS,
    PosePack,
    Split,
    mirrored,
    perturbed,
    with_shoulder_girdle,
    world_rotations,
)

#: Everyday poses are drawn this often, clips of the pose pack otherwise (our choice).
EVERYDAY_SHARE = 0.7

_UP = np.array([0.0, 1.0, 0.0])
#: Offsets from the parent joint in the T-pose, in body heights (after Drillis and Contini 1966, rounded).
_OFFSETS = {"spine1": (0, 0.06, 0), "spine2": (0, 0.07, 0), "spine3": (0, 0.05, 0), "neck": (0, 0.12, 0),
            "head": (0, 0.05, 0), "clavicle": (0.02, 0.09, 0), "shoulder": (0.085, 0.01, 0), "elbow": (0.165, 0, 0),
            "wrist": (0.15, 0, 0), "hip": (0.055, -0.02, 0), "knee": (0, -0.245, 0), "ankle": (0, -0.235, 0),
            "toe": (0, -0.035, 0.075)}  # fmt: skip
#: Share of the body's mass between two joints (Winter 2009, table 4.1), both sides in the limbs.
_MASSES = (("pelvis", "spine2", 0.22), ("spine2", "neck", 0.277), ("neck", "head", 0.081))
_LIMB_MASSES = (("shoulder", "elbow", 0.028), ("elbow", "wrist", 0.022), ("hip", "knee", 0.1), ("knee", "ankle", 0.061))
#: Feet count as standing when their ankles are about level; a foot is levelled when it is nearly level (our choice).
_LEVEL, _SAME_FLOOR, _NEARLY_LEVEL_DEG = 0.07, 0.025, 30.0
#: How high the pelvis of who stands is above the feet at least, in body heights: 0.5 with straight legs (our choice).
_STANDING = 0.42
#: How far the weight may be from the line between the feet, in body heights, and the largest correction.
_SWAY, _MAX_TILT_DEG = 0.02, 15.0


def random_pose(poses: PosePack, split: Split, rng: np.random.Generator) -> tuple[str, Float[np.ndarray, "22 4"]]:
    """A pose of one side of the split and its source: perturbed, settled, and mirrored half of the time."""
    source, quats = everyday.draw(split, rng) if rng.random() < EVERYDAY_SHARE else poses.draw(rng)
    quats = settled(perturbed(with_shoulder_girdle(quats), rng))
    return source, mirrored(quats) if rng.random() < 0.5 else quats


@dataclass(frozen=True)
class _Figure:
    """Joints of a pose on a mean skeleton of height 1, and where its weight is."""

    joints: Float[np.ndarray, "22 3"]
    weight: Float[np.ndarray, "3"]


def settled(quats: Float[np.ndarray, "22 4"]) -> Float[np.ndarray, "22 4"]:
    """The pose with its weight above the feet, if it stands on both, and with level soles where a foot bears weight."""
    turned = quats.copy()
    tilt = _balance(_figure(world_rotations(quats)))
    if tilt is not None:
        turned[0] = _quat(tilt * Rotation.from_quat(quats[0], scalar_first=True))
    world = world_rotations(turned)
    joints = _figure(world).joints
    floor = min(joints[POSE_INDEX[f"{side}_ankle"], 1] for side in ("left", "right"))
    for side in ("left", "right"):
        ankle, knee = POSE_INDEX[f"{side}_ankle"], POSE_INDEX[f"{side}_knee"]
        if joints[ankle, 1] > floor + _SAME_FLOOR:
            continue
        foot = Rotation.from_matrix(world[ankle])
        level = _onto(foot.apply(_UP), _UP)
        if level is None or level.magnitude() > np.deg2rad(_NEARLY_LEVEL_DEG):
            continue
        turned[ankle] = _quat(Rotation.from_matrix(world[knee]).inv() * level * foot)
        turned[POSE_INDEX[f"{side}_toe"]] = (1, 0, 0, 0)
    return turned


def _quat(turn: Rotation) -> Float[np.ndarray, "4"]:
    return turn.as_quat(scalar_first=True).astype(np.float32)


def _onto(start: Float[np.ndarray, "3"], end: Float[np.ndarray, "3"]) -> Rotation | None:
    """The smallest rotation between two unit vectors; None if they point away from each other."""
    cosine = float(start @ end)
    if cosine < 0:
        return None
    axis = np.cross(start, end)
    length = float(np.linalg.norm(axis))
    return Rotation.from_rotvec(axis / max(length, 1e-9) * np.arctan2(length, cosine))


def _figure(world: Float[np.ndarray, "22 3 3"]) -> _Figure:
    joints = np.zeros((len(POSE_JOINTS), 3))
    for joint, (name, parent) in enumerate(zip(POSE_JOINTS, POSE_PARENTS, strict=True)):
        if parent >= 0:
            offset = np.array(_OFFSETS[name.split("_")[-1]], dtype=float)
            offset[0] *= -1 if name.startswith("right") else 1
            joints[joint] = joints[parent] + world[parent] @ offset
    parts = list(_MASSES)
    parts += [(f"{s}_{a}", f"{s}_{b}", share) for s in ("left", "right") for a, b, share in _LIMB_MASSES]
    weight = sum(share * (joints[POSE_INDEX[a]] + joints[POSE_INDEX[b]]) / 2 for a, b, share in parts)
    return _Figure(joints, np.asarray(weight) / sum(share for *_, share in parts))


def _balance(figure: _Figure) -> Rotation | None:
    """The rotation about the feet that brings the weight above them; None for people who do not stand on both feet."""
    left, right = (figure.joints[[POSE_INDEX[f"{s}_ankle"], POSE_INDEX[f"{s}_toe"]]].mean(0) for s in ("left", "right"))
    height = figure.weight[1] - (left[1] + right[1]) / 2
    upright = figure.joints[POSE_INDEX["neck"]] - figure.joints[0]
    stands = abs(left[1] - right[1]) < _LEVEL and figure.joints[0, 1] - (left[1] + right[1]) / 2 > _STANDING
    if not stands or upright[1] < 0.7 * np.linalg.norm(upright):
        return None
    across = right - left
    share = np.clip((figure.weight - left) @ across / max(across @ across, 1e-9), 0.15, 0.85)
    foot = left + share * across
    arm = figure.weight - foot
    aside = np.array([arm[0], 0, arm[2]])
    length = float(np.linalg.norm(aside))
    if length < _SWAY:
        return None
    angle = min(np.arctan2(length - _SWAY, height), np.deg2rad(_MAX_TILT_DEG))
    axis = np.cross(aside / length, _UP)
    return Rotation.from_rotvec(axis * angle)
