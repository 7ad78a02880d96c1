"""Bodies of procedural people: shapes of ``anny``, posed by turns of bones in axes that a person can read."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int
from scipy.sparse.csgraph import connected_components

from humanlrm.people.armature import Armature, Transforms, bone_landmarks, nose_and_crown, rigid_landmarks
from humanlrm.people.armature import skin as skin_vertices
from humanlrm.people.body_model import body_model

#: Rotation of bones relative to their parents by name, in the axes of the rest pose (not the bone's own).
Turns = dict[str, Float[np.ndarray, "3 3"]]
#: Number of vertices of the teeth, a surface of their own, which nobody sees.
_TEETH = 226


@dataclass(frozen=True)
class BodyRig:
    """Topology, texture coordinates, bones and skinning weights that all bodies share.

    Attributes:
        faces: closed surfaces of body and both eyes.
        uv: anny's texture atlas, v = 0 at the bottom.
        uv_faces: index into ``uv`` of each face corner.
        weights: rows of skinning weights, each summing to 1.
        vertices: the average adult in anny's rest pose, metres; patterns and garments are defined on it.
        armature: bones of that adult.
        nose: number of the vertex at the tip of the nose; crown: of the highest vertex of the head.
        adjacency: row-normalised neighbourhood of each vertex, for smoothing.
    """

    faces: Int[np.ndarray, "F 3"]
    uv: Float[np.ndarray, "U 2"]
    uv_faces: Int[np.ndarray, "F 3"]
    weights: sp.csr_matrix
    vertices: Float[np.ndarray, "V 3"]
    armature: Armature
    nose: int
    crown: int
    adjacency: sp.csr_matrix

    def weight_of(self, *prefixes: str) -> Float[np.ndarray, "V"]:
        """Summed skinning weight of all bones whose name begins with one of ``prefixes``."""
        columns = [i for i, bone in enumerate(self.armature.names) if bone.startswith(prefixes)]
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
        armature: its bones.
        sex: "female" or "male".
        age: anny's phenotype age, 0 new-born, 1/3 child, 2/3 young adult, 1 old.
    """

    vertices: Float[np.ndarray, "V 3"]
    armature: Armature
    sex: str
    age: float

    @property
    def height_m(self) -> float:
        """Stature."""
        return float(np.ptp(self.vertices[:, 1]))


@cache
def outer_vertices() -> Int[np.ndarray, "V"]:
    """Numbers of anny's vertices that are used."""
    faces, count = body_model("anny").faces, len(body_model("anny").template)
    edges = sp.coo_matrix((np.ones(2 * len(faces)), (faces[:, :2].T.ravel(), faces[:, 1:].T.ravel())), (count, count))
    _, label = connected_components(edges, directed=False)
    return np.flatnonzero(np.bincount(label)[label] != _TEETH)


def _shape(phenotype: dict[str, float]) -> tuple[Float[np.ndarray, "V 3"], Armature]:
    """Vertices and bones at rest, the feet on y = 0."""
    model = body_model("anny")
    vertices, heads = model.rest(phenotype)
    vertices = vertices[outer_vertices()]
    ground = np.array([0, vertices[:, 1].min(), 0], np.float32)
    return vertices - ground, Armature(model.bones, model.parents, heads - ground)


@cache
def rig() -> BodyRig:
    """The shared rig, made once per process."""
    model, kept = body_model("anny"), outer_vertices()
    renumber = np.full(len(model.template), -1)
    renumber[kept] = np.arange(len(kept))
    faces = renumber[model.faces]
    inside = (faces >= 0).all(axis=1)
    faces = faces[inside]
    used, uv_faces = np.unique(model.uv_faces[inside], return_inverse=True)
    rows = np.repeat(np.arange(len(kept)), model.weights.shape[1])
    weights = (model.weights[kept].ravel(), (rows, model.weight_bones[kept].ravel()))
    vertices, armature = _shape({"gender": 0.5, "age": 0.67, "height": 0.37})
    nose, crown = nose_and_crown(vertices, armature.rest[armature.index("eye.L")])
    a, b = faces[:, [0, 1, 2]].ravel(), faces[:, [1, 2, 0]].ravel()
    links = sp.csr_matrix((np.ones(2 * len(a), np.float32), (np.r_[a, b], np.r_[b, a])), (len(kept), len(kept)))
    links.data[:] = 1
    return BodyRig(
        faces=faces.astype(np.int32),
        uv=model.uv[used].astype(np.float32),
        uv_faces=uv_faces.reshape(faces.shape).astype(np.int32),
        weights=_rows_to_one(sp.csr_matrix(weights, (len(kept), len(model.bones)))),
        vertices=vertices,
        armature=armature,
        nose=nose,
        crown=crown,
        adjacency=_rows_to_one(links),
    )


def _rows_to_one(matrix: sp.csr_matrix) -> sp.csr_matrix:
    return sp.csr_matrix(matrix.multiply(1 / matrix.sum(axis=1)), dtype=np.float32)


def sample_body(rng: np.random.Generator) -> Body:
    """A random person: 15% children, statures near real ones (adults 1.75 +- 0.08 m and 1.63 +- 0.07 m); anny's height
    0.37 is an average adult."""
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
    return Body(*_shape(phenotype), sex=sex, age=float(age))


def place_bones(body: Body, turns: Turns) -> Transforms:
    """Orientation and position of every bone; bones without a turn keep their parent's orientation."""
    armature = body.armature
    rotations = np.tile(np.eye(3), (len(armature.names), 1, 1))
    for i, (bone, parent) in enumerate(zip(armature.names, armature.parents, strict=True)):
        if parent >= 0:
            rotations[i] = rotations[parent]
        if bone in turns:
            rotations[i] = rotations[i] @ turns[bone]
    return armature.place(rotations)


def skin(body: Body, turns: Turns) -> Float[np.ndarray, "V 3"]:
    """The posed vertices, metres."""
    return skin_vertices(body.vertices, rig().weights, body.armature, place_bones(body, turns))


def skeleton(body: Body, turns: Turns) -> Float[np.ndarray, "19 3"]:
    """The landmarks of a body with a rigid head, nothing skinned."""
    face = body.vertices[[rig().nose, rig().crown]]
    return rigid_landmarks(body.armature, place_bones(body, turns), face)


def landmarks(body: Body, turns: Turns, posed: Float[np.ndarray, "V 3"]) -> Float[np.ndarray, "19 3"]:
    """The landmarks of a body whose vertices are ``posed`` (:func:`skin`), metres."""
    positions = place_bones(body, turns)[1]
    return bone_landmarks(body.armature, positions, posed[rig().nose], posed[rig().crown])
