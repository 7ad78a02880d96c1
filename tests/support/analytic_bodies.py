"""Analytic bodies, fields and photos that the tests of this room share."""

import numpy as np
import torch
import trimesh

from humanlrm.frame import SquareCrop, canonical_camera
from humanlrm.mesh.raycast import RayScene, pixel_rays
from humanlrm.mesh.surface import TriangleSurface
from humanlrm.texture.project import PhotoProjection

RED, BLUE = np.array([0.8, 0.1, 0.1], np.float32), np.array([0.1, 0.1, 0.8], np.float32)


def surface_of(mesh: trimesh.Trimesh) -> TriangleSurface:
    return TriangleSurface(np.asarray(mesh.vertices, np.float32), np.asarray(mesh.faces, np.int32))


def ball(subdivisions: int = 4, radius: float = 0.6) -> TriangleSurface:
    return surface_of(trimesh.creation.icosphere(subdivisions, radius))


def blue_field(points: torch.Tensor, normals: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(BLUE).expand(len(points), 3)


def position_field(points: torch.Tensor, normals: torch.Tensor) -> torch.Tensor:
    return points / 2 + 0.5


def photo_of(surface: TriangleSurface, color=RED, size_px: int = 200) -> PhotoProjection:
    """What the canonical camera sees, one colour on a green background; the crop is the whole image."""
    seen = RayScene(surface.vertices, surface.faces).first_hit(*pixel_rays(canonical_camera(size_px))).hit
    rgb = np.where(seen[..., None], color, [0, 1, 0]).astype(np.float32)
    return PhotoProjection(rgb, seen.astype(np.float32), SquareCrop((size_px / 2, size_px / 2), float(size_px)))
