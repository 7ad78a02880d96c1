"""Random poses, and balance: the weight of standing people is above their feet and the soles lie on the floor.

Perturbed joints tilt a whole person and lift toes or heels, and a pose that stands on one body falls over on another.
Both are corrected here, for the body that takes the pose.
"""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from humanlrm.body.balance import balance_offset, is_standing
from humanlrm.body.landmarks import INDEX
from humanlrm.people.poses import everyday
from humanlrm.people.poses.augmented import augmented
from humanlrm.people.poses.pack import (
    POSE_INDEX,
    PosePack,
    Split,
    mirrored,
    perturbed,
    with_shoulder_girdle,
    world_rotations,
)

#: Everyday poses are drawn this often, clips of the pose pack otherwise.
EVERYDAY_SHARE = 0.7
#: Share of the training poses that are made of two others (:mod:`humanlrm.people.poses.augmented`).
AUGMENTED_SHARE = 0.35
#: World rotations of a pose's joints to the landmarks of a body, +Y up, at any scale and place.
Skeleton = Callable[[Float[np.ndarray, "22 3 3"]], Float[np.ndarray, "19 3"]]

_UP = np.array([0.0, 1.0, 0.0])
#: A foot is levelled when it bears weight, its ankle at most so far above the other (lengths of a leg), and is nearly
#: level.
_SAME_FLOOR, _NEARLY_LEVEL_DEG = 0.05, 30.0
#: Largest lean of standing people, and largest correction, degrees; smaller leans stay as they are.
_SWAY_DEG, _MAX_TILT_DEG = 1.5, 15.0


def random_pose(poses: PosePack, split: Split, rng: np.random.Generator) -> tuple[str, Float[np.ndarray, "22 4"]]:
    """A pose of one side of the split and its source: perturbed, and mirrored half of the time. It is to be
    :func:`balanced` on the body that takes it. Only training poses are augmented."""
    source, quats = _draw(poses, split, rng)
    if split == "train" and rng.random() < AUGMENTED_SHARE:
        other, upper = _draw(poses, split, rng)
        source, quats = f"unusual/{source}/{other}", augmented(quats, upper, rng)
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
        upward = foot.apply(_UP)
        axis = np.cross(upward, _UP)
        sine, cosine = float(np.linalg.norm(axis)), float(upward @ _UP)
        tilt_rad = np.arctan2(sine, cosine)
        if cosine < 0 or tilt_rad > np.deg2rad(_NEARLY_LEVEL_DEG):
            continue
        level = Rotation.from_rotvec(axis / max(sine, 1e-9) * tilt_rad)
        turned[ankle] = _quat(Rotation.from_matrix(world[knee]).inv() * level * foot)
        turned[POSE_INDEX[f"{side}_toe"]] = (1, 0, 0, 0)
    return turned


def balancing(landmarks: Float[np.ndarray, "19 3"]) -> Rotation | None:
    """The rotation about the feet that brings the weight above them; None unless the person stands on both feet."""
    points = torch.from_numpy(landmarks)
    if not is_standing(points):
        return None
    arm = balance_offset(points).numpy().astype(np.float64)
    lean = np.degrees(np.arctan2(np.hypot(arm[0], arm[2]), arm[1]))
    angle = min(lean - _SWAY_DEG * np.tanh(lean / _SWAY_DEG), _MAX_TILT_DEG)
    axis = np.cross(arm, _UP)
    return Rotation.from_rotvec(axis / max(float(np.linalg.norm(axis)), 1e-9) * np.deg2rad(angle))


def _quat(turn: Rotation) -> Float[np.ndarray, "4"]:
    return turn.as_quat(scalar_first=True).astype(np.float32)
