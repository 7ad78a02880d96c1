"""Small closed bodies of capsules around landmarks, textured by place."""

import numpy as np
import torch

from humanlrm.body.landmarks import INDEX
from humanlrm.body.skeleton import SkeletonCapsules
from humanlrm.extraction import extract_body
from humanlrm.mesh.surface import TexturedMesh, TriangleSurface, vertex_normals

_ARM_PARTS = ("elbow", "wrist", "hand")


def arms_out(landmarks: np.ndarray) -> np.ndarray:
    """The same person with both arms straight, 20 degrees below the horizontal, and legs apart."""
    out = landmarks.copy()
    for side, sign in (("left", 1), ("right", -1)):
        shoulder = out[INDEX[f"{side}_shoulder"]]
        for part, reach in zip(_ARM_PARTS, (0.3, 0.56, 0.66), strict=True):
            out[INDEX[f"{side}_{part}"]] = shoulder + reach * np.array([0.94 * sign, -0.34, 0])
        for part, wider in (("knee", 0.06), ("ankle", 0.12), ("toe", 0.12)):
            out[INDEX[f"{side}_{part}"]] += [wider * sign, 0, 0]
    return out.astype(np.float32)


def capsule_body(landmarks: np.ndarray, resolution: int = 128, faces: int = 4000) -> TexturedMesh:
    """The union of the bones' capsules and a head, as one closed mesh; a texture seam divides front and back."""
    capsules, marks = SkeletonCapsules(), torch.from_numpy(landmarks)[None]
    skull = marks[0, INDEX["head"]]

    def sdf(points: torch.Tensor) -> torch.Tensor:
        limbs = capsules.distances(points[None], marks)[0][0].amin(-1)
        return torch.minimum(limbs, (points - skull).norm(dim=-1) - 0.12)

    return textured(extract_body(sdf, resolution, marks[0], faces))


def textured(surface: TriangleSurface, size_px: int = 64) -> TexturedMesh:
    """Front and back side by side in the texture, whose colors say the place."""
    corners = surface.vertices[surface.faces]
    back = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, 2] < 0
    key, number = np.unique(surface.faces + back[:, None] * len(surface.vertices), return_inverse=True)
    welded, on_back = key % len(surface.vertices), key >= len(surface.vertices)
    place = surface.vertices[welded]
    uv = np.stack([np.where(on_back, 0.75 - place[:, 0] / 4, 0.25 + place[:, 0] / 4), place[:, 1] / 2 + 0.5], axis=1)
    x, y = np.meshgrid(np.linspace(0, 255, size_px), np.linspace(255, 0, size_px))
    texture = np.stack([x, y, 255 - x], axis=-1).astype(np.uint8)
    normals = vertex_normals(surface)[welded]
    faces = number.reshape(-1, 3).astype(np.int32)
    return TexturedMesh(place, faces, uv.astype(np.float32), texture, normals, welded.astype(np.int32))
