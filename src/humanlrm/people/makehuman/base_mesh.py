"""The MakeHuman base mesh, on whose vertices garments hang, and the bones that move it.

Everything here is in metres, +Y up, facing +Z, the person's left at +X.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.transform import Rotation

from humanlrm.people.armature import LIMB_BONES, SIDES, Armature, nose_and_crown
from humanlrm.people.body_model import body_model
from humanlrm.people.poses.pack import POSE_INDEX, retargeted, smallest_rotation

#: Vertices of the body proper; the numbers above are tongue, joints, eyes, teeth and the helpers for clothes and hair.
BODY_VERTICES = 13380

_TRUNK_JOINTS = {
    "root": "pelvis", "spine05": "spine1", "spine04": "spine1", "spine03": "spine2", "spine02": "spine2",
    "spine01": "spine3", "neck01": "neck", "neck02": "neck", "neck03": "neck", "head": "head",
}  # fmt: skip
_LIMB_JOINTS = {
    "clavicle": "clavicle", "shoulder01": "clavicle", "upperarm01": "shoulder", "upperarm02": "shoulder",
    "lowerarm01": "elbow", "lowerarm02": "elbow", "wrist": "wrist", "upperleg01": "hip", "upperleg02": "hip",
    "lowerleg01": "knee", "lowerleg02": "knee", "foot": "ankle",
}  # fmt: skip


@dataclass(frozen=True)
class BaseMesh:
    """Topology and skinning weights that all bodies share.

    Attributes:
        faces: triangles of the body (vertices below ``BODY_VERTICES``).
        uv: texture coordinates, v = 0 at the bottom; uv_faces: index into ``uv`` of each corner.
        weights: skinning weights of every vertex, helpers too; rows sum to 1.
        bones: names, parents before children.
        nose: number of the vertex at the tip of the nose; crown: of the highest vertex of the head.
    """

    faces: Int[np.ndarray, "F 3"]
    uv: Float[np.ndarray, "U 2"]
    uv_faces: Int[np.ndarray, "F 3"]
    weights: Float[np.ndarray, "N B"]
    bones: tuple[str, ...]
    nose: int
    crown: int

    def bones_of(self, *prefixes: str) -> list[int]:
        """Numbers of the bones whose name begins with one of ``prefixes``."""
        return [i for i, bone in enumerate(self.bones) if bone.startswith(prefixes)]


def _triangles(quads: Int[np.ndarray, "Q 4"]) -> Int[np.ndarray, "F 3"]:
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]).astype(np.int32)


@cache
def base_mesh() -> BaseMesh:
    """The shared mesh, made once per process."""
    model = body_model("makehuman")
    body = (model.faces < BODY_VERTICES).all(axis=1)
    points, heads = model.rest({})
    nose, crown = nose_and_crown(points[:BODY_VERTICES], heads[model.bones.index("eye.L")])
    weights = np.zeros((len(points), len(model.bones)), np.float32)
    np.add.at(weights, (np.arange(len(points))[:, None], model.weight_bones), model.weights)
    return BaseMesh(
        faces=_triangles(model.faces[body]),
        uv=model.uv,
        uv_faces=_triangles(model.uv_faces[body]),
        weights=weights,
        bones=model.bones,
        nose=nose,
        crown=crown,
    )


def armature_of(heads: Float[np.ndarray, "B 3"]) -> Armature:
    """The armature of a body whose bones begin at ``heads``."""
    return Armature(base_mesh().bones, body_model("makehuman").parents, heads.astype(np.float64))


def _pose_joint(bone: str) -> str | None:
    """The joint of a pose that moves a bone; None if the bone follows its parent."""
    name, _, side = bone.partition(".")
    word = {"L": "left_", "R": "right_"}.get(side, "")
    if name in _TRUNK_JOINTS:
        return _TRUNK_JOINTS[name]
    if name == "pelvis":
        return "pelvis"
    joint = "toe" if name.startswith("toe") else _LIMB_JOINTS.get(name)
    return None if joint is None else word + joint


@dataclass(frozen=True)
class Hand:
    """Pose of a hand: bend of each finger joint in degrees, and spread of the fingers from 0 (closed) to 1."""

    bend_deg: float
    spread: float


def random_hands(rng: np.random.Generator) -> tuple[Hand, Hand]:
    """Left and right hand: mostly relaxed, one in eight flat, one in eight a fist."""

    def random_hand() -> Hand:
        kind = rng.random()
        bend = rng.uniform(0, 8) if kind < 0.125 else rng.uniform(55, 80) if kind < 0.25 else rng.uniform(10, 35)
        return Hand(float(bend), float(rng.beta(1, 3)))

    return random_hand(), random_hand()


def bone_rotations(
    rig: Armature, world: Float[np.ndarray, "22 3 3"], hands: tuple[Hand, Hand]
) -> Float[np.ndarray, "B 3 3"]:
    """World rotation change of every bone from a pose's world rotations; the rest pose has hanging arms, so limbs are
    retargeted. Fingers are bent about the line of the knuckles and closed toward the middle finger.

    Args:
        hands: the left and the right one; thumbs are not bent.
    """
    rest = {
        f"{s}_{joint}": rig.rest[rig.index(f"{bone}.{end}")] for s, end in SIDES for joint, bone in LIMB_BONES.items()
    }
    change = retargeted(world, rest)
    bends: dict[str, Float[np.ndarray, "3 3"]] = {}
    for (_, end), hand in zip(SIDES, hands, strict=True):
        bends[end] = _knuckle_bend(rig, end, hand.bend_deg)
        bends |= {f"finger{k}-1.{end}": _closing(rig, end, k, 1 - hand.spread) for k in (1, 2, 4, 5)}
    turns = np.empty((len(rig.names), 3, 3))
    for bone, (name, parent) in enumerate(zip(rig.names, rig.parents, strict=True)):
        joint = _pose_joint(name)
        if joint is not None:
            turns[bone] = change[POSE_INDEX[joint]]
        elif name.startswith("finger"):
            bend = np.eye(3) if name.startswith("finger1") else bends[name[-1]]
            turns[bone] = turns[parent] @ bends.get(name, np.eye(3)) @ bend
        else:
            turns[bone] = turns[parent]
    return turns


def _knuckle_bend(rig: Armature, side: str, bend_deg: float) -> Float[np.ndarray, "3 3"]:
    """Rotation about the line from the little finger's knuckle to the index finger's, toward the palm."""
    axis = rig.rest[rig.index(f"finger2-1.{side}")] - rig.rest[rig.index(f"finger5-1.{side}")]
    sign = -1.0 if side == "L" else 1.0
    return Rotation.from_rotvec(sign * np.deg2rad(bend_deg) * axis / np.linalg.norm(axis)).as_matrix()


def _closing(rig: Armature, side: str, finger: int, share: float) -> Float[np.ndarray, "3 3"]:
    """Rotation of a finger's root by ``share`` of the angle to the middle finger; the thumb (1) half as far to the
    index finger."""

    def along(number: int) -> Float[np.ndarray, "3"]:
        return rig.rest[rig.index(f"finger{number}-3.{side}")] - rig.rest[rig.index(f"finger{number}-1.{side}")]

    turn = Rotation.from_matrix(smallest_rotation(along(finger), along(2 if finger == 1 else 3)))
    return Rotation.from_rotvec(turn.as_rotvec() * share * (0.5 if finger == 1 else 1.0)).as_matrix()
