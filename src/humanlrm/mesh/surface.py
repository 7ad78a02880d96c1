"""Triangle meshes, and the properties of them that need no ray and no field."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt8
from torch import Tensor


class EmptySurfaceError(ValueError):
    """Nothing solid: a field has no surface inside the box."""


@dataclass(frozen=True)
class TriangleSurface:
    """A triangle mesh.

    Attributes:
        vertices: positions, box units unless stated otherwise.
        faces: vertex indices, counter-clockwise seen from outside.
    """

    vertices: Float[np.ndarray, "V 3"]
    faces: Int[np.ndarray, "F 3"]

    @property
    def volume(self) -> float:
        """Enclosed volume in cubic box units, negative if the surface is inside out."""
        return float(tetrahedron_volumes(self).sum())


def tetrahedron_volumes(surface: TriangleSurface) -> Float[np.ndarray, "F"]:
    """Signed volume between each face and the origin; over a closed surface they sum to its volume."""
    a, b, c = np.moveaxis(surface.vertices.astype(np.float64)[surface.faces], 1, 0)
    return np.einsum("fi,fi->f", a, np.cross(b, c)) / 6


def face_normals(surface: TriangleSurface) -> Float[np.ndarray, "F 3"]:
    """Normals whose length is twice the area of the face."""
    a, b, c = np.moveaxis(surface.vertices[surface.faces], 1, 0)
    return np.cross(b - a, c - a)


def unit_face_normals(surface: TriangleSurface) -> Float[np.ndarray, "F 3"]:
    """Unit normals of the faces; 0 for faces without area."""
    normals = face_normals(surface)
    return normals / np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-20)


def vertex_normals(surface: TriangleSurface) -> Float[np.ndarray, "V 3"]:
    """Unit normals, averaged over the faces around each vertex by area."""
    normals, count = face_normals(surface), len(surface.vertices)
    summed = np.stack(
        [np.bincount(surface.faces.ravel(), np.repeat(normals[:, axis], 3), count) for axis in range(3)], axis=-1
    )
    return (summed / np.maximum(np.linalg.norm(summed, axis=-1, keepdims=True), 1e-20)).astype(np.float32)


def is_closed(faces: Int[np.ndarray, "F 3"]) -> bool:
    """True if every edge joins exactly two faces that run along it in opposite directions.

    This is trimesh's ``is_watertight and is_winding_consistent`` in one sort of the directed edges.
    """
    start, end = faces.astype(np.int64), np.roll(faces, -1, axis=1).astype(np.int64)
    count = int(faces.max()) + 1 if len(faces) else 0
    forward = np.sort((start * count + end).ravel())
    backward = np.sort((end * count + start).ravel())
    unique = (start != end).all() and (np.diff(forward) > 0).all()
    return len(faces) > 0 and bool(unique and (forward == backward).all())


@dataclass(frozen=True)
class Uncertainty:
    """Uncertainty per vertex of a mesh.

    Attributes:
        spread: standard deviation of the surface's position along the vertex normal across samples, box units; with
            sampled landmarks the root of the mean of both variances.
        absence: 1 - accumulated opacity around the vertex, mean over samples: 0 where all of them have a surface
            there, 1 where none has.
    """

    spread: Float[Tensor, "V"]
    absence: Float[Tensor, "V"]


@dataclass(frozen=True)
class TexturedMesh:
    """A surface with a texture; vertices on the texture's seams appear more than once, bit-equal.

    Attributes:
        vertices: positions in box units.
        faces: vertex indices, counter-clockwise seen from outside.
        uv: in [0, 1]^2, v up.
        texture: sRGB image; row 0 is v = 1.
        normals: unit vertex normals, equal across seams.
        welded: index of each vertex's original in the surface that was textured.
    """

    vertices: Float[np.ndarray, "U 3"]
    faces: Int[np.ndarray, "F 3"]
    uv: Float[np.ndarray, "U 2"]
    texture: UInt8[np.ndarray, "T T 3"]
    normals: Float[np.ndarray, "U 3"]
    welded: Int[np.ndarray, "U"]
