"""Poses of a skeleton: the photo's, T and A, the rotations between them, and forward kinematics.

Rotations are of the world, relative to a rest pose: a point x of joint j goes to ``R_j (x - rest_j) + place_j``.
"""

from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation, Slerp

from humanlrm.rig.skeleton import JOINT, JOINTS, PARENTS, Skeleton

#: Directions of the bones of somebody who stands (left side; the right is the mirror image): means of 20 bodies of the
#: people engine at rest, arms and feet turned into the pose.
_STANDING = {
    "neck": (0.0, 0.974, 0.224),
    "UpperLeg": (0.06, -0.994, 0.08),
    "LowerLeg": (0.06, -0.994, -0.075),
    "Foot": (-0.02, -0.287, 0.957),
}
_ARMS: dict[str, dict[str, tuple[float, float, float]]] = {
    "a": {"Shoulder": (0.868, -0.493, 0.0), "UpperArm": (0.707, -0.707, 0.0)},
    "t": {"Shoulder": (0.95, -0.31, 0.0), "UpperArm": (1.0, 0.0, 0.0)},
}
_HEAD_UP = np.array(_STANDING["neck"])
_X, _Y, _Z = np.eye(3)


def pose_directions(pose: Literal["a", "t"]) -> dict[str, Float[np.ndarray, "3"]]:
    """Unit direction of each limb's bone, and of the neck, in a symmetric pose that looks along +Z."""
    sides = {**_STANDING, **_ARMS[pose]}
    sides["LowerArm"] = sides["Hand"] = sides["UpperArm"]
    sides["Toes"] = sides["Foot"]
    directions = {"neck": sides.pop("neck")}
    for name, (x, y, z) in sides.items():
        directions |= {f"left{name}": (x, y, z), f"right{name}": (-x, y, z)}
    return {name: np.array(d) / np.linalg.norm(d) for name, d in directions.items()}


def rotations_to(skeleton: Skeleton, pose: Literal["a", "t"]) -> Float[np.ndarray, "K 3 3"]:
    """World rotations that take the skeleton's rest pose to a symmetric one.

    Hips, chest and head turn as frames; every other bone takes the shortest way, so limbs twist as little as they can.
    """
    at, targets = skeleton.positions, pose_directions(pose)
    along = skeleton.ends - at
    trunk = at[JOINT["neck"]] - at[JOINT["hips"]]
    hips, chest = (
        _frame(trunk, at[JOINT[f"left{name}"]] - at[JOINT[f"right{name}"]]).T for name in ("UpperLeg", "UpperArm")
    )
    out = np.tile(np.eye(3), (len(JOINTS), 1, 1))
    out[JOINT["hips"]], out[JOINT["chest"]] = hips, chest
    out[JOINT["spine"]] = Slerp([0, 1], Rotation.from_matrix([hips, chest]))(0.5).as_matrix()
    head_up = along[JOINT["head"]]
    face = skeleton.nose - at[JOINT["head"]]
    out[JOINT["head"]] = _frame(_HEAD_UP, _X) @ _frame(head_up, np.cross(head_up, face)).T
    for name, target in targets.items():
        joint = JOINT[name]
        above = out[PARENTS[joint]]
        out[joint] = shortest_rotation(above @ along[joint], target) @ above
    return out


def place_joints(
    skeleton: Skeleton, rotations: Float[np.ndarray, "*T K 3 3"], hips: Float[np.ndarray, "*T 3"] | None = None
) -> Float[np.ndarray, "*T K 3"]:
    """Positions of the joints under world rotations; ``hips`` is where the hips are put (at rest if not given)."""
    offsets = skeleton.offsets
    out = np.empty(rotations.shape[:-1])
    for joint, parent in enumerate(PARENTS):
        if parent < 0:
            out[..., joint, :] = offsets[joint] if hips is None else hips
        else:
            out[..., joint, :] = out[..., parent, :] + rotations[..., parent, :, :] @ offsets[joint]
    return out


def local_rotations(rotations: Float[np.ndarray, "*T K 3 3"]) -> Float[np.ndarray, "*T K 3 3"]:
    """Rotations relative to the parent, of joints whose rest axes are the world's."""
    parents = np.array(PARENTS)
    above = rotations[..., np.maximum(parents, 0), :, :]
    local = np.swapaxes(above, -1, -2) @ rotations
    return np.where((parents < 0)[:, None, None], rotations, local)


def world_rotations(local: Float[np.ndarray, "*T K 3 3"]) -> Float[np.ndarray, "*T K 3 3"]:
    """Inverse of :func:`local_rotations`."""
    out = np.array(local, dtype=np.float64)
    for joint, parent in enumerate(PARENTS):
        if parent >= 0:
            out[..., joint, :, :] = out[..., parent, :, :] @ local[..., joint, :, :]
    return out


def shortest_rotation(start: Float[np.ndarray, "3"], stop: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """The rotation by the least angle that takes one direction to another; opposite ones turn about a level axis."""
    a, b = _unit(start), _unit(stop)
    axis, cosine = np.cross(a, b), float(np.clip(a @ b, -1, 1))
    sine = float(np.linalg.norm(axis))
    if sine < 1e-9:
        if cosine > 0:
            return np.eye(3)
        axis, sine = np.cross(a, _Y if abs(a @ _Y) < 0.9 else _X), 1.0
        return Rotation.from_rotvec(np.pi * _unit(axis)).as_matrix()
    return Rotation.from_rotvec(axis / sine * np.arctan2(sine, cosine)).as_matrix()


def _frame(up: Float[np.ndarray, "3"], across: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """Columns: across (the person's left), up, forward; ``up`` is kept, ``across`` made square to it."""
    y = _unit(up)
    x = across - (across @ y) * y
    if np.linalg.norm(x) < 1e-6:
        raise ValueError("a rig needs landmarks that are apart; hips, shoulders or the nose lie on the body's axis")
    x = _unit(x)
    return np.stack([x, y, np.cross(x, y)], axis=1)


def _unit(vector: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3"]:
    return vector / max(float(np.linalg.norm(vector)), 1e-12)
