"""Texture images: the part of a surface under each texel, and colours of texels to an image."""

from dataclasses import dataclass

import numpy as np
import scipy
from jaxtyping import Bool, Float, Int, UInt8

from humanlrm.mesh.raycast import RayScene
from humanlrm.mesh.surface import TriangleSurface
from humanlrm.mesh.unwrap import Unwrapped

#: Barycentric coordinates of a face's corners, the middles of its edges, and its centre.
_FACE_POINTS = np.concatenate([np.eye(3), (1 - np.eye(3)) / 2, np.full((1, 3), 1 / 3)]).astype(np.float32)


@dataclass(frozen=True)
class Texels:
    """The texels that lie on a chart: where they are in the image and on the surface."""

    row: Int[np.ndarray, "P"]
    column: Int[np.ndarray, "P"]
    face: Int[np.ndarray, "P"]
    barycentric: Float[np.ndarray, "P 3"]

    def interpolate(self, surface: TriangleSurface, per_vertex: Float[np.ndarray, "V C"]) -> Float[np.ndarray, "P C"]:
        """Values of the surface's vertices at the texels."""
        a, b, c = surface.faces[self.face].T
        u, v, w = self.barycentric.T[..., None]
        return (u * per_vertex[a] + v * per_vertex[b] + w * per_vertex[c]).astype(np.float32)

    def __getitem__(self, chosen: Int[np.ndarray, "Q"]) -> "Texels":
        return Texels(self.row[chosen], self.column[chosen], self.face[chosen], self.barycentric[chosen])


def rasterize(unwrapped: Unwrapped, size_px: int) -> Texels:
    """The face under each texel's centre, found by one ray per texel onto the charts laid out as a flat mesh.

    Free texels that hold a corner, an edge's middle or the centre of a face go to that face: slivers and tips may cover
    no texel's centre, and would take their colour from the nearest chart.
    """
    flat = np.pad(unwrapped.uv * size_px, ((0, 0), (0, 1)))
    column, up = np.meshgrid(np.arange(size_px), np.arange(size_px))
    origins = np.stack([column + 0.5, up + 0.5, np.ones_like(up)], axis=-1)
    down = np.broadcast_to(np.array([0, 0, -1], dtype=np.float32), origins.shape)
    face, barycentric, _ = RayScene(flat, unwrapped.faces).first_hit(origins, down)
    places = np.einsum("pk,fkc->fpc", _FACE_POINTS, flat[unwrapped.faces, :2]).reshape(-1, 2).astype(np.int64)
    key, first = np.unique(places[:, 1] * size_px + places[:, 0], return_index=True)
    free = face.ravel()[key] < 0
    key, first = key[free], first[free]
    face.ravel()[key] = first // len(_FACE_POINTS)
    barycentric.reshape(-1, 3)[key] = _FACE_POINTS[first % len(_FACE_POINTS)]
    hit = face >= 0
    return Texels((size_px - 1 - up)[hit], column[hit], face[hit], barycentric[hit])


def paint(texels: Texels, colors: Float[np.ndarray, "P 3"], size_px: int) -> UInt8[np.ndarray, "T T 3"]:
    """Texels to an image; the space between charts takes the nearest texel's colour, so no filter sees a border."""
    image = np.zeros((size_px, size_px, 3), dtype=np.uint8)
    image[texels.row, texels.column] = np.clip(colors * 255 + 0.5, 0, 255).astype(np.uint8)
    empty: Bool[np.ndarray, "T T"] = np.ones((size_px, size_px), dtype=bool)
    empty[texels.row, texels.column] = False
    nearest = scipy.ndimage.distance_transform_edt(empty, return_distances=False, return_indices=True)
    row, column = np.asarray(nearest)
    return image[row, column]
