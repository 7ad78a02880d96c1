"""Signed distance field -> triangle mesh: marching cubes on a lattice that is evaluated only near the surface."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.ndimage import binary_dilation
from skimage.measure import marching_cubes
from torch import Tensor

from humanlrm.mesh.surface import EmptySurfaceError, TriangleSurface

Sdf = Callable[[Float[Tensor, "P 3"]], Float[Tensor, "P"]]

#: A cell is refined if a corner is nearer to the surface than this many cell diagonals. An exact distance needs 0.5 (no
#: point of a cell is further from its nearest corner); 1.0 allows a learned field to be wrong by a factor of 2.
_MARGIN_DIAGONALS = 1.0
#: Lattice values nearer to zero than this many finest cells are pushed away from it, because marching cubes would
#: otherwise put several vertices on one lattice point and the mesh would tear or pinch when vertices are merged.
_NUDGE_CELLS = 0.01


def extract_surface(
    sdf: Sdf, resolution: int = 256, coarse: int = 64, bound: float = 1.0, chunk: int = 16384
) -> TriangleSurface:
    """The zero level of ``sdf`` inside the cube [-bound, bound]^3, coarse to fine.

    The lattice of ``coarse`` cells per side is evaluated in full. Each further level halves the cells, evaluates only
    those that can contain the surface (a sign change in the cell or its neighbours, or a corner within
    ``_MARGIN_DIAGONALS``), follows the surface wherever it leaves them, and interpolates the rest. The surface is
    closed: a body that reaches the border of the cube is capped within the last cell.

    Args:
        sdf: box-unit points to signed distances, negative inside; called without gradients on at most ``chunk`` points.
        resolution: cells per side of the finest lattice: ``coarse`` times a power of two.

    Raises:
        ValueError: resolutions that do not nest, or a field that is not finite.
        EmptySurfaceError: a field without a surface in the cube.
    """
    levels = _levels(coarse, resolution)
    origin = np.zeros(3, dtype=np.int64)
    values = _evaluate_lattice(sdf, coarse, resolution, bound, chunk)
    for cells in levels:
        values, active, origin = _crop(values, _cells_near_surface(values, 2 * bound / (cells // 2)), origin)
        origin = 2 * origin
        values = _refine(sdf, values, active, origin, cells, resolution, bound, chunk)
    return _polygonize(values, origin, resolution, bound)


def extract_surface_dense(sdf: Sdf, resolution: int = 256, bound: float = 1.0, chunk: int = 65536) -> TriangleSurface:
    """The plain twin of :func:`extract_surface`: every lattice point is evaluated. Same errors."""
    values = _evaluate_lattice(sdf, resolution, resolution, bound, chunk)
    return _polygonize(values, np.zeros(3, dtype=np.int64), resolution, bound)


def _levels(coarse: int, resolution: int) -> list[int]:
    """Cells per side of the levels after the coarse one."""
    doublings = max(resolution // max(coarse, 1), 1).bit_length() - 1
    if coarse < 2 or coarse << doublings != resolution:
        raise ValueError(
            f"extract_surface: resolution must be coarse * 2^k, coarse >= 2; got {resolution} and {coarse}"
        )
    return [coarse << k for k in range(1, doublings + 1)]


def _evaluate_lattice(sdf: Sdf, cells: int, resolution: int, bound: float, chunk: int) -> Float[np.ndarray, "X Y Z"]:
    """The field on the whole lattice of ``cells`` per side, outside on the border of the cube."""
    line = np.linspace(-bound, bound, cells + 1, dtype=np.float32)
    points = np.stack(np.meshgrid(line, line, line, indexing="ij"), axis=-1).reshape(-1, 3)
    values = _evaluate(sdf, points, chunk).reshape((cells + 1,) * 3)
    _set_border_outside(values, np.zeros(3, dtype=np.int64), cells, bound / resolution)
    return values


@torch.no_grad()
def _evaluate(sdf: Sdf, points: Float[np.ndarray, "P 3"], chunk: int) -> Float[np.ndarray, "P"]:
    out = np.empty(len(points), dtype=np.float32)
    for first in range(0, len(points), chunk):
        out[first : first + chunk] = sdf(torch.from_numpy(points[first : first + chunk])).float().cpu().numpy()
    if not np.isfinite(out).all():
        raise ValueError(
            f"extract_surface: the field is not finite at {(~np.isfinite(out)).sum()} of {len(out)} points"
        )
    return out


def _set_border_outside(
    values: Float[np.ndarray, "A B C"], origin: Int[np.ndarray, "3"], cells: int, least: float
) -> None:
    """Declare the border of the cube to be outside, in place, so that the surface closes before it.

    Args:
        origin: index of the first point among ``cells`` per side; a cropped lattice may not reach the border.
        least: distance on the border; of the finest level at every level, because coarse values are reused.
    """
    for axis in range(3):
        face = np.moveaxis(values, axis, 0)
        if origin[axis] == 0:
            face[0] = np.maximum(face[0], least)
        if origin[axis] + len(face) - 1 == cells:
            face[-1] = np.maximum(face[-1], least)


def _over_corners(points: Bool[np.ndarray, "X Y Z"]) -> Bool[np.ndarray, "X-1 Y-1 Z-1"]:
    """True for cells with a true point among their eight corners."""
    points = points[1:] | points[:-1]
    points = points[:, 1:] | points[:, :-1]
    return points[:, :, 1:] | points[:, :, :-1]


def _sign_changes(values: Float[np.ndarray, "X Y Z"]) -> Bool[np.ndarray, "X-1 Y-1 Z-1"]:
    inside = values < 0
    return _over_corners(inside) & _over_corners(~inside)


def _cells_near_surface(values: Float[np.ndarray, "X Y Z"], step: float) -> Bool[np.ndarray, "X-1 Y-1 Z-1"]:
    margin = _MARGIN_DIAGONALS * np.sqrt(3) * step
    return _over_corners(np.abs(values) < margin) | binary_dilation(_sign_changes(values), np.ones((3, 3, 3)))


def _crop(
    values: Float[np.ndarray, "X Y Z"], active: Bool[np.ndarray, "X-1 Y-1 Z-1"], origin: Int[np.ndarray, "3"]
) -> tuple[Float[np.ndarray, "A B C"], Bool[np.ndarray, "A-1 B-1 C-1"], Int[np.ndarray, "3"]]:
    """Keep the bounding box of the active cells: as the cube's border is outside, so is all around them."""
    if not active.any():
        raise _no_surface(values)
    where = [np.flatnonzero(active.any(axis=other)) for other in ((1, 2), (0, 2), (0, 1))]
    low = np.array([w[0] for w in where])
    high = np.array([w[-1] + 1 for w in where])
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    corners = tuple(slice(a, b + 1) for a, b in zip(low, high, strict=True))
    return values[corners], active[box], origin + low


def _refine(
    sdf: Sdf,
    values: Float[np.ndarray, "X Y Z"],
    active: Bool[np.ndarray, "X-1 Y-1 Z-1"],
    origin: Int[np.ndarray, "3"],
    cells: int,
    resolution: int,
    bound: float,
    chunk: int,
) -> Float[np.ndarray, "A B C"]:
    """Values on the lattice of half the cell size; ``origin`` indexes its first point among ``cells`` per side."""
    fine = _upsample(values)
    evaluated = np.zeros(fine.shape, dtype=bool)
    evaluated[::2, ::2, ::2] = True
    needed = _corners_of(active.repeat(2, 0).repeat(2, 1).repeat(2, 2))
    while (index := np.argwhere(needed & ~evaluated)).size:
        points = ((index + origin) * (2 * bound / cells) - bound).astype(np.float32, order="C")
        fine[tuple(index.T)] = _evaluate(sdf, points, chunk)
        evaluated[tuple(index.T)] = True
        _set_border_outside(fine, origin, cells, bound / resolution)
        needed = _corners_of(_sign_changes(fine))
    return fine


def _upsample(values: Float[np.ndarray, "X Y Z"]) -> Float[np.ndarray, "2*X-1 2*Y-1 2*Z-1"]:
    """Trilinear values at half the spacing; between corners of one sign they keep it."""
    for axis in range(3):
        old = np.moveaxis(values, axis, 0)
        new = np.empty((2 * len(old) - 1, *old.shape[1:]), dtype=old.dtype)
        new[::2] = old
        new[1::2] = (old[1:] + old[:-1]) / 2
        values = np.moveaxis(new, 0, axis)
    return np.ascontiguousarray(values)


def _corners_of(cells: Bool[np.ndarray, "X Y Z"]) -> Bool[np.ndarray, "X+1 Y+1 Z+1"]:
    """True for points that are a corner of a true cell."""
    return _over_corners(np.pad(cells, 1))


def _polygonize(
    values: Float[np.ndarray, "X Y Z"], origin: Int[np.ndarray, "3"], resolution: int, bound: float
) -> TriangleSurface:
    """Marching cubes (Lewiner et al. 2003, as in scikit-image) on the bounding box of the inside."""
    changes = _sign_changes(values)
    if not changes.any() or not (values[1:-1, 1:-1, 1:-1] >= 0).any():
        raise _no_surface(values)
    values, _, origin = _crop(values, changes, origin)
    step = 2 * bound / resolution
    least = _NUDGE_CELLS * step
    pushed = np.where(values < 0, np.minimum(values, -least), np.maximum(values, least))
    vertices, faces, _, _ = marching_cubes(pushed, level=0.0, gradient_direction="descent")
    return TriangleSurface(((vertices + origin) * step - bound).astype(np.float32), faces.astype(np.int32))


def _no_surface(values: Float[np.ndarray, "X Y Z"]) -> EmptySurfaceError:
    return EmptySurfaceError(
        f"extract_surface: the field has no surface inside the box (its values span [{values.min():.3g}, "
        f"{values.max():.3g}]; negative means inside). Was the person found in the photo, and is the field trained?"
    )
