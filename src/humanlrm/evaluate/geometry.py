"""How far two surfaces are apart. Definitions as in SiTH's evaluation (shared by ICON, ECON and later work)."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy.spatial import KDTree

from humanlrm.mesh.surface import TriangleSurface, face_normals

Alignment = Literal["none", "translation", "scale+translation"]
_ITERATIONS = 8
_ALIGN_POINTS = 20_000


@dataclass(frozen=True)
class SurfaceDistance:
    """Distances in the unit of the surfaces.

    Attributes:
        p2s: mean distance from the prediction to the truth.
        s2p: mean distance from the truth to the prediction.
        normal_consistency: mean |cos| between normals of nearest points, both ways.
    """

    p2s: float
    s2p: float
    normal_consistency: float

    @property
    def chamfer(self) -> float:
        return (self.p2s + self.s2p) / 2


def sample_surface(
    surface: TriangleSurface, count: int, rng: np.random.Generator
) -> tuple[Float[np.ndarray, "P 3"], Float[np.ndarray, "P 3"]]:
    """Uniform points on a surface, and unit normals of their faces."""
    normals = face_normals(surface).astype(np.float64)
    area = np.linalg.norm(normals, axis=1)
    face = rng.choice(len(area), count, p=area / area.sum())
    barycentric = rng.dirichlet([1, 1, 1], count)
    points = np.einsum("pk,pkc->pc", barycentric, surface.vertices.astype(np.float64)[surface.faces[face]])
    return points, normals[face] / np.maximum(area[face, None], 1e-20)


def align(
    predicted: Float[np.ndarray, "P 3"], truth: Float[np.ndarray, "Q 3"], alignment: Alignment
) -> tuple[float, Float[np.ndarray, "3"]]:
    """Scale and offset (x -> scale * x + offset) of the prediction that bring it closest to the truth.

    Iterated closest points both ways, least squares for translation, or for scale and translation; no rotation.
    """
    scale, offset = 1.0, np.zeros(3)
    if alignment == "none":
        return scale, offset
    source, target = predicted[:_ALIGN_POINTS], truth[:_ALIGN_POINTS]
    tree = KDTree(target)
    for _ in range(_ITERATIONS):
        moved = scale * source + offset
        there, back = tree.query(moved, workers=-1)[1], KDTree(moved).query(target, workers=-1)[1]
        a, b = np.concatenate([source, source[back]]), np.concatenate([target[there], target])
        if alignment == "scale+translation":
            centred = a - a.mean(0)
            scale = float((centred * (b - b.mean(0))).sum() / (centred**2).sum())
        offset = b.mean(0) - scale * a.mean(0)
    return scale, offset


def compare(
    predicted: TriangleSurface,
    truth: TriangleSurface,
    alignment: Alignment = "translation",
    count: int = 100_000,
    seed: int = 0,
) -> SurfaceDistance:
    """Distances between ``count`` samples of each surface, after the alignment (state it with every number)."""
    rng = np.random.default_rng(seed)
    points, normals = sample_surface(predicted, count, rng)
    true_points, true_normals = sample_surface(truth, count, rng)
    scale, offset = align(points, true_points, alignment)
    points = scale * points + offset
    to_truth, nearest_truth = KDTree(true_points).query(points, workers=-1)
    to_prediction, nearest_prediction = KDTree(points).query(true_points, workers=-1)
    cosine = np.abs((normals * true_normals[nearest_truth]).sum(-1)).mean()
    cosine_back = np.abs((true_normals * normals[nearest_prediction]).sum(-1)).mean()
    return SurfaceDistance(float(to_truth.mean()), float(to_prediction.mean()), float((cosine + cosine_back) / 2))
