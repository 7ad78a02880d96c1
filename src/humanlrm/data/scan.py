"""A textured 3D person, made by the people engine or by a 3D scanner."""

from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float, Int, UInt8

from humanlrm.mesh.surface import TriangleSurface


@dataclass(frozen=True)
class Scan:
    """A person as a triangle mesh with a texture.

    Attributes:
        id: unique within its source.
        source: name of the data set, e.g. ``"procedural"``.
        licence: SPDX id or short name.
        vertices: metres, +Y up, the person faces +Z.
        faces: counter-clockwise seen from outside.
        uv: texture coordinates, v = 0 at the bottom of the image (OBJ convention).
        uv_faces: index into ``uv`` of each face corner.
        texture: sRGB.
        landmarks: true 3D positions of ``humanlrm.body.landmarks.LANDMARKS`` in metres; ``None`` or NaN where unknown
            (``data.triangulate`` finds them).
        tags: facts about the person, e.g. ``{"height_m": 1.7, "sex": "female"}``.
    """

    id: str
    source: str
    licence: str
    vertices: Float[np.ndarray, "V 3"]
    faces: Int[np.ndarray, "F 3"]
    uv: Float[np.ndarray, "U 2"]
    uv_faces: Int[np.ndarray, "F 3"]
    texture: UInt8[np.ndarray, "H W 3"]
    landmarks: Float[np.ndarray, "J 3"] | None = None
    tags: dict[str, str | float] = field(default_factory=dict)

    @property
    def surface(self) -> TriangleSurface:
        """The mesh alone, in metres."""
        return TriangleSurface(self.vertices, self.faces)

    def albedo(self, face: Int[np.ndarray, "P"], barycentric: Float[np.ndarray, "P 3"]) -> Float[np.ndarray, "P 3"]:
        """sRGB in [0, 1] at points of faces: the nearest texel."""
        uv = np.einsum("pk,pkc->pc", barycentric, self.uv[self.uv_faces[face]])
        return nearest_texels(self.texture, uv).astype(np.float32) / 255

    def moved(self, matrix: Float[np.ndarray, "4 4"]) -> "Scan":
        """This scan after a similarity transform (rotation, uniform scale, translation)."""
        linear, offset = matrix[:3, :3], matrix[:3, 3]
        marks = None if self.landmarks is None else (self.landmarks @ linear.T + offset).astype(np.float32)
        return replace(self, vertices=(self.vertices @ linear.T + offset).astype(np.float32), landmarks=marks)


def nearest_texels(image: UInt8[np.ndarray, "H W *C"], uv: Float[np.ndarray, "*P 2"]) -> UInt8[np.ndarray, "..."]:
    """Nearest texels of an image at texture coordinates (v = 0 at its bottom), (*P, *C); its border goes on outside."""
    height, width = image.shape[:2]
    column = np.clip((uv[..., 0] * width).astype(int), 0, width - 1)
    row = np.clip(((1 - uv[..., 1]) * height).astype(int), 0, height - 1)
    return image[row, column]
