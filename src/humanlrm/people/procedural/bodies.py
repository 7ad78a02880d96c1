"""Bodies of random people: shape from ``anny``, skinning of our own in axes a person can read.

Everything here is in metres, +Y up, facing +Z, the person's left at +X. anny itself is Z up and faces -Y.
"""

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Float, Int
from scipy.sparse.csgraph import connected_components

from humanlrm.people.joints import face_and_crown, landmarks_of

if TYPE_CHECKING:
    import anny


@dataclass(frozen=True)
class BodyRig:
    """What all people share: topology, texture coordinates, bones, skinning weights.

    Attributes:
        faces: closed surfaces of body and both eyes (anny's teeth are left out: nobody sees them).
        uv: anny's texture atlas, v = 0 at the bottom.
        uv_faces: index into ``uv`` of each face corner.
        bones: names of the bones, parents before children; "L" is the person's left.
        parents: index of each bone's parent, -1 for the root.
        weights: rows of skinning weights, each summing to 1.
        vertices: the average adult in anny's rest pose, metres; patterns and garments are defined on it.
        heads: where that adult's bones begin.
        nose: number of the vertex at the tip of the nose; crown: of the highest vertex of the head.
        adjacency: row-normalised neighbourhood of each vertex, for smoothing.
    """

    faces: Int[np.ndarray, "F 3"]
    uv: Float[np.ndarray, "U 2"]
    uv_faces: Int[np.ndarray, "F 3"]
    bones: tuple[str, ...]
    parents: Int[np.ndarray, "B"]
    weights: sp.csr_matrix
    vertices: Float[np.ndarray, "V 3"]
    heads: Float[np.ndarray, "B 3"]
    nose: int
    crown: int
    adjacency: sp.csr_matrix

    def bone(self, name: str) -> int:
        """Index of a bone."""
        return self.bones.index(name)

    def weight_of(self, *prefixes: str) -> Float[np.ndarray, "V"]:
        """Summed skinning weight of all bones whose name begins with one of ``prefixes``."""
        columns = [i for i, bone in enumerate(self.bones) if bone.startswith(prefixes)]
        return np.asarray(self.weights[:, columns].sum(axis=1)).ravel()

    def smooth(self, values: Float[np.ndarray, "V *c"], times: int) -> Float[np.ndarray, "V *c"]:
        """``values`` after ``times`` half-steps toward the mean of the neighbours."""
        for _ in range(times):
            values = 0.5 * values + 0.5 * (self.adjacency @ values)
        return values


@dataclass(frozen=True)
class Body:
    """One person's shape in the rest pose.

    Attributes:
        vertices: metres.
        heads: where each bone begins, metres.
        sex: "female" or "male".
        age: anny's phenotype age, 0 new-born, 1/3 child, 2/3 young adult, 1 old.
        height_m: stature.
    """

    vertices: Float[np.ndarray, "V 3"]
    heads: Float[np.ndarray, "B 3"]
    sex: str
    age: float
    height_m: float


@cache
def _model() -> "anny.Anny":
    import anny  # the extra "train"; who only looks at photos does without

    return anny.Anny(skinning_method="lbs").to(dtype=torch.float32)


@cache
def _kept() -> Int[np.ndarray, "V"]:
    """Vertices of every connected surface but the teeth (the one with 226 vertices)."""
    faces = np.asarray(_model().faces)
    count = len(_model().template_vertices)
    edges = sp.coo_matrix((np.ones(2 * len(faces)), (faces[:, :2].T.ravel(), faces[:, 1:].T.ravel())), (count, count))
    _, label = connected_components(edges, directed=False)
    return np.flatnonzero(np.bincount(label)[label] != 226)


def _y_up(points: torch.Tensor) -> Float[np.ndarray, "N 3"]:
    x, y, z = points[0].detach().numpy().T
    return np.stack([x, z, -y], axis=1).astype(np.float32)


def _shape(phenotype: dict[str, float]) -> tuple[Float[np.ndarray, "V 3"], Float[np.ndarray, "B 3"]]:
    """Rest vertices and bone heads, the feet on y = 0."""
    model = _model()
    rest = torch.eye(4).repeat(1, len(model.bone_labels), 1, 1)
    with torch.no_grad():
        out = model(pose_parameters=rest, phenotype_kwargs={k: torch.tensor([v]) for k, v in phenotype.items()})
    vertices, heads = _y_up(out["rest_vertices"])[_kept()], _y_up(out["rest_bone_heads"])
    ground = np.array([0, vertices[:, 1].min(), 0], np.float32)
    return vertices - ground, heads - ground


@cache
def rig() -> BodyRig:
    """The shared rig. Takes about 4 s, once per process (a minute the first time on a machine, anny fills a cache)."""
    model, kept = _model(), _kept()
    renumber = np.full(len(model.template_vertices), -1)
    renumber[kept] = np.arange(len(kept))
    faces = renumber[np.asarray(model.faces)]
    inside = (faces >= 0).all(axis=1)
    faces, corners = faces[inside], np.asarray(model.face_texture_coordinate_indices)[inside]
    used, uv_faces = np.unique(corners, return_inverse=True)
    weights = _weights(kept)
    vertices, heads = _shape({"gender": 0.5, "age": 0.67, "height": 0.37})
    nose, crown = face_and_crown(vertices, heads[list(model.bone_labels).index("eye.L")])
    return BodyRig(
        faces=faces.astype(np.int32),
        uv=np.asarray(model.texture_coordinates)[used].astype(np.float32),
        uv_faces=uv_faces.reshape(faces.shape).astype(np.int32),
        bones=tuple(model.bone_labels),
        parents=np.array(model.bone_parents),
        weights=weights,
        vertices=vertices,
        heads=heads,
        nose=nose,
        crown=crown,
        adjacency=_adjacency(faces, len(kept)),
    )


def _weights(kept: Int[np.ndarray, "V"]) -> sp.csr_matrix:
    model = _model()
    bones, values = model.vertex_bone_indices.numpy()[kept], model.vertex_bone_weights.numpy()[kept]
    rows = np.repeat(np.arange(len(kept)), bones.shape[1])
    matrix = sp.csr_matrix((values.ravel(), (rows, bones.ravel())), (len(kept), len(model.bone_labels)))
    return sp.csr_matrix(matrix.multiply(1 / matrix.sum(axis=1)), dtype=np.float32)


def _adjacency(faces: Int[np.ndarray, "F 3"], count: int) -> sp.csr_matrix:
    a, b = faces[:, [0, 1, 2]].ravel(), faces[:, [1, 2, 0]].ravel()
    links = sp.csr_matrix((np.ones(2 * len(a), np.float32), (np.r_[a, b], np.r_[b, a])), (count, count))
    links.data[:] = 1
    return sp.csr_matrix(links.multiply(1 / links.sum(axis=1)), dtype=np.float32)


def sample_body(rng: np.random.Generator) -> Body:
    """A random person: 15% children, statures near real ones (adults 1.75 +- 0.08 m and 1.63 +- 0.07 m).

    The ranges are our choice; anny's height 0.37 is an average adult.
    """
    child = rng.random() < 0.15
    sex = "female" if rng.random() < 0.5 else "male"
    age = rng.uniform(0.2, 0.5) if child else rng.uniform(0.58, 0.95)
    phenotype = {
        "gender": float(np.clip((0.9 if sex == "female" else 0.1) + rng.normal(0, 0.12), 0, 1)),
        "age": age,
        "muscle": rng.beta(2.2, 2.2),
        "weight": rng.beta(2.2, 2.4),
        "height": float(np.clip(rng.normal(0.42 if child else 0.37, 0.065), 0.15, 0.65)),
        "proportions": rng.uniform(0.25, 0.9),
    }
    vertices, heads = _shape(phenotype)
    return Body(vertices, heads, sex=sex, age=float(age), height_m=float(np.ptp(vertices[:, 1])))


def place_bones(
    heads: Float[np.ndarray, "B 3"], turns: dict[str, Float[np.ndarray, "3 3"]]
) -> tuple[Float[np.ndarray, "B 3 3"], Float[np.ndarray, "B 3"]]:
    """Orientation and position of every bone.

    Args:
        heads: bone heads in the rest pose, metres.
        turns: rotation of a bone relative to its parent, in the axes of the rest pose (not the bone's own); bones that
            are not named keep the identity.
    """
    shared = rig()
    rotation, position = np.tile(np.eye(3), (len(heads), 1, 1)), heads.astype(np.float64).copy()
    for i, (bone, parent) in enumerate(zip(shared.bones, shared.parents, strict=True)):
        if parent >= 0:
            rotation[i] = rotation[parent]
            position[i] = position[parent] + rotation[parent] @ (heads[i] - heads[parent])
        if bone in turns:
            rotation[i] = rotation[i] @ turns[bone]
    return rotation, position


def skin(body: Body, turns: dict[str, Float[np.ndarray, "3 3"]]) -> Float[np.ndarray, "V 3"]:
    """The posed vertices (linear blend skinning), metres."""
    rotation, position = place_bones(body.heads, turns)
    offset = position - np.einsum("bij,bj->bi", rotation, body.heads)
    affine = np.concatenate([rotation, offset[..., None]], axis=2).reshape(-1, 12)
    blended = (rig().weights @ affine.astype(np.float32)).reshape(-1, 3, 4)
    return np.einsum("vij,vj->vi", blended[..., :3], body.vertices) + blended[..., 3]


def skeleton(body: Body, turns: dict[str, Float[np.ndarray, "3 3"]]) -> Float[np.ndarray, "19 3"]:
    """The landmarks of a body with a rigid head, nothing skinned."""
    shared, (rotation, position) = rig(), place_bones(body.heads, turns)
    head = shared.bone("head")
    tip, crown = (
        position[head] + rotation[head] @ (body.vertices[k] - body.heads[head]) for k in (shared.nose, shared.crown)
    )
    return landmarks_of(lambda bone: position[shared.bone(bone)], tip, crown)


def landmarks(
    body: Body, turns: dict[str, Float[np.ndarray, "3 3"]], posed: Float[np.ndarray, "V 3"]
) -> Float[np.ndarray, "19 3"]:
    """The landmarks of a body whose vertices are ``posed`` (:func:`skin`), metres."""
    shared, (_, position) = rig(), place_bones(body.heads, turns)
    return landmarks_of(lambda bone: position[shared.bone(bone)], posed[shared.nose], posed[shared.crown])
