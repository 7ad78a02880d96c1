"""Charts of a texture atlas, packed into a square.

Packing is greedy and by bitmap, large charts first. Bounding boxes would waste most of the texture on a person's
star-shaped front; in a bitmap small charts fill the gaps.
"""

from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.fft import irfft2, rfft2

#: Charts are placed on a lattice of this many cells per side.
_LATTICE_CELLS = 128
#: Empty texels around every chart: twice as many lie between charts, so that three mip levels do not mix them.
_GUTTER_PX = 4
#: The first scale would fill this much of the texture; each step shrinks it, and so many are passed over at first.
_FIRST_FILL, _SHRINK, _STEPS, _STRIDE = 0.55, 0.95, 60, 4
#: Masks with more cells than this are slid over the texture by FFT instead of cell by cell.
_FFT_CELLS = 200


def pack_charts(
    points: Float[np.ndarray, "U 2"], faces: Int[np.ndarray, "F 3"], chart: Int[np.ndarray, "U"], size_px: int
) -> Float[np.ndarray, "U 2"]:
    """Texture coordinates in [0, 1]^2 of flat charts, all at the same scale, moved and turned by 0 or 90 degrees.

    Args:
        points: vertices of the charts in their own planes, any unit.
        chart: number of each vertex's chart, from 0 on.

    Raises:
        ValueError: the charts are so many that they do not fit even at a small scale.
    """
    points = _upright(points.astype(np.float64), chart)
    corners = points[faces]
    scale = size_px * np.sqrt(_FIRST_FILL / total_area(corners))
    sides = chart_bounds(points, chart)[1]
    # Half a cell apart at the first and largest scale, so nearer at all others.
    samples, owner = _samples(corners, chart[faces[:, 0]], size_px / _LATTICE_CELLS / 2 / scale)
    cell_px = size_px / _LATTICE_CELLS

    @cache
    def placed(step: int) -> Float[np.ndarray, "C 2"] | None:
        shrunk = scale * _SHRINK**step
        return _place(_masks(samples * shrunk, owner, sides * shrunk, cell_px))

    # The first of some steps that fits, and then the largest of those that were passed over.
    last = next((step for step in range(_STRIDE - 1, _STEPS, _STRIDE) if placed(step) is not None), None)
    if last is None:
        raise ValueError(
            f"pack_charts: {chart.max() + 1} charts do not fit a texture of {size_px} px; take a larger texture"
        )
    step, places = next(
        (step, places) for step in range(last - _STRIDE + 1, last + 1) if (places := placed(step)) is not None
    )
    texels = points * scale * _SHRINK**step + places[chart] * cell_px + _GUTTER_PX
    return (texels / size_px).astype(np.float32)


def _upright(points: Float[np.ndarray, "U 2"], chart: Int[np.ndarray, "U"]) -> Float[np.ndarray, "U 2"]:
    """Each chart with its lower left corner at 0, turned so that it is not wider than high."""
    low, high = chart_bounds(points, chart)
    wide = (np.ptp([low, high], axis=0) @ [1, -1] > 0)[chart]
    turned = np.where(wide[:, None], points[:, ::-1] * [-1, 1], points)
    return turned - chart_bounds(turned, chart)[0][chart]


def total_area(corners: Float[np.ndarray, "F 3 2"]) -> np.floating:
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    return np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum() / 2


def chart_bounds(
    points: Float[np.ndarray, "U 2"], chart: Int[np.ndarray, "U"]
) -> tuple[Float[np.ndarray, "C 2"], Float[np.ndarray, "C 2"]]:
    """Lower left and upper right corner of each chart."""
    low = np.full((chart.max() + 1, 2), np.inf)
    high = -low
    np.minimum.at(low, chart, points)
    np.maximum.at(high, chart, points)
    return low, high


def _samples(
    corners: Float[np.ndarray, "F 3 2"], chart: Int[np.ndarray, "F"], spacing: float
) -> tuple[Float[np.ndarray, "P 2"], Int[np.ndarray, "P"]]:
    """Points at most ``spacing`` apart on every face, and the chart that each belongs to."""
    longest = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=-1).max(axis=1)
    level = np.ceil(np.log2(np.maximum(longest / spacing, 1))).astype(int)
    points, owners = [], []
    for depth in np.unique(level):
        weights = _triangle_lattice(2 ** int(depth))
        points.append((weights @ corners[level == depth]).reshape(-1, 2))
        owners.append(np.repeat(chart[level == depth], len(weights)))
    return np.concatenate(points), np.concatenate(owners)


def _masks(
    samples_px: Float[np.ndarray, "P 2"],
    owner: Int[np.ndarray, "P"],
    sides_px: Float[np.ndarray, "C 2"],
    cell_px: float,
) -> list[Bool[np.ndarray, "_ _"]]:
    """Lattice cells that each chart and its gutter touch."""
    extent = ((sides_px + 2 * _GUTTER_PX) // cell_px).astype(np.int64) + 2
    ends = np.cumsum(extent.prod(axis=1))
    firsts = ends - extent.prod(axis=1)
    touched = np.zeros(ends[-1], dtype=bool)
    for shift in ((0, 0), (0, 2), (2, 0), (2, 2)):
        x, y = ((samples_px + _GUTTER_PX * np.array(shift)) / cell_px).astype(np.int64).T
        touched[firsts[owner] + y * extent[owner, 0] + x] = True
    masks = [touched[a:b].reshape(h, w) for a, b, (w, h) in zip(firsts, ends, extent, strict=True)]
    return [mask[: np.flatnonzero(mask.any(1))[-1] + 1, : np.flatnonzero(mask.any(0))[-1] + 1] for mask in masks]


def _triangle_lattice(parts: int) -> Float[np.ndarray, "P 3"]:
    """Barycentric coordinates of the corners of a triangle cut into ``parts`` per side."""
    a, b = np.meshgrid(np.arange(parts + 1), np.arange(parts + 1))
    keep = a + b <= parts
    return np.stack([a[keep], b[keep], parts - a[keep] - b[keep]], axis=-1) / parts


def _place(masks: list[Bool[np.ndarray, "_ _"]]) -> Float[np.ndarray, "C 2"] | None:
    """Cell (x, y) of each chart's lower left corner, or None if they do not all fit."""
    if sum(int(mask.sum()) for mask in masks) > _LATTICE_CELLS**2:
        return None
    taken = np.zeros((_LATTICE_CELLS, _LATTICE_CELLS), dtype=bool)
    places = np.zeros((len(masks), 2))
    for index in sorted(range(len(masks)), key=lambda i: (-masks[i].shape[0], -masks[i].sum())):
        mask = masks[index]
        height, width = mask.shape
        if height > _LATTICE_CELLS or width > _LATTICE_CELLS:
            return None
        free = np.flatnonzero(~_collisions(taken, mask))
        if not len(free):
            return None
        y, x = divmod(int(free[0]), _LATTICE_CELLS - width + 1)
        taken[y : y + height, x : x + width] |= mask
        places[index] = x, y
    return places


def _collisions(taken: Bool[np.ndarray, "N N"], mask: Bool[np.ndarray, "H W"]) -> Bool[np.ndarray, "N-H+1 N-W+1"]:
    """True for each place of the mask's lower left corner at which the mask would touch something."""
    height, width = _LATTICE_CELLS - mask.shape[0] + 1, _LATTICE_CELLS - mask.shape[1] + 1
    if mask.sum() > _FFT_CELLS:
        # Circular correlation is exact: no place wraps around, because the mask stays inside.
        spectrum: Any = rfft2(mask.astype(np.float32), taken.shape)
        overlap: Any = irfft2(rfft2(taken.astype(np.float32)) * np.conj(spectrum), taken.shape)
        return overlap[:height, :width] > 0.5
    out = np.zeros((height, width), dtype=bool)
    for row, column in np.argwhere(mask):
        out |= taken[row : row + height, column : column + width]
    return out
