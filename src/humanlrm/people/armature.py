"""Armatures: a tree of bones, its transforms in a pose, linear blend skinning, and the landmarks of MakeHuman's bones.

Landmarks mean the joints of MakeHuman's skeleton for people of all kinds. Other skeletons have theirs up to five
centimetres elsewhere, and a network that learns two meanings has to guess which one a photo has.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.sparse import csr_matrix

from humanlrm.body.landmarks import LANDMARKS

#: Linear parts L (B, 3, 3) and positions P (B, 3) of all bones: a point x at rest goes to L (x - rest) + P.
Transforms = tuple[Float[np.ndarray, "B 3 3"], Float[np.ndarray, "B 3"]]

SIDES = (("left", "L"), ("right", "R"))
#: Landmarks of a side -> the bones of MakeHuman's skeleton that begin there.
LIMB_BONES = {"shoulder": "upperarm01", "elbow": "lowerarm01", "wrist": "wrist",
              "hip": "upperleg01", "knee": "lowerleg01", "ankle": "foot"}  # fmt: skip
LANDMARK_BONES = LIMB_BONES | {"hand": "finger2-1", "toe": "toe1-2"}


@dataclass(frozen=True)
class Armature:
    """Bones at rest (metres, +Y up, facing +Z, the person's left at +X).

    Attributes:
        names: of the bones; parents come before children.
        parents: index of each bone's parent, -1 for the root.
        rest: position where each bone begins.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    rest: Float[np.ndarray, "B 3"]

    def index(self, name: str) -> int:
        """Number of a bone.

        Raises:
            ValueError: the armature has no such bone.
        """
        if name not in self.names:
            raise ValueError(f"Armature: no bone {name!r}; it has {', '.join(self.names)}")
        return self.names.index(name)

    def begin(self, name: str) -> Float[np.ndarray, "3"]:
        """Rest position where a bone begins."""
        return self.rest[self.index(name)]

    def place(
        self, rotations: Float[np.ndarray, "B 3 3"], stretch: Float[np.ndarray, "B 3 3"] | None = None
    ) -> Transforms:
        """Transforms of all bones.

        Args:
            rotations: world rotation of each bone relative to the rest pose.
            stretch: applied to each bone before it is rotated.
        """
        linear = rotations if stretch is None else rotations @ stretch
        positions = np.empty_like(self.rest, dtype=np.float64)
        for bone, parent in enumerate(self.parents):
            if parent < 0:
                positions[bone] = self.rest[bone]
            else:
                positions[bone] = positions[parent] + linear[parent] @ (self.rest[bone] - self.rest[parent])
        return linear, positions


def skin(
    vertices: Float[np.ndarray, "V 3"],
    weights: Float[np.ndarray, "V B"] | csr_matrix,
    armature: Armature,
    transforms: Transforms,
) -> Float[np.ndarray, "V 3"]:
    """Linear blend skinning of vertices at rest; rows of ``weights`` sum to 1."""
    linear, positions = transforms
    offsets = positions - np.einsum("bij,bj->bi", linear, armature.rest)
    matrices = np.concatenate([linear, offsets[:, :, None]], axis=2).reshape(-1, 12).astype(np.float32)
    blended = (weights @ matrices).reshape(-1, 3, 4)
    return np.einsum("vij,vj->vi", blended[:, :, :3], vertices) + blended[:, :, 3]


def bone_landmarks(
    armature: Armature,
    positions: Float[np.ndarray, "B 3"],
    nose: Float[np.ndarray, "3"],
    crown: Float[np.ndarray, "3"],
) -> Float[np.ndarray, "19 3"]:
    """The landmarks of a posed body with MakeHuman's bones.

    Args:
        positions: where the bones begin.
        nose: the tip of the nose; crown: the top of the head.
    """
    begin = {name: positions[armature.index(name)] for name in ("neck01", "head")}
    points = {"neck": begin["neck01"], "nose": nose, "head": (begin["head"] + crown) / 2}
    for side, end in SIDES:
        for name, bone in LANDMARK_BONES.items():
            points[f"{side}_{name}"] = positions[armature.index(f"{bone}.{end}")]
    return np.stack([points[name] for name in LANDMARKS]).astype(np.float32)


def rigid_landmarks(
    armature: Armature, transforms: Transforms, face: Float[np.ndarray, "2 3"]
) -> Float[np.ndarray, "19 3"]:
    """Like :func:`bone_landmarks`, with a rigid head: ``face`` holds the tip of the nose and the crown at rest."""
    (linear, positions), head = transforms, armature.index("head")
    nose, crown = (positions[head] + linear[head] @ (point - armature.rest[head]) for point in face)
    return bone_landmarks(armature, positions, nose, crown)


def nose_and_crown(vertices: Float[np.ndarray, "V 3"], eye: Float[np.ndarray, "3"]) -> tuple[int, int]:
    """Numbers of the vertices at the tip of the nose and the top of the head; ``eye`` is where an eye is."""
    x, y, z = vertices.T
    face = np.flatnonzero((np.abs(x) < 0.01) & (y < eye[1]) & (y > eye[1] - 0.06))
    return int(face[z[face].argmax()]), int(y.argmax())
