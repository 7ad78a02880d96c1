"""Body poses as joint rotations: reading the pose pack, mirroring, perturbing, and carrying over to any rig.

Axes: +Y up, the person faces +Z, the person's left is +X. The reference skeleton is an ideal T-pose whose joint frames
are all parallel to the world; a local rotation is expressed in the parent's frame, so the world rotation of a joint is
the product of the local rotations from the pelvis down to it. Quaternions are (w, x, y, z).
"""

import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

Split = Literal["train", "val"]

_TRUNK_BONES = ("pelvis", "spine1", "spine2", "spine3", "neck", "head")
_ARM, _LEG = ("clavicle", "shoulder", "elbow", "wrist"), ("hip", "knee", "ankle", "toe")
#: The 22 joints of a pose, in the pack's order; parents come before children.
POSE_JOINTS: tuple[str, ...] = (
    *_TRUNK_BONES,
    *(f"{side}_{joint}" for limb in (_ARM, _LEG) for side in ("left", "right") for joint in limb),
)
POSE_PARENTS: tuple[int, ...] = (-1, 0, 1, 2, 3, 4, 3, 6, 7, 8, 3, 10, 11, 12, 0, 14, 15, 16, 0, 18, 19, 20)
POSE_INDEX = {name: i for i, name in enumerate(POSE_JOINTS)}


_SWAP = {"left_": "right_", "right_": "left_"}
#: Joint of the other side for each joint; joints in the middle stay.
_MIRROR = np.array([POSE_INDEX[re.sub("^(left_|right_)", lambda m: _SWAP[m[0]], name)] for name in POSE_JOINTS])

#: One source in this many is kept for validation.
_HELD_OUT = 5


def split_of(source: str) -> Split:
    """The side of the train / validation split that a pose source belongs to: always the same for the same name."""
    return "val" if zlib.crc32(source.encode()) % _HELD_OUT == 0 else "train"


@dataclass(frozen=True)
class PosePack:
    """Poses with the clip they come from.

    Attributes:
        quats: local rotations, unit (w, x, y, z), joints in the order of ``POSE_JOINTS``.
        sources: name of the clip or hand-made pose of each row; whole sources are on one side of the split.
    """

    quats: Float[np.ndarray, "N 22 4"]
    sources: tuple[str, ...]

    def of_split(self, split: Split) -> "PosePack":
        """The poses whose source belongs to ``split``. Train and val never share a source."""
        rows = [i for i, source in enumerate(self.sources) if split_of(source) == split]
        return PosePack(self.quats[rows], tuple(self.sources[i] for i in rows))

    def draw(self, rng: np.random.Generator) -> tuple[str, Float[np.ndarray, "22 4"]]:
        """A random pose. A source's share grows with the square root of its number of frames, so that one long walk
        does not crowd out the single hand-made poses; poses that lie or tumble are drawn a fifth as often.

        Raises:
            ValueError: the pack is empty.
        """
        if not self.sources:
            raise ValueError("PosePack.draw: there is no pose in this pack (is this side of the split empty?)")
        _, which, counts = np.unique(self.sources, return_inverse=True, return_counts=True)
        trunk = Rotation.from_quat(self.quats[:, 0], scalar_first=True).apply([0.0, 1.0, 0.0])
        weight = np.where(trunk[:, 1] > 0.5, 1.0, 0.2) / np.sqrt(counts[which])
        row = int(rng.choice(len(weight), p=weight / weight.sum()))
        return self.sources[row], self.quats[row]


def load_poses(path: Path) -> PosePack:
    """Reads the pose pack, an npz with ``joint_names``, ``quat_wxyz`` and ``source``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: its joints are not ``POSE_JOINTS``.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"load_poses: no pose pack at {path}; expected <assets>/poses/poses.npz")
    with np.load(path, allow_pickle=False) as pack:
        names = tuple(str(n) for n in pack["joint_names"])
        if names != POSE_JOINTS:
            raise ValueError(f"load_poses: {path} has joints {names}, expected {POSE_JOINTS}")
        return PosePack(pack["quat_wxyz"].astype(np.float32), tuple(str(s) for s in pack["source"]))


def mirrored(quats: Float[np.ndarray, "22 4"]) -> Float[np.ndarray, "22 4"]:
    """The mirror image of a pose: left and right change places, and x -> -x."""
    return quats[_MIRROR] * np.array([1, 1, -1, -1], dtype=quats.dtype)


def perturbed(
    quats: Float[np.ndarray, "22 4"], rng: np.random.Generator, *, sigma_deg: float = 4.0
) -> Float[np.ndarray, "22 4"]:
    """The pose with a small random rotation added at every joint but the pelvis; the head gets three times as much
    about the vertical axis, people look around."""
    noise = rng.normal(0.0, np.deg2rad(sigma_deg), (len(POSE_JOINTS), 3))
    noise[0] *= 0.5
    noise[POSE_INDEX["head"], 1] *= 3.0
    turned = Rotation.from_quat(quats, scalar_first=True) * Rotation.from_rotvec(noise)
    return turned.as_quat(scalar_first=True).astype(np.float32)


def with_turns(quats: Float[np.ndarray, "22 4"], turns: dict[str, Rotation]) -> Float[np.ndarray, "22 4"]:
    """The pose with other local rotations at some joints, by their names."""
    turned = quats.copy()
    for joint, turn in turns.items():
        turned[POSE_INDEX[joint]] = turn.as_quat(scalar_first=True)
    return turned


def with_shoulder_girdle(quats: Float[np.ndarray, "22 4"]) -> Float[np.ndarray, "22 4"]:
    """The pose with collar bones that follow the arms, where a pose leaves them still: they sink by about 15 degrees
    with hanging arms, rise with raised ones and swing forward with reaching ones. The arms keep their direction.

    Without it hanging arms square the shoulders: a third of an arm's lift comes from the girdle.
    """
    turned = quats.copy()
    for side, x in (("left", 1.0), ("right", -1.0)):
        collar, shoulder = POSE_INDEX[f"{side}_clavicle"], POSE_INDEX[f"{side}_shoulder"]
        if abs(quats[collar, 0]) < np.cos(np.deg2rad(2.0)):
            continue
        arm = Rotation.from_quat(quats[shoulder], scalar_first=True)
        reach = arm.apply([x, 0.0, 0.0])
        lift, swing = (15 if reach[1] < 0 else 28) * reach[1], 12 * max(reach[2], 0.0)
        girdle = Rotation.from_euler("yz", [-x * swing, x * lift], degrees=True)
        turned[collar] = girdle.as_quat(scalar_first=True)
        turned[shoulder] = (girdle.inv() * arm).as_quat(scalar_first=True)
    return turned


def world_rotations(quats: Float[np.ndarray, "22 4"]) -> Float[np.ndarray, "22 3 3"]:
    """Local rotations to world rotations: the product from the pelvis down."""
    local = Rotation.from_quat(quats, scalar_first=True).as_matrix()
    world = np.empty_like(local)
    for joint, parent in enumerate(POSE_PARENTS):
        world[joint] = local[joint] if parent < 0 else world[parent] @ local[joint]
    return world


def smallest_rotation(start: Float[np.ndarray, "3"], end: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """The smallest rotation that turns the direction ``start`` into ``end``.

    Raises:
        ValueError: a direction has no length, or the two are opposite (then there is no smallest rotation).
    """
    lengths = np.linalg.norm(start), np.linalg.norm(end)
    if min(lengths) < 1e-9:
        raise ValueError(f"smallest_rotation: a direction has no length: {start}, {end}")
    a, b = start / lengths[0], end / lengths[1]
    axis, cosine = np.cross(a, b), float(a @ b)
    if cosine < -1 + 1e-9:
        raise ValueError(f"smallest_rotation: {start} and {end} are opposite, the rotation is not unique")
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + cross + cross @ cross / (1 + cosine)


#: Joints whose limb segment may point elsewhere in a rig's rest pose: the joint at the segment's end, and the
#: segment's direction in the T-pose.
_SEGMENTS = {
    f"{side}_{joint}": (f"{side}_{child}", np.array(direction))
    for side, x in (("left", 1.0), ("right", -1.0))
    for joint, child, direction in (
        ("shoulder", "elbow", (x, 0.0, 0.0)),
        ("elbow", "wrist", (x, 0.0, 0.0)),
        ("hip", "knee", (0.0, -1.0, 0.0)),
        ("knee", "ankle", (0.0, -1.0, 0.0)),
    )
}


def retargeted(
    world: Float[np.ndarray, "22 3 3"], rest_positions: dict[str, Float[np.ndarray, "3"]]
) -> Float[np.ndarray, "22 3 3"]:
    """World rotation change D of each joint of a rig, relative to the rig's rest pose: D = G A^T.

    A is the smallest rotation from the T-pose's limb direction to the rig's; a wrist takes its elbow's.

    Args:
        world: G, from :func:`world_rotations`.
        rest_positions: the rig's rest position of at least shoulders, elbows, wrists, hips, knees and ankles.
    """
    change = world.copy()
    for name, (end, direction) in _SEGMENTS.items():
        turn = smallest_rotation(direction, rest_positions[end] - rest_positions[name])
        change[POSE_INDEX[name]] = world[POSE_INDEX[name]] @ turn.T
        if name.endswith("elbow"):
            change[POSE_INDEX[end]] = world[POSE_INDEX[end]] @ turn.T
    return change
