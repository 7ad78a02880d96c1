"""The MakeHuman base mesh with its helper vertices, through ``anny``: what garments from ``.mhclo`` files hang on.

Everything here is in metres, +Y up, facing +Z, the person's left at +X; anny itself is Z up and faces -Y.
"""

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.spatial.transform import Rotation

from humanlrm.people.avatars.rig import AvatarRig
from humanlrm.people.joints import REST_JOINTS, SIDES, face_and_crown
from humanlrm.people.poses.pack import POSE_INDEX, retargeted, smallest_rotation

if TYPE_CHECKING:
    import anny

#: Vertices of the body proper; the numbers above are tongue, joints, eyes, teeth and the helpers for clothes and hair.
BODY_VERTICES = 13380

_TRUNK = {
    "root": "pelvis",
    "spine05": "spine1",
    "spine04": "spine1",
    "spine03": "spine2",
    "spine02": "spine2",
    "spine01": "spine3",
    "neck01": "neck",
    "neck02": "neck",
    "neck03": "neck",
    "head": "head",
}
_LIMBS = {
    "clavicle": "clavicle",
    "shoulder01": "clavicle",
    "upperarm01": "shoulder",
    "upperarm02": "shoulder",
    "lowerarm01": "elbow",
    "lowerarm02": "elbow",
    "wrist": "wrist",
    "upperleg01": "hip",
    "upperleg02": "hip",
    "lowerleg01": "knee",
    "lowerleg02": "knee",
    "foot": "ankle",
}


@dataclass(frozen=True)
class BaseMesh:
    """What all people of this mesh share.

    Attributes:
        faces: triangles of the body (vertices below ``BODY_VERTICES``).
        uv: texture coordinates, v = 0 at the bottom; uv_faces: index into ``uv`` of each corner.
        weights: skinning weights of every vertex, helpers too; rows sum to 1.
        bones: names, parents before children; parents: index of each bone's parent, -1 for the root.
        nose: number of the vertex at the tip of the nose; crown: of the highest vertex of the head.
    """

    faces: Int[np.ndarray, "F 3"]
    uv: Float[np.ndarray, "U 2"]
    uv_faces: Int[np.ndarray, "F 3"]
    weights: Float[np.ndarray, "N B"]
    bones: tuple[str, ...]
    parents: tuple[int, ...]
    nose: int
    crown: int


@cache
def _model() -> "anny.Anny":
    import anny  # the extra "train"; who only looks at photos does without

    return anny.Anny(topology="makehuman", skinning_method="lbs").to(dtype=torch.float32)


def _triangles(quads: Int[np.ndarray, "Q 4"]) -> Int[np.ndarray, "F 3"]:
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])


@cache
def base_mesh() -> BaseMesh:
    """The shared mesh. Takes a second, once per process."""
    model = _model()
    quads, corners = np.asarray(model.faces), np.asarray(model.face_texture_coordinate_indices)
    body = (quads < BODY_VERTICES).all(axis=1)
    points, heads = shaped({})
    bones = tuple(model.bone_labels)
    eye = heads[bones.index("eye.L")]
    nose, crown = face_and_crown(points[:BODY_VERTICES], eye)
    return BaseMesh(
        faces=_triangles(quads[body]).astype(np.int32),
        uv=np.asarray(model.texture_coordinates, dtype=np.float32),
        uv_faces=_triangles(corners[body]).astype(np.int32),
        weights=model.dense_vertex_bone_weights.numpy(),
        bones=bones,
        parents=tuple(int(p) for p in model.bone_parents),
        nose=nose,
        crown=crown,
    )


def shaped(phenotype: dict[str, float]) -> tuple[Float[np.ndarray, "N 3"], Float[np.ndarray, "B 3"]]:
    """Rest vertices (with helpers) and bone heads of a body, metres.

    Args:
        phenotype: anny's numbers in [0, 1], e.g. ``{"gender": 1.0, "age": 0.6, "weight": 0.5}``; gender 1 is female.
    """
    model = _model()
    rest = torch.eye(4).repeat(1, len(model.bone_labels), 1, 1)
    with torch.no_grad():
        out = model(pose_parameters=rest, phenotype_kwargs={k: torch.tensor([v]) for k, v in phenotype.items()})
    return _y_up(out["rest_vertices"]), _y_up(out["rest_bone_heads"])


def _y_up(points: torch.Tensor) -> Float[np.ndarray, "N 3"]:
    x, y, z = points[0].numpy().T
    return np.stack([x, z, -y], axis=1).astype(np.float32)


def rig_of(heads: Float[np.ndarray, "B 3"]) -> AvatarRig:
    """The skeleton of a body whose bones begin at ``heads``."""
    mesh = base_mesh()
    return AvatarRig(mesh.bones, mesh.parents, heads.astype(np.float64))


def _pose_joint(bone: str) -> str | None:
    """The joint of a pose that moves a bone; None if the bone follows its parent."""
    name, _, side = bone.partition(".")
    word = {"L": "left_", "R": "right_"}.get(side, "")
    if name in _TRUNK:
        return _TRUNK[name]
    if name == "pelvis":
        return "pelvis"
    joint = "toe" if name.startswith("toe") else _LIMBS.get(name)
    return None if joint is None else word + joint


@dataclass(frozen=True)
class Hand:
    """How a hand is held: bend of each finger joint in degrees, and 0 for closed, 1 for spread fingers."""

    bend_deg: float
    spread: float


def random_hands(rng: np.random.Generator) -> tuple[Hand, Hand]:
    """Left and right hand: mostly relaxed, one in eight flat, one in eight a fist (our choice)."""

    def one() -> Hand:
        kind = rng.random()
        bend = rng.uniform(0, 8) if kind < 0.125 else rng.uniform(55, 80) if kind < 0.25 else rng.uniform(10, 35)
        return Hand(float(bend), float(rng.beta(1, 3)))

    return one(), one()


def bone_rotations(
    rig: AvatarRig, world: Float[np.ndarray, "22 3 3"], hands: tuple[Hand, Hand]
) -> Float[np.ndarray, "B 3 3"]:
    """World rotation change of every bone from a pose's world rotations; the rest pose has hanging arms, so limbs are
    retargeted. Fingers are bent about the line of the knuckles and closed toward the middle finger.

    Args:
        hands: the left and the right one; thumbs are not bent.
    """
    rest = {
        f"{s}_{joint}": rig.rest[rig.index(f"{bone}.{end}")] for s, end in SIDES for joint, bone in REST_JOINTS.items()
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


def _knuckle_bend(rig: AvatarRig, side: str, bend_deg: float) -> Float[np.ndarray, "3 3"]:
    """Rotation about the line from the little finger's knuckle to the index finger's, toward the palm."""
    axis = rig.rest[rig.index(f"finger2-1.{side}")] - rig.rest[rig.index(f"finger5-1.{side}")]
    sign = -1.0 if side == "L" else 1.0
    return Rotation.from_rotvec(sign * np.deg2rad(bend_deg) * axis / np.linalg.norm(axis)).as_matrix()


def _closing(rig: AvatarRig, side: str, finger: int, share: float) -> Float[np.ndarray, "3 3"]:
    """Rotation of a finger's root by ``share`` of the angle to the middle finger; the thumb (1) half as far to the
    index finger."""

    def along(number: int) -> Float[np.ndarray, "3"]:
        return rig.rest[rig.index(f"finger{number}-3.{side}")] - rig.rest[rig.index(f"finger{number}-1.{side}")]

    turn = Rotation.from_matrix(smallest_rotation(along(finger), along(2 if finger == 1 else 3)))
    return Rotation.from_rotvec(turn.as_rotvec() * share * (0.5 if finger == 1 else 1.0)).as_matrix()
