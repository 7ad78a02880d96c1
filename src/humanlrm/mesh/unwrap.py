"""Surface -> texture atlas: cut it into charts that lie flat without overlap, and pack them into the unit square.

Measured on 20,000 faces of a body on one core (xatlas 0.0.11): xatlas 4.0 s, and 3.9-4.2 s with any ``max_iterations``,
``max_cost`` or brute-force setting, 2.1 s with all seam and roundness weights at 0. This unwrapper projects along the
axes: 0.5 s. It fills 0.40 of the texture where xatlas fills 0.63. Its front charts are the photo's own view, so the
photo arrives in the texture almost without resampling.

Packing is greedy and by bitmap, large charts first. Bounding boxes would waste most of the texture on a person's
star-shaped front; in a bitmap small charts fill the gaps.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.fft import irfft2, rfft2
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from humanlrm.mesh.raycast import RayScene
from humanlrm.mesh.surface import TriangleSurface, unit_face_normals

_AXES = np.array([[0, 0, 1], [0, 0, -1], [1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]], dtype=np.float32)
#: Front and back are preferred, so that what the photo shows stays in one piece.
_PREFERENCE = np.array([1.2, 1.2, 1.0, 1.0, 0.9, 0.9], dtype=np.float32)
#: A face may join a chart only if this share of its area is left in the projection.
_LEAST_COSINE = 0.2
#: Weight of one neighbour's vote when a face chooses its axis, and number of rounds: fewer and rounder charts.
_VOTE, _VOTING_ROUNDS = 0.25, 8
_SEPARATION_ROUNDS = 6
#: Charts of fewer faces are specks: they cost gutters and show as seams.
_SMALL_CHART_FACES, _LEAST_SPECK_COSINE = 12, 0.1
#: Longest side of a chart, in sides of a square of the area of all charts.
_LONGEST_CHART = 0.75
#: Charts are placed on a lattice of this many cells per side.
_LATTICE_CELLS = 128
#: Empty texels around every chart, so that bilinear lookups and the first mip levels do not mix charts.
_GUTTER_PX = 2
#: The first scale tried would fill this much of the texture; each failure shrinks it.
_FIRST_FILL, _SHRINK = 0.55, 0.95
#: Masks with more cells than this are slid over the texture by FFT instead of cell by cell.
_FFT_CELLS = 200


@dataclass(frozen=True)
class Unwrapped:
    """A surface cut open along the borders of its charts.

    Attributes:
        welded: index into the surface's vertices of each vertex here; vertices on a cut appear more than once.
        faces: the surface's faces in their order, in indices of the cut vertices.
        uv: position in the texture in [0, 1]^2, v UP (row 0 of the image is v = 1).
    """

    welded: Int[np.ndarray, "U"]
    faces: Int[np.ndarray, "F 3"]
    uv: Float[np.ndarray, "U 2"]


def unwrap(surface: TriangleSurface, size_px: int = 1024) -> Unwrapped:
    """Texture coordinates without overlaps for a texture of ``size_px``.

    Raises:
        ValueError: more charts than fit a texture that small.
    """
    neighbours = _face_neighbours(surface.faces)
    chart, axis = _charts(surface, neighbours)
    flat = _flatten(surface, axis)[..., :2]
    chart = _connected(neighbours, _split_long(flat, chart))
    key, inverse = np.unique(
        chart[:, None].astype(np.int64) * len(surface.vertices) + surface.faces, return_inverse=True
    )
    faces = inverse.reshape(-1, 3)
    points = np.empty((len(key), 2), dtype=np.float32)
    points[faces] = flat
    uv = _pack_charts(points, faces, key // len(surface.vertices), size_px)
    return Unwrapped((key % len(surface.vertices)).astype(np.int32), faces.astype(np.int32), uv)


def _face_neighbours(faces: Int[np.ndarray, "F 3"]) -> Int[np.ndarray, "F 3"]:
    """Face across each edge (vertex k to k+1) of a closed surface."""
    start, end = faces.ravel(), np.roll(faces, -1, axis=1).ravel()
    # Sorted by (start, end) and by (end, start), each edge has the same rank as its opposite.
    forward, backward = np.lexsort((end, start)), np.lexsort((start, end))
    across = np.empty(faces.size, dtype=np.int64)
    across[forward] = backward // 3
    return across.reshape(-1, 3)


def _charts(
    surface: TriangleSurface, neighbours: Int[np.ndarray, "F 3"]
) -> tuple[Int[np.ndarray, "F"], Int[np.ndarray, "F"]]:
    """Chart and projection axis of each face; within a chart no two faces overlap in the projection."""
    axis = _vote_axes(surface, neighbours)
    layer = np.zeros(len(axis), dtype=np.int64)
    for _ in range(_SEPARATION_ROUNDS):
        chart = _connected(neighbours, axis + 6 * layer)
        hidden = _hidden_faces(surface, axis, chart)
        if not hidden.any():
            return chart, axis
        layer[hidden] += 1
    # Faces that are still hidden (a handful in a tight spiral) go into charts of one face.
    layer[hidden] = layer.max() + 1 + np.arange(hidden.sum())
    return _connected(neighbours, axis + 6 * layer), axis


def _vote_axes(surface: TriangleSurface, neighbours: Int[np.ndarray, "F 3"]) -> Int[np.ndarray, "F"]:
    """The axis along which each face is projected, smoothed by its neighbours' choices."""
    cosine = unit_face_normals(surface) @ _AXES.T
    score = np.where(cosine > _LEAST_COSINE, cosine * _PREFERENCE, -np.inf)
    axis = score.argmax(axis=1)
    for _ in range(_VOTING_ROUNDS):
        votes = axis[neighbours][..., None] == np.arange(6)
        axis = (score + _VOTE * votes.sum(axis=1)).argmax(axis=1)
    for _ in range(_VOTING_ROUNDS):
        chart = _connected(neighbours, axis)
        small = np.bincount(chart)[chart] < _SMALL_CHART_FACES
        # Specks join a neighbouring larger chart if they can be seen from its side at all.
        votes = (axis[neighbours][..., None] == np.arange(6)) & ~small[neighbours][..., None]
        offers = votes.any(axis=1) & (cosine > _LEAST_SPECK_COSINE)
        joining = small & offers.any(axis=1)
        if not joining.any():
            break
        axis[joining] = np.where(offers, cosine, -np.inf)[joining].argmax(axis=1)
    return axis


def _connected(neighbours: Int[np.ndarray, "F 3"], label: Int[np.ndarray, "F"]) -> Int[np.ndarray, "F"]:
    """Number of the connected region of one label that each face belongs to."""
    face = np.repeat(np.arange(len(label)), 3)
    other = neighbours.ravel()
    same = label[face] == label[other]
    links = coo_matrix((np.ones(same.sum(), dtype=np.int8), (face[same], other[same])), (len(label), len(label)))
    return connected_components(links, directed=False)[1]


def _flatten(surface: TriangleSurface, axis: Int[np.ndarray, "F"]) -> Float[np.ndarray, "F 3 3"]:
    """Corners of each face as (right, up, toward the viewer) seen along its axis; orientation is kept."""
    up = np.array([[0, 1, 0]] * 4 + [[0, 0, -1], [0, 0, 1]], dtype=np.float32)
    frames = np.stack([np.cross(up, _AXES), up, _AXES], axis=1)
    return np.einsum("fij,fkj->fki", frames[axis], surface.vertices[surface.faces])


def _split_long(flat: Float[np.ndarray, "F 3 2"], chart: Int[np.ndarray, "F"]) -> Int[np.ndarray, "F"]:
    """Labels that cut long charts into equal parts: one as long as the texture would set the scale of all others."""
    centers = flat.mean(axis=1)
    low, high = _bounds(centers, chart)
    parts = np.ceil(np.maximum(high - low, 1e-9) / (_LONGEST_CHART * np.sqrt(_total_area(flat))))
    step = np.maximum(high - low, 1e-9) / parts
    x, y = np.minimum((centers - low[chart]) // step[chart], parts[chart] - 1).astype(np.int64).T
    return (chart * 64 + x) * 64 + y


def _hidden_faces(
    surface: TriangleSurface, axis: Int[np.ndarray, "F"], chart: Int[np.ndarray, "F"]
) -> Bool[np.ndarray, "F"]:
    """Faces behind another face of their own chart, tested at seven points of every face from both sides."""
    corners = _flatten(surface, axis)
    # Charts are laid out side by side, so that one scene answers for all of them.
    span = float(np.ptp(corners, axis=(0, 1)).max()) * 1.1 + 1e-3
    columns = int(np.ceil(np.sqrt(chart.max() + 1)))
    corners[..., 0] += (chart % columns * span)[:, None]
    corners[..., 1] += (chart // columns * span)[:, None]
    scene = RayScene(corners.reshape(-1, 3), np.arange(3 * len(chart)).reshape(-1, 3))
    inner = 0.94 * np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.5, 0.5, 0], [0, 0.5, 0.5], [0.5, 0, 0.5]]) + 0.02
    inner = np.concatenate([inner, np.full((1, 3), 1 / 3)])
    points = np.einsum("pk,fkc->fpc", inner, corners).astype(np.float32)
    toward = np.zeros_like(points)
    toward[..., 2] = 1.0
    gap = 1e-4 * toward
    face = np.arange(len(chart))[:, None]
    above = scene.first_hit(points + gap, toward).face
    below = scene.first_hit(points - gap, -toward).face
    hidden = ((above >= 0) & (above != face)).any(axis=1)
    hidden[below[(below >= 0) & (below != face)]] = True
    return hidden


def _pack_charts(
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
    scale = size_px * np.sqrt(_FIRST_FILL / _total_area(corners))
    sides = _bounds(points, chart)[1]
    # Half a cell apart at the first and largest scale, so nearer at all others.
    samples, owner = _samples(corners, chart[faces[:, 0]], size_px / _LATTICE_CELLS / 2 / scale)
    for _ in range(60):
        places = _place(_masks(samples * scale, owner, sides * scale, size_px / _LATTICE_CELLS))
        if places is not None:
            texels = points * scale + places[chart] * (size_px / _LATTICE_CELLS) + _GUTTER_PX
            return (texels / size_px).astype(np.float32)
        scale *= _SHRINK
    raise ValueError(
        f"pack_charts: {chart.max() + 1} charts do not fit a texture of {size_px} px; take a larger texture"
    )


def _upright(points: Float[np.ndarray, "U 2"], chart: Int[np.ndarray, "U"]) -> Float[np.ndarray, "U 2"]:
    """Each chart with its lower left corner at 0, turned so that it is not wider than high."""
    low, high = _bounds(points, chart)
    wide = (np.ptp([low, high], axis=0) @ [1, -1] > 0)[chart]
    turned = np.where(wide[:, None], points[:, ::-1] * [-1, 1], points)
    return turned - _bounds(turned, chart)[0][chart]


def _total_area(corners: Float[np.ndarray, "F 3 2"]) -> np.floating:
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    return np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum() / 2


def _bounds(
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
