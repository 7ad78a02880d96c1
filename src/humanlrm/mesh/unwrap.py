"""Surface -> texture atlas: cut it into charts that lie flat without overlap, and pack them into the unit square.

Measured on 20,000 faces of a body on one core (xatlas 0.0.11): xatlas 4.0 s, and 3.9-4.2 s with any ``max_iterations``,
``max_cost`` or brute-force setting, 2.1 s with all seam and roundness weights at 0. This unwrapper projects along the
axes: 0.5 s. It fills 0.40 of the texture where xatlas fills 0.63. Its front charts are the photo's own view, so the
photo arrives in the texture almost without resampling.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from humanlrm.mesh.pack import chart_bounds, pack_charts, total_area
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
_SMALL_CHART_FACES, _LEAST_SPECK_COSINE = 12, 0.05
#: Rounds in which specks that were cut off because they hid something try the charts beside them.
_ABSORBING_ROUNDS = 3
#: Texels per length on detailed faces, in those of the others.
DETAIL = 1.5
#: Longest side of a chart, in sides of a square of the area of all charts.
_LONGEST_CHART = 0.75


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


def unwrap(surface: TriangleSurface, size_px: int = 1024, detailed: Bool[np.ndarray, "F"] | None = None) -> Unwrapped:
    """Texture coordinates without overlaps for a texture of ``size_px``.

    Args:
        detailed: faces that get ``DETAIL`` times as many texels per length as the others.

    Raises:
        ValueError: more charts than fit a texture that small.
    """
    neighbours = _face_neighbours(surface.faces)
    detailed = np.zeros(len(surface.faces), dtype=bool) if detailed is None else detailed
    chart, axis = _charts(surface, neighbours, detailed)
    flat = _flatten(surface, axis)[..., :2] * np.where(detailed, DETAIL, 1)[:, None, None].astype(np.float32)
    chart = _connected(neighbours, _split_long(flat, chart))
    key, inverse = np.unique(
        chart[:, None].astype(np.int64) * len(surface.vertices) + surface.faces, return_inverse=True
    )
    faces = inverse.reshape(-1, 3)
    points = np.empty((len(key), 2), dtype=np.float32)
    points[faces] = flat
    uv = pack_charts(points, faces, key // len(surface.vertices), size_px)
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
    surface: TriangleSurface, neighbours: Int[np.ndarray, "F 3"], detailed: Bool[np.ndarray, "F"]
) -> tuple[Int[np.ndarray, "F"], Int[np.ndarray, "F"]]:
    """Chart and projection axis of each face; within a chart no two faces overlap in the projection.

    A chart is all of detailed faces, or all of others.
    """
    axis = _vote_axes(surface, neighbours)
    # Even layers are of plain faces, odd ones of detailed faces.
    layer = detailed.astype(np.int64)
    for _ in range(_SEPARATION_ROUNDS):
        chart = _connected(neighbours, axis + 6 * layer)
        hidden = _hidden_faces(surface, axis, chart)
        if not hidden.any():
            break
        layer[hidden] += 2
    else:
        # Faces that are still hidden (a handful in a tight spiral) go into charts of one face.
        layer[hidden] += layer.max() // 2 * 2 + 2 * (1 + np.arange(hidden.sum()))
    axis, layer = _absorb_specks(surface, neighbours, axis, layer)
    return _connected(neighbours, axis + 6 * layer), axis


def _absorb_specks(
    surface: TriangleSurface,
    neighbours: Int[np.ndarray, "F 3"],
    axis: Int[np.ndarray, "F"],
    layer: Int[np.ndarray, "F"],
) -> tuple[Int[np.ndarray, "F"], Int[np.ndarray, "F"]]:
    """Axes and layers with fewer charts: faces of specks join a chart beside them, or each other, where they hide
    nothing."""
    cosine = unit_face_normals(surface) @ _AXES.T
    face = np.arange(len(axis))
    for turn in range(_ABSORBING_ROUNDS):
        small = _in_specks(neighbours, axis + 6 * layer)
        other = neighbours[:, turn % 3]
        joins = small & ~small[other] & (layer % 2 == layer[other] % 2)
        joins &= cosine[face, axis[other]] > _LEAST_SPECK_COSINE
        if not joins.any():
            continue
        tried_axis, tried_layer = np.where(joins, axis[other], axis), np.where(joins, layer[other], layer)
        tried_chart, joining = _connected(neighbours, tried_axis + 6 * tried_layer), np.flatnonzero(joins)
        above, below = _faces_over_and_under(surface, tried_axis, tried_chart, joining)
        joins[joining] = ((above < 0) & (below < 0)).all(axis=1)
        axis, layer = np.where(joins, axis[other], axis), np.where(joins, layer[other], layer)
    axis, layer = _join_specks(surface, neighbours, axis, layer)
    # A face that is thinner than the distance of the tested points may still hide something.
    hidden = np.flatnonzero(_hidden_faces(surface, axis, _connected(neighbours, axis + 6 * layer)))
    layer[hidden] += layer.max() // 2 * 2 + 2 * (1 + np.arange(len(hidden)))
    return axis, layer


def _join_specks(
    surface: TriangleSurface,
    neighbours: Int[np.ndarray, "F 3"],
    axis: Int[np.ndarray, "F"],
    layer: Int[np.ndarray, "F"],
) -> tuple[Int[np.ndarray, "F"], Int[np.ndarray, "F"]]:
    """Axes and layers with one chart for specks that touch, where all of their faces are seen from one side."""
    small = _in_specks(neighbours, axis + 6 * layer)
    _, region = np.unique(np.where(small, _connected(neighbours, 2 * small + layer % 2), -1), return_inverse=True)
    worst = np.full((region.max() + 1, 6), np.inf)
    np.minimum.at(worst, region, unit_face_normals(surface) @ _AXES.T)
    joins = small & (worst.max(axis=1)[region] > _LEAST_SPECK_COSINE)
    joined_axis = np.where(joins, worst.argmax(axis=1)[region], axis)
    joined_layer = np.where(joins, layer.max() // 2 * 2 + 2 + layer % 2, layer)
    tested = np.flatnonzero(joins)
    joined = _connected(neighbours, joined_axis + 6 * joined_layer)
    above, below = _faces_over_and_under(surface, joined_axis, joined, tested)
    overlapping = region[tested[((above >= 0) | (below >= 0)).any(axis=1)]]
    joins &= ~np.isin(region, overlapping)
    return np.where(joins, joined_axis, axis), np.where(joins, joined_layer, layer)


def _vote_axes(surface: TriangleSurface, neighbours: Int[np.ndarray, "F 3"]) -> Int[np.ndarray, "F"]:
    """The axis along which each face is projected, smoothed by its neighbours' choices."""
    cosine = unit_face_normals(surface) @ _AXES.T
    score = np.where(cosine > _LEAST_COSINE, cosine * _PREFERENCE, -np.inf)
    axis = score.argmax(axis=1)
    for _ in range(_VOTING_ROUNDS):
        votes = axis[neighbours][..., None] == np.arange(6)
        axis = (score + _VOTE * votes.sum(axis=1)).argmax(axis=1)
    for _ in range(_VOTING_ROUNDS):
        small = _in_specks(neighbours, axis)
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


def _in_specks(neighbours: Int[np.ndarray, "F 3"], label: Int[np.ndarray, "F"]) -> Bool[np.ndarray, "F"]:
    """True for faces of connected regions of one label that are specks."""
    chart = _connected(neighbours, label)
    return np.bincount(chart)[chart] < _SMALL_CHART_FACES


def _flatten(surface: TriangleSurface, axis: Int[np.ndarray, "F"]) -> Float[np.ndarray, "F 3 3"]:
    """Corners of each face as (right, up, toward the viewer) seen along its axis; orientation is kept."""
    up = np.array([[0, 1, 0]] * 4 + [[0, 0, -1], [0, 0, 1]], dtype=np.float32)
    frames = np.stack([np.cross(up, _AXES), up, _AXES], axis=1)
    return np.einsum("fij,fkj->fki", frames[axis], surface.vertices[surface.faces])


def _split_long(flat: Float[np.ndarray, "F 3 2"], chart: Int[np.ndarray, "F"]) -> Int[np.ndarray, "F"]:
    """Labels that cut long charts into equal parts: one as long as the texture would set the scale of all others."""
    centers = flat.mean(axis=1)
    low, high = chart_bounds(centers, chart)
    parts = np.ceil(np.maximum(high - low, 1e-9) / (_LONGEST_CHART * np.sqrt(total_area(flat))))
    step = np.maximum(high - low, 1e-9) / parts
    x, y = np.minimum((centers - low[chart]) // step[chart], parts[chart] - 1).astype(np.int64).T
    return (chart * 64 + x) * 64 + y


def _hidden_faces(
    surface: TriangleSurface, axis: Int[np.ndarray, "F"], chart: Int[np.ndarray, "F"]
) -> Bool[np.ndarray, "F"]:
    """Faces behind another face of their own chart."""
    above, below = _faces_over_and_under(surface, axis, chart, np.arange(len(chart)))
    hidden = np.asarray((above >= 0).any(axis=1))
    hidden[below[below >= 0]] = True
    return hidden


def _faces_over_and_under(
    surface: TriangleSurface, axis: Int[np.ndarray, "F"], chart: Int[np.ndarray, "F"], tested: Int[np.ndarray, "N"]
) -> tuple[Int[np.ndarray, "N 7"], Int[np.ndarray, "N 7"]]:
    """Other face of the same chart in front of, and behind, seven points of each tested face; -1 for none."""
    corners = _flatten(surface, axis)
    # Charts are laid out side by side, so that one scene answers for all of them.
    span = float(np.ptp(corners, axis=(0, 1)).max()) * 1.1 + 1e-3
    columns = int(np.ceil(np.sqrt(chart.max() + 1)))
    corners[..., 0] += (chart % columns * span)[:, None]
    corners[..., 1] += (chart // columns * span)[:, None]
    scene = RayScene(corners.reshape(-1, 3), np.arange(3 * len(chart)).reshape(-1, 3))
    inner = 0.94 * np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.5, 0.5, 0], [0, 0.5, 0.5], [0.5, 0, 0.5]]) + 0.02
    inner = np.concatenate([inner, np.full((1, 3), 1 / 3)])
    points = np.einsum("pk,fkc->fpc", inner, corners[tested]).astype(np.float32)
    toward = np.zeros_like(points)
    toward[..., 2] = 1.0
    gap, face = 1e-4 * toward, tested[:, None]
    above = scene.first_hit(points + gap, toward).face
    below = scene.first_hit(points - gap, -toward).face
    return np.where(above == face, -1, above), np.where(below == face, -1, below)
