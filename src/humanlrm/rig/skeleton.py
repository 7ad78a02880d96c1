"""Skeleton of a person from the landmarks: joints with the names of VRM's humanoid, and the bones between them."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from humanlrm.body.landmarks import COUNT, INDEX

_LIMBS = ("Shoulder", "UpperArm", "LowerArm", "Hand"), ("UpperLeg", "LowerLeg", "Foot", "Toes")
_TRUNK = ("hips", "spine", "chest", "neck", "head")
#: Joints, parents before children. "left" is the person's left.
JOINTS: tuple[str, ...] = (
    *_TRUNK,
    *(f"{side}{name}" for limb in _LIMBS for side in ("left", "right") for name in limb),
)
JOINT = {name: i for i, name in enumerate(JOINTS)}


def _parent(name: str) -> int:
    """Index of a joint's parent; -1 for the hips."""
    if name in _TRUNK:
        return _TRUNK.index(name) - 1
    side = "left" if name.startswith("left") else "right"
    limb, root = (_LIMBS[0], "chest") if name.removeprefix(side) in _LIMBS[0] else (_LIMBS[1], "hips")
    place = limb.index(name.removeprefix(side))
    return JOINT[root] if place == 0 else JOINT[side + limb[place - 1]]


#: Index of each joint's parent; -1 for the hips.
PARENTS: tuple[int, ...] = tuple(_parent(name) for name in JOINTS)
#: Place of the trunk's joints between the middle of the hips and the neck, and of the head's between neck and skull.
_SPINE, _CHEST, _SKULL_BASE = 0.18, 0.5, 0.5
#: Where the shoulder's joint lies between the neck and the upper arm, and the toes' between ankle and toe.
_COLLAR, _BALL = 0.22, 0.72
#: The trunk's outer lines: distance from the middle, in that of hips and shoulders, and height where they end.
_FLANK, _ARMPIT = 0.6, 0.85
#: Radius of the flesh around the bones of somebody whose trunk, from hips to neck, is this long.
_RADII = {"hips": 0.1, "spine": 0.1, "chest": 0.1, "neck": 0.06, "head": 0.1, "Shoulder": 0.06,
          "UpperArm": 0.05, "LowerArm": 0.04, "Hand": 0.035,
          "UpperLeg": 0.085, "LowerLeg": 0.06, "Foot": 0.045, "Toes": 0.04}  # fmt: skip
_TRUNK_LENGTH = 0.58
#: The hand's bone ends beyond the index finger's knuckle, the toes' beyond the toe's joint, in lengths from the wrist
#: and the ankle.
_FINGERS, _TOE_TIP = 1.9, 1.3


@dataclass(frozen=True)
class Skeleton:
    """Joints at rest, in the order of ``JOINTS``.

    Attributes:
        positions: of the joints, in the unit of the landmarks.
        ends: tip of each bone: the next joint of the limb, or the end of head, hands and toes.
        nose: tip of the nose: where the face looks.
    """

    positions: Float[np.ndarray, "K 3"]
    ends: Float[np.ndarray, "K 3"]
    nose: Float[np.ndarray, "3"]

    @property
    def segments(self) -> tuple[Int[np.ndarray, "S"], Float[np.ndarray, "S 2 3"], Float[np.ndarray, "S"]]:
        """Joint that moves each straight piece of bone, both ends of the piece, and the radius of the flesh around it.

        A trunk is wide: its bones have parallel pieces on both sides, and pieces to the shoulders and the hips.
        """
        joint, pieces = list(range(len(JOINTS))), [*np.stack([self.positions, self.ends], axis=1)]
        for child in (name for name in JOINTS if name.endswith(("UpperLeg", "Shoulder"))):
            joint.append(PARENTS[JOINT[child]])
            pieces.append(np.stack([self.positions[joint[-1]], self.positions[JOINT[child]]]))
        levels = [*(JOINT[name] for name in _TRUNK[:3]), JOINT["neck"]]
        hips, neck = self.positions[levels[0]], self.positions[levels[-1]]
        for side in ("left", "right"):
            low, high = self.positions[JOINT[f"{side}UpperLeg"]] - hips, self.positions[JOINT[f"{side}UpperArm"]] - neck
            shares = np.array([0, _SPINE, _CHEST, _ARMPIT])[:, None]
            line = hips + shares * (neck - hips) + _FLANK * (low + shares * (high - low))
            joint += levels[:3]
            pieces += [*np.stack([line[:-1], line[1:]], axis=1)]
        size = float(np.linalg.norm(neck - hips)) / _TRUNK_LENGTH
        radii = [_RADII[JOINTS[k].removeprefix("left").removeprefix("right")] * size for k in joint]
        return np.array(joint), np.stack(pieces), np.array(radii)

    @property
    def offsets(self) -> Float[np.ndarray, "K 3"]:
        """Position of each joint relative to its parent; the hips' own position."""
        parents = np.array(PARENTS)
        return np.where(parents[:, None] < 0, self.positions, self.positions - self.positions[parents])

    def transformed(self, scale: float, shift: Float[np.ndarray, "3"]) -> "Skeleton":
        """Every point p as ``p * scale + shift``."""
        return Skeleton(*(points * scale + shift for points in (self.positions, self.ends, self.nose)))


def skeleton_from_landmarks(landmarks: Float[np.ndarray, "J 3"]) -> Skeleton:
    """The skeleton of a person with these landmarks.

    Raises:
        ValueError: landmarks are missing (not finite, or all in one place).
    """
    marks = np.asarray(landmarks, np.float64)
    missing = [name for name, place in INDEX.items() if not np.isfinite(marks[place]).all()]
    if len(marks) != COUNT or missing or np.ptp(marks, axis=0).max() < 1e-3:
        raise ValueError(f"a rig needs all {COUNT} landmarks of the person; missing: {', '.join(missing) or 'all'}")
    mark = {name: marks[place] for name, place in INDEX.items()}
    hips, neck, skull = (mark["left_hip"] + mark["right_hip"]) / 2, mark["neck"], mark["head"]
    at = {
        "hips": hips,
        "spine": hips + _SPINE * (neck - hips),
        "chest": hips + _CHEST * (neck - hips),
        "neck": neck,
        "head": neck + _SKULL_BASE * (skull - neck),
    }
    end = {
        "hips": at["spine"],
        "spine": at["chest"],
        "chest": neck,
        "neck": at["head"],
        "head": skull + 0.5 * (skull - neck),
    }
    for side in ("left", "right"):
        arm, leg = (
            [mark[f"{side}_{name}"] for name in names]
            for names in (("shoulder", "elbow", "wrist", "hand"), ("hip", "knee", "ankle", "toe"))
        )
        joints = [neck + _COLLAR * (arm[0] - neck), *arm[:3], *leg[:3], leg[2] + _BALL * (leg[3] - leg[2])]
        tips = [
            *arm[:3],
            arm[2] + _FINGERS * (arm[3] - arm[2]),
            *leg[1:3],
            joints[-1],
            leg[2] + _TOE_TIP * (leg[3] - leg[2]),
        ]
        for name, joint, tip in zip((*_LIMBS[0], *_LIMBS[1]), joints, tips, strict=True):
            at[side + name], end[side + name] = joint, tip
    return Skeleton(np.stack([at[name] for name in JOINTS]), np.stack([end[name] for name in JOINTS]), mark["nose"])
