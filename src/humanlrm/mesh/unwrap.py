"""Surface -> texture atlas: cut it into charts that lie flat without overlap, and pack them into the unit square.

Measured on 20,000 faces of a body on one core (xatlas 0.0.11): xatlas 4.0 s, and 3.9-4.2 s with any ``max_iterations``,
``max_cost`` or brute-force setting, 2.1 s with all seam and roundness weights at 0. Hence our own unwrapper, which
projects along the axes: 0.5 s; it fills 0.40 of the texture where xatlas fills 0.63, and its front charts are the
photo's own view, so the photo arrives in the texture almost without resampling. xatlas stays as the careful choice.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from humanlrm.mesh.pack import pack_charts
from humanlrm.mesh.raycast import RayScene
from humanlrm.mesh.surface import TriangleSurface, face_normals

_AXES = np.array([[0, 0, 1], [0, 0, -1], [1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]], dtype=np.float32)
#: Front and back are preferred, so that what the photo shows stays in one piece (our choice, like the numbers below).
_PREFERENCE = np.array([1.2, 1.2, 1.0, 1.0, 0.9, 0.9], dtype=np.float32)
#: A face may join a chart only if this much of its area is left in the projection.
_LEAST_COSINE = 0.2
#: Weight of one neighbour's vote when a face chooses its axis, and number of rounds: fewer and rounder charts.
_VOTE, _VOTING_ROUNDS = 0.25, 8
_SEPARATION_ROUNDS = 6
#: Charts of fewer faces are specks: they cost gutters and show as seams.
_SMALL_CHART, _LEAST_SPECK_COSINE = 12, 0.1
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


def unwrap(
    surface: TriangleSurface, size_px: int = 1024, method: Literal["projected", "xatlas"] = "projected"
) -> Unwrapped:
    """Texture coordinates without overlaps for a texture of ``size_px``; see the head of this file for the methods.

    Raises:
        ValueError: an unknown method, or more charts than fit a texture that small.
    """
    if method == "xatlas":
        return _with_xatlas(surface, size_px)
    if method != "projected":
        raise ValueError(f"unwrap: method must be 'projected' or 'xatlas', got {method!r}")
    neighbours = face_neighbours(surface.faces)
    chart, axis = _charts(surface, neighbours)
    flat = _flatten(surface, axis)[..., :2]
    chart = _connected(neighbours, _split_long(flat, chart))
    key, inverse = np.unique(
        chart[:, None].astype(np.int64) * len(surface.vertices) + surface.faces, return_inverse=True
    )
    faces = inverse.reshape(-1, 3)
    points = np.empty((len(key), 2), dtype=np.float32)
    points[faces] = flat
    uv = pack_charts(points, faces, key // len(surface.vertices), size_px)
    return Unwrapped((key % len(surface.vertices)).astype(np.int32), faces.astype(np.int32), uv)


def face_neighbours(faces: Int[np.ndarray, "F 3"]) -> Int[np.ndarray, "F 3"]:
    """Face across each edge (vertex k to k+1) of a closed surface."""
    start, end = faces.ravel(), np.roll(faces, -1, axis=1).ravel()
    # Sorted by (start, end) and by (end, start), each edge stands at the same place as its opposite.
    there, back = np.lexsort((end, start)), np.lexsort((start, end))
    across = np.empty(faces.size, dtype=np.int64)
    across[there] = back // 3
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
    # What is still hidden (a handful of faces in a tight spiral) goes into charts of one face.
    layer[hidden] = layer.max() + 1 + np.arange(hidden.sum())
    return _connected(neighbours, axis + 6 * layer), axis


def _vote_axes(surface: TriangleSurface, neighbours: Int[np.ndarray, "F 3"]) -> Int[np.ndarray, "F"]:
    """The axis each face looks along, smoothed by its neighbours' choices."""
    normals = face_normals(surface)
    normals = normals / np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-20)
    cosine = normals @ _AXES.T
    score = np.where(cosine > _LEAST_COSINE, cosine * _PREFERENCE, -np.inf)
    axis = score.argmax(axis=1)
    for _ in range(_VOTING_ROUNDS):
        votes = (axis[neighbours][..., None] == np.arange(6)).sum(axis=1)
        axis = (score + _VOTE * votes).argmax(axis=1)
    for _ in range(_VOTING_ROUNDS):
        chart = _connected(neighbours, axis)
        small = np.bincount(chart)[chart] < _SMALL_CHART
        # Specks join a neighbouring larger chart if they can be seen from its side at all.
        offers = ((axis[neighbours][..., None] == np.arange(6)) & ~small[neighbours][..., None]).any(axis=1)
        offers &= cosine > _LEAST_SPECK_COSINE
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
    edge_a, edge_b = flat[:, 1] - flat[:, 0], flat[:, 2] - flat[:, 0]
    area = np.abs(edge_a[:, 0] * edge_b[:, 1] - edge_a[:, 1] * edge_b[:, 0]).sum() / 2
    centers, count = flat.mean(axis=1), chart.max() + 1
    low, high = np.full((count, 2), np.inf), np.full((count, 2), -np.inf)
    np.minimum.at(low, chart, centers)
    np.maximum.at(high, chart, centers)
    parts = np.ceil(np.maximum(high - low, 1e-9) / (_LONGEST_CHART * np.sqrt(area)))
    step = np.maximum(high - low, 1e-9) / parts
    x, y = np.minimum((centers - low[chart]) // step[chart], parts[chart] - 1).astype(np.int64).T
    return (chart * 64 + x) * 64 + y


def _hidden_faces(
    surface: TriangleSurface, axis: Int[np.ndarray, "F"], chart: Int[np.ndarray, "F"]
) -> Bool[np.ndarray, "F"]:
    """Faces that lie behind another face of their own chart, tried at seven points of every face from both sides."""
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
    own = np.arange(len(chart))[:, None]
    above = scene.first_hit(points + gap, toward).face
    below = scene.first_hit(points - gap, -toward).face
    hidden = ((above >= 0) & (above != own)).any(axis=1)
    hidden[below[(below >= 0) & (below != own)]] = True
    return hidden


def _with_xatlas(surface: TriangleSurface, size_px: int) -> Unwrapped:
    import xatlas  # not needed otherwise, and slow to load

    options = xatlas.PackOptions()
    options.resolution, options.padding = size_px, 2
    atlas = xatlas.Atlas()
    atlas.add_mesh(surface.vertices.astype(np.float32), surface.faces.astype(np.uint32))
    atlas.generate(xatlas.ChartOptions(), options)
    welded, faces, uv = atlas[0]
    return Unwrapped(welded.astype(np.int32), faces.astype(np.int32), uv.astype(np.float32))
