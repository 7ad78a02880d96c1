"""Poses that no clip holds: legs of one with arms of another, wide strides, bent trunks, people in the air.

The depth of rare poses goes wrong most, such as a leg high behind or a trunk bent away from the camera. A pack of clips
has few of them, so they are made of those that it has.
"""

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from humanlrm.people.poses import everyday
from humanlrm.people.poses.pack import POSE_INDEX, POSE_JOINTS, with_turns, world_rotations

#: Probability of each change; a pose without any gets loose legs.
_CROSSED, _LOOSE, _BENT, _TILTED = 0.5, 0.5, 0.35, 0.25
#: Loose legs: thigh forward (mean, deviation, least, most), outward likewise, knee (least, most), degrees.
_FORWARD, _OUTWARD, _KNEE = (15, 45, -55, 120), (8, 16, -15, 70), (0, 130)
#: Probability that only one leg is loose.
_ONE_LEG = 0.5
#: Trunks are bent so far, degrees: forward mostly, to a side and backward less.
_BEND, _BACKWARD = (20, 95), -25
#: Probability that the arms of a bent trunk hang or reach where they did before.
_ARMS_STAY = 0.4
#: Deviation of the tilt of a whole person, and the largest, degrees.
_TILT, _MOST_TILT = 40, 110

_LOWER = [POSE_INDEX[n] for n in POSE_JOINTS if n == "pelvis" or n.split("_")[-1] in ("hip", "knee", "ankle", "toe")]


def augmented(
    quats: Float[np.ndarray, "22 4"], other: Float[np.ndarray, "22 4"], rng: np.random.Generator
) -> Float[np.ndarray, "22 4"]:
    """A pose made of two: local rotations (w, x, y, z), in the axes of ``people.poses.pack``."""
    cross, loose, bend, tilt = rng.random(4) < (_CROSSED, _LOOSE, _BENT, _TILTED)
    pose = crossed(quats, other) if cross else quats
    if loose or not (cross or bend or tilt):
        pose = with_loose_legs(pose, rng)
    if bend:
        pose = bent(pose, rng)
    return tilted(pose, rng) if tilt else pose


def crossed(lower: Float[np.ndarray, "22 4"], upper: Float[np.ndarray, "22 4"]) -> Float[np.ndarray, "22 4"]:
    """Pelvis and legs of one pose, trunk, arms and head of another."""
    pose = upper.copy()
    pose[_LOWER] = lower[_LOWER]
    return pose


def with_loose_legs(quats: Float[np.ndarray, "22 4"], rng: np.random.Generator) -> Float[np.ndarray, "22 4"]:
    """One leg or both anywhere that hips and knees let them be; a leg that is drawn up is mostly bent."""
    turns: dict[str, Rotation] = {}
    sides = ("left", "right") if rng.random() > _ONE_LEG else (str(rng.choice(["left", "right"])),)
    for side in sides:
        forward, out = (float(np.clip(rng.normal(m, s), low, high)) for m, s, low, high in (_FORWARD, _OUTWARD))
        knee = float(np.clip(rng.normal(0.5 * abs(forward), 35), *_KNEE))
        toe_out, ankle = rng.normal(10, 12), -rng.uniform(-10, 40)
        turns |= everyday.leg(side, forward, out, knee, toe_out, ankle)
    return with_turns(quats, turns)


def bent(quats: Float[np.ndarray, "22 4"], rng: np.random.Generator) -> Float[np.ndarray, "22 4"]:
    """The trunk bent at hips and spine, the legs where they were; now and then the arms, too."""
    angle = rng.uniform(*_BEND) if rng.random() < 0.85 else rng.uniform(_BACKWARD, 0)
    bend = Rotation.from_euler("yx", [rng.normal(0, 25), angle], degrees=True)
    bend = bend * Rotation.from_euler("y", rng.normal(0, 12), degrees=True)
    at_hips, spine = _parted(bend, rng.uniform(0.4, 0.8))
    turn = dict(zip(POSE_JOINTS, Rotation.from_quat(quats, scalar_first=True), strict=True))
    third = _parted(spine, 1 / 3)[0]
    turns = {"pelvis": turn["pelvis"] * at_hips}
    turns |= {name: at_hips.inv() * turn[name] for name in ("left_hip", "right_hip")}
    turns |= {name: third * turn[name] for name in ("spine1", "spine2", "spine3")}
    turned = with_turns(quats, turns)
    if rng.random() < _ARMS_STAY:
        before, after = (world_rotations(pose)[POSE_INDEX["spine3"]] for pose in (quats, turned))
        back = Rotation.from_matrix(after.T @ before)
        collars = {side: turn[f"{side}_clavicle"] for side in ("left", "right")}
        arms = {f"{s}_shoulder": c.inv() * back * c * turn[f"{s}_shoulder"] for s, c in collars.items()}
        turned = with_turns(turned, arms)
    return turned


def tilted(quats: Float[np.ndarray, "22 4"], rng: np.random.Generator) -> Float[np.ndarray, "22 4"]:
    """The whole person tilted to any side: in the air, on the floor, on a slope."""
    angle = float(np.clip(abs(rng.normal(0, _TILT)), 0, _MOST_TILT))
    toward = rng.uniform(0, 2 * np.pi)
    tilt = Rotation.from_rotvec(np.deg2rad(angle) * np.array([np.cos(toward), 0, np.sin(toward)]))
    return with_turns(quats, {"pelvis": tilt * Rotation.from_quat(quats[0], scalar_first=True)})


def _parted(turn: Rotation, share: float) -> tuple[Rotation, Rotation]:
    """A share of a rotation, and the rest."""
    vector = turn.as_rotvec()
    return Rotation.from_rotvec(share * vector), Rotation.from_rotvec((1 - share) * vector)
