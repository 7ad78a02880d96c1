"""A person as files hold it: metres, with skeleton, clips and provenance where there are any."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int, UInt8

from humanlrm.mesh.surface import TexturedMesh

ImageFormat = Literal["png", "webp"]
#: Cloth and skin: no metal, hardly any gloss.
ROUGHNESS = 0.95


@dataclass(frozen=True)
class Joints:
    """Skeleton and skin of a mesh, for files.

    Attributes:
        names: of the joints, parents before children.
        parents: index of each joint's parent, -1 for the root.
        positions: of the joints at rest, metres; their axes are the world's.
        indices: joints that move each vertex.
        weights: not negative, they sum to 1.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    positions: Float[np.ndarray, "K 3"]
    indices: Int[np.ndarray, "U 4"]
    weights: Float[np.ndarray, "U 4"]

    @property
    def offsets(self) -> Float[np.ndarray, "K 3"]:
        """Position of each joint relative to its parent."""
        parents = np.array(self.parents)
        above = np.where(parents[:, None] < 0, 0, self.positions[np.maximum(parents, 0)])
        return self.positions - above


@dataclass(frozen=True)
class JointClip:
    """A motion of the joints, for files.

    Attributes:
        name: of the clip.
        times_s: of the key frames, from 0.
        rotations: of each joint relative to its parent, unit quaternions x, y, z, w.
        root: position of the first joint, metres.
    """

    name: str
    times_s: Float[np.ndarray, "T"]
    rotations: Float[np.ndarray, "T K 4"]
    root: Float[np.ndarray, "T 3"]


@dataclass(frozen=True)
class PersonModel:
    """Everything that a file says about a person.

    Attributes:
        mesh: its vertices are metres here.
        name: of the material.
        joints: skeleton and skin.
        clips: motions of the joints.
        normal_map: of tangent space (OpenGL: green is up), for the mesh's texture coordinates.
        attributes: one number per vertex, by a name that begins with an underscore.
        provenance: who made the file, and how.
        image: format of the textures inside the file.
        extensions: further glTF extensions of the whole file.
        base: .stl and .3mf: put the person on a disc.
        print_height_mm: .stl and .3mf: height of the person without the base; ``None``: as tall as the mesh.
    """

    mesh: TexturedMesh
    name: str = "person"
    joints: Joints | None = None
    clips: tuple[JointClip, ...] = ()
    normal_map: UInt8[np.ndarray, "N N 3"] | None = None
    attributes: Mapping[str, Float[np.ndarray, "U"]] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    image: ImageFormat = "png"
    extensions: Mapping[str, Any] = field(default_factory=dict)
    base: bool = False
    print_height_mm: float | None = None

    @property
    def provenance_text(self) -> str:
        """Provenance as one line of ASCII (JSON), for formats whose only place for it is a comment."""
        return json.dumps(dict(self.provenance), default=str) if self.provenance else ""
