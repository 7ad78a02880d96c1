"""MetricPlacement of a mesh in metres, its vertex colours, and one vertex for each set of duplicates."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from humanlrm.mesh.surface import TexturedMesh


class MetricPlacement(NamedTuple):
    """Points p in box units as ``(p - ground) * scale`` in metres."""

    ground: Float[np.ndarray, "3"]
    scale: float

    def apply(self, points: Float[np.ndarray, "*P 3"]) -> Float[np.ndarray, "*P 3"]:
        # The same arithmetic on equal numbers: duplicates on the seams stay bit-equal and merge again.
        return (points.astype(np.float64) - self.ground) * self.scale


def metric_placement(
    mesh: TexturedMesh, height_m: float | None = None, metres_per_unit: float | None = None
) -> MetricPlacement:
    """Feet at y = 0, bounding box centred in x and z.

    Args:
        height_m: the mesh's extent in y becomes this many metres.
        metres_per_unit: or the scale itself.

    Raises:
        ValueError: a scale that is not positive, or not exactly one of the two.
    """
    if (height_m is None) == (metres_per_unit is None):
        raise ValueError(f"save: give height_m or metres_per_unit, one of them; got {height_m} and {metres_per_unit}")
    low, high = mesh.vertices.min(axis=0).astype(np.float64), mesh.vertices.max(axis=0).astype(np.float64)
    scale = height_m / (high[1] - low[1]) if height_m is not None else metres_per_unit or 0.0
    if not (np.isfinite(scale) and scale > 0):
        raise ValueError(
            f"save: the scale must be positive; got height_m={height_m}, metres_per_unit={metres_per_unit}"
        )
    return MetricPlacement(np.array([(low[0] + high[0]) / 2, low[1], (low[2] + high[2]) / 2]), float(scale))


def metric_vertices(
    mesh: TexturedMesh, height_m: float | None = None, metres_per_unit: float | None = None
) -> Float[np.ndarray, "U 3"]:
    """Positions in metres, see :func:`metric_placement`."""
    return metric_placement(mesh, height_m, metres_per_unit).apply(mesh.vertices).astype(np.float32)


def vertex_colors(mesh: TexturedMesh) -> Float[np.ndarray, "U 3"]:
    """The texture at each vertex, sRGB in [0, 1]."""
    size = len(mesh.texture)
    column, up = np.clip((mesh.uv * size).astype(int), 0, size - 1).T
    return mesh.texture[size - 1 - up, column].astype(np.float32) / 255


def weld(mesh: TexturedMesh) -> tuple[Int[np.ndarray, "V"], Int[np.ndarray, "F 3"]]:
    """One vertex of each set of duplicates on the seams, and the faces as indices of these."""
    _, first, number = np.unique(mesh.welded, return_index=True, return_inverse=True)
    return first, number[mesh.faces]
