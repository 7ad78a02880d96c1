"""Points of a scan with their signed distance, normal and albedo: the supervision of the field."""

import numpy as np
from jaxtyping import Float
from scipy.spatial import KDTree

from humanlrm.data.render.renderer import SceneRenderer
from humanlrm.data.render.solid import SolidScan
from humanlrm.data.subject import PointSamples
from humanlrm.mesh.surface import face_normals

#: Deviations of the points near the surface, metres.
_SPREADS_M = (0.01, 0.04)
#: A normal is flipped by the signed distances of so many points near it, if they say "inside" at least this clearly.
_NEIGHBORS, _INWARD = 8, 0.3


def sample_points(renderer: SceneRenderer, count: int, rng: np.random.Generator) -> PointSamples:
    """Draw ``count`` points with signed distances to the outer surface (``solid.py``), and a third as many on it."""
    scan, on_surface = renderer.scan, slice(0, count // 3)
    solid = SolidScan(scan, renderer.scene)
    area = solid.outer * np.linalg.norm(face_normals(scan.surface), axis=1)
    face = rng.choice(len(scan.faces), count // 3 * 2, p=area / area.sum())
    barycentric = rng.dirichlet([1, 1, 1], len(face)).astype(np.float32)
    surface = np.einsum("pk,pkc->pc", barycentric, scan.vertices[scan.faces[face]])
    spread_m = rng.choice(_SPREADS_M, size=(len(surface), 1))
    near = surface + rng.normal(size=surface.shape) * spread_m
    points = np.concatenate([near, _around(scan.vertices, count - len(near), rng)]).astype(np.float16)
    sdf = solid.signed_distance(points)
    face, barycentric, surface = face[on_surface], barycentric[on_surface], surface[on_surface]
    normals = np.einsum("pk,pkc->pc", barycentric, renderer.normals[scan.faces[face]])
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True) + 1e-9
    normals *= outward_sign(surface, normals, points[: len(near)], sdf[: len(near)])[:, None]
    albedo = scan.albedo(face, barycentric)
    return PointSamples(
        points,
        sdf,
        surface.astype(np.float16),
        (normals * 127).astype(np.int8),
        (albedo * 255 + 0.5).astype(np.uint8),
    )


def outward_sign(
    surface: Float[np.ndarray, "S 3"],
    normals: Float[np.ndarray, "S 3"],
    points: Float[np.ndarray, "P 3"],
    sdf: Float[np.ndarray, "P"],
) -> Float[np.ndarray, "S"]:
    """-1 where a normal points into the body by the signed distances of the points around it, else 1.

    Hair is made of cards whose faces turn either way: a tenth of the composed heads' normals pointed inward.
    """
    _, near = KDTree(points).query(surface, k=_NEIGHBORS)
    offsets = points[near].astype(np.float32) - surface[:, None]
    along = sdf[near] * np.einsum("sd,skd->sk", normals, offsets)
    certain = np.abs(sdf[near] * np.linalg.norm(offsets, axis=-1)).sum(1)
    return np.where(along.sum(1) < -_INWARD * certain, -1.0, 1.0)


def _around(vertices: Float[np.ndarray, "V 3"], count: int, rng: np.random.Generator) -> Float[np.ndarray, "P 3"]:
    """Half uniform in a cube that holds every view's box, half within a few decimetres of the body."""
    low, high = vertices.min(0), vertices.max(0)
    half = (high - low).max() * 0.5 * 1.3
    uniform = (low + high) / 2 + rng.uniform(-half, half, size=(count - count // 2, 3))
    close = vertices[rng.integers(len(vertices), size=count // 2)] + rng.normal(0, 0.15, size=(count // 2, 3))
    return np.concatenate([uniform, close])
