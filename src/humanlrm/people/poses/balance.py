"""Standing people stand: their weight is above their feet and the soles lie on the floor.

Perturbed joints tilt a whole person and lift toes or heels, and a pose that stands on one body falls over on another:
both are put right here, for the body that takes the pose.
"""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from humanlrm.body.balance import balance_offset, is_standing
from humanlrm.body.landmarks import INDEX, LANDMARKS
from humanlrm.people.poses import everyday
from humanlrm.people.poses.augmented import unusual
from humanlrm.people.poses.pack import (
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
#: How often a training pose is made of two others (:mod:`humanlrm.people.poses.augmented`; our choice).
UNUSUAL_SHARE = 0.35
#: Of a body: what the world rotations of its pose's joints make of its landmarks, +Y up, at any scale and place.
Skeleton = Callable[[Float[np.ndarray, "22 3 3"]], Float[np.ndarray, "19 3"]]

_UP = np.array([0.0, 1.0, 0.0])
#: Offsets from the parent joint in the T-pose, in body heights (after Drillis and Contini 1966, rounded).
_OFFSETS = {"spine1": (0, 0.06, 0), "spine2": (0, 0.07, 0), "spine3": (0, 0.05, 0), "neck": (0, 0.12, 0),
            "head": (0, 0.05, 0), "clavicle": (0.02, 0.09, 0), "shoulder": (0.085, 0.01, 0), "elbow": (0.165, 0, 0),
            "wrist": (0.15, 0, 0), "hip": (0.055, -0.02, 0), "knee": (0, -0.245, 0), "ankle": (0, -0.235, 0),
            "toe": (0, -0.035, 0.075)}  # fmt: skip
#: A foot is levelled when it bears weight, its ankle at most so far above the other (lengths of a leg), and is nearly
#: level (our choice).
_SAME_FLOOR, _NEARLY_LEVEL_DEG = 0.05, 30.0
#: How far people lean who stand, and the largest correction, degrees: small leans stay as they are, larger ones end
#: up at the first of these (our choice).
_SWAY_DEG, _MAX_TILT_DEG = 1.5, 15.0


def random_pose(poses: PosePack, split: Split, rng: np.random.Generator) -> tuple[str, Float[np.ndarray, "22 4"]]:
    """A pose of one side of the split and its source: perturbed, and mirrored half of the time. It is to be
    :func:`balanced` on the body that takes it. Some that people are trained with are unusual; of those that weights are
    measured with none is."""
    source, quats = _draw(poses, split, rng)
    if split == "train" and rng.random() < UNUSUAL_SHARE:
        other, upper = _draw(poses, split, rng)
        source, quats = f"unusual/{source}/{other}", unusual(quats, upper, rng)
    quats = perturbed(quats, rng)
    return source, mirrored(quats) if rng.random() < 0.5 else quats


def _draw(poses: PosePack, split: Split, rng: np.random.Generator) -> tuple[str, Float[np.ndarray, "22 4"]]:
    source, quats = everyday.draw(split, rng) if rng.random() < EVERYDAY_SHARE else poses.draw(rng)
    return source, with_shoulder_girdle(quats)


def balanced(quats: Float[np.ndarray, "22 4"], skeleton: Skeleton) -> Float[np.ndarray, "22 4"]:
    """The pose with the body's weight above its feet, if it stands on both, and with level soles where a foot bears
    weight."""
    turned = quats.copy()
    tilt = balancing(skeleton(world_rotations(quats)))
    if tilt is not None:
        turned[0] = _quat(tilt * Rotation.from_quat(quats[0], scalar_first=True))
    world = world_rotations(turned)
    points = skeleton(world)
    ankles = {side: points[INDEX[f"{side}_ankle"]] for side in ("left", "right")}
    leg = np.mean([np.linalg.norm(points[INDEX[f"{side}_hip"]] - ankle) for side, ankle in ankles.items()])
    floor = min(ankle[1] for ankle in ankles.values()) + _SAME_FLOOR * leg
    for side, at in ankles.items():
        if at[1] > floor:
            continue
        ankle, knee = POSE_INDEX[f"{side}_ankle"], POSE_INDEX[f"{side}_knee"]
        foot = Rotation.from_matrix(world[ankle])
        level = _onto(foot.apply(_UP), _UP)
        if level is None or level.magnitude() > np.deg2rad(_NEARLY_LEVEL_DEG):
            continue
        turned[ankle] = _quat(Rotation.from_matrix(world[knee]).inv() * level * foot)
        turned[POSE_INDEX[f"{side}_toe"]] = (1, 0, 0, 0)
    return turned


def balancing(landmarks: Float[np.ndarray, "19 3"]) -> Rotation | None:
    """The rotation about the feet that brings the weight above them; None for people who do not stand on both feet."""
    points = torch.from_numpy(landmarks)
    if not is_standing(points):
        return None
    arm = balance_offset(points).numpy().astype(np.float64)
    lean = np.degrees(np.arctan2(np.hypot(arm[0], arm[2]), arm[1]))
    angle = min(lean - _SWAY_DEG * np.tanh(lean / _SWAY_DEG), _MAX_TILT_DEG)
    axis = np.cross(arm, _UP)
    return Rotation.from_rotvec(axis / max(float(np.linalg.norm(axis)), 1e-9) * np.deg2rad(angle))


def mean_skeleton(world: Float[np.ndarray, "22 3 3"]) -> Float[np.ndarray, "19 3"]:
    """Landmarks of a mean body of height 1."""
    joints = np.zeros((len(POSE_JOINTS), 3))
    for joint, (name, parent) in enumerate(zip(POSE_JOINTS, POSE_PARENTS, strict=True)):
        if parent >= 0:
            offset = np.array(_OFFSETS[name.split("_")[-1]], dtype=float)
            offset[0] *= -1 if name.startswith("right") else 1
            joints[joint] = joints[parent] + world[parent] @ offset
    instead = {"left_hand": "left_wrist", "right_hand": "right_wrist", "nose": "head"}
    return joints[[POSE_INDEX[instead.get(name, name)] for name in LANDMARKS]]


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
