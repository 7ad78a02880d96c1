"""A surface that ends where photos show that the person ends: it is stretched along the picture, not cut or padded."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.ndimage import distance_transform_edt, gaussian_filter
from scipy.sparse import csr_array, diags_array, eye_array
from scipy.sparse.linalg import cg
from scipy.spatial import KDTree
from torch import Tensor

from humanlrm.frame import CAMERA_DISTANCE, VIEW_SPAN, canonical_camera, project_ndc
from humanlrm.mesh.clean import adjacency, averaging_matrix, is_sound
from humanlrm.mesh.pixels import bilinear
from humanlrm.mesh.raycast import RayScene, pixel_rays
from humanlrm.mesh.surface import TriangleSurface, vertex_normals

#: Side of the pictures in which outlines are compared, and a pixel's size in the plane z = 0.
_SIDE_PX = 512
_PIXEL = VIEW_SPAN / _SIDE_PX
#: A vertex is on the outline if it is seen this near to it (box units), and its normal is so much across the view.
_ON, _ACROSS = 1.5 * _PIXEL, 0.5
#: Deviation of the blur after which the outline has a direction everywhere (pixels).
_BLUR_PX = 2.0
#: How far away the photo's outline is looked for (box units): farther off it is that of something else, such as what
#: stands in front of the person. All our choice, as are the next three, measured by ``benchmarks/outline.py``.
_REACH = 0.045
#: The same inward of what nothing else hides: a skull that is taken for larger than it is by more than the reach would
#: keep a knob where all around it is moved.
_FARTHER = 0.13
#: Pixels around the surface in which outlines are compared.
_ROOM_PX = int(np.ceil(_REACH / _PIXEL)) + 4
#: Over what length of the surface shifts are smoothed and carried on (box units), and how often.
_CARRY, _PASSES = 0.05, 2
#: Places fade into their old ones where the smoothed weight of the outline is as little as this.
_FAINT = 1e-4
#: How often outlines are compared again after the surface has moved.
_ROUNDS = 2
#: How far from where it crosses the photo's border (box units) a surface is smoothed, and how often (our choice).
_MENDED, _MENDING = 0.04, 10


@dataclass(frozen=True)
class Outline:
    """Where a photo shows the person.

    Attributes:
        inside: pixels of the view's square crop: True on the person, and where nobody knows.
        to_view: similarity from the surface's frame to the view's; ``None``: they are the same.
    """

    inside: Bool[np.ndarray, "S S"]
    to_view: Float[np.ndarray, "4 4"] | None = None


def extract_outlines(image: Float[Tensor, "B 5 H W"], to_views: Float[Tensor, "B 4 4"] | None = None) -> list[Outline]:
    """The outlines in what a network is shown. Beyond a photo's border nobody knows where the person ends.

    Args:
        image: RGB, alpha and known, in [0, 1].
        to_views: see :class:`Outline`.
    """
    size = (_SIDE_PX, _SIDE_PX)
    alpha, known = torch.nn.functional.interpolate(image[:, 3:].float(), size, mode="bilinear").cpu().unbind(1)
    inside = ((alpha > 0.5) | (known < 0.5)).numpy()
    matrices = [None] * len(inside) if to_views is None else list(to_views.cpu().double().numpy())
    return [Outline(one, matrix) for one, matrix in zip(inside, matrices, strict=True)]


def fit_silhouette(
    surface: TriangleSurface, outlines: Sequence[Outline], bare: Bool[np.ndarray, "V"] | None = None
) -> TriangleSurface:
    """Moves the surface along the pictures until its silhouettes end where the photos' do.

    Vertices on the silhouette are moved across it to the photo's outline, if that is near; all others follow the
    silhouette around them: the shifts are smoothed over the surface (normalised convolution, Knutsson and Westin 1993,
    by two implicit steps of diffusion; our choice). So a limb that is a little off moves as a whole, a head that is too
    small grows, and both stay round. Returns ``surface`` itself if no outline is near, or if moving vertices broke it.

    Args:
        surface: sound (``mesh.clean``), box units.
        bare: vertices that nothing else hides in the photos: their outline is looked for farther inward.
    """
    smoother, moved = None, surface
    for _ in range(_ROUNDS):
        total = np.zeros((len(surface.vertices), 4))
        for outline in outlines:
            index, shift = _shifts(moved, outline, bare)
            total[index] += np.column_stack([shift, np.ones(len(index))])
        if not total.any():
            break
        smoother = _smoother(surface) if smoother is None else smoother
        for _ in range(_PASSES):
            total = np.column_stack([cg(smoother, column, rtol=1e-3)[0] for column in total.T])
        there = moved.vertices + total[:, :3] / (total[:, 3:].clip(0) + _FAINT)
        moved = TriangleSurface(there.astype(np.float32), surface.faces)
    return moved if is_sound(moved) else surface


def smooth_photo_border(surface: TriangleSurface, known: Bool[np.ndarray, "S S"]) -> TriangleSurface:
    """Smooths a surface where it crosses the border of the photo: there a network begins to guess, and leaves a step.

    Args:
        surface: sound, in the photo's frame (box units).
        known: pixels of the square crop that the photo shows.
    """
    shown = bilinear(known.astype(np.float32), _pixels(surface.vertices, len(known))) > 0.5
    edges = surface.faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)
    crossing = np.unique(edges[shown[edges[:, 0]] != shown[edges[:, 1]]])
    if len(crossing) == 0:
        return surface
    away, _ = KDTree(surface.vertices[crossing]).query(surface.vertices, distance_upper_bound=_MENDED)
    share = 1 - np.minimum(away / _MENDED, 1)
    average, vertices = averaging_matrix(surface), surface.vertices.astype(np.float64)
    for _ in range(_MENDING):
        vertices += share[:, None] * (average @ vertices - vertices)
    mended = TriangleSurface(vertices.astype(np.float32), surface.faces)
    return mended if is_sound(mended) else surface


def _smoother(surface: TriangleSurface) -> csr_array:
    """One implicit step of diffusion over the surface, to be solved for the smoothed values."""
    edges = adjacency(surface)
    degree = np.asarray(edges.sum(axis=1)).ravel()
    step = np.linalg.norm(surface.vertices[surface.faces[:, 0]] - surface.vertices[surface.faces[:, 1]], axis=1).mean()
    strength = (_CARRY / float(step)) ** 2 / degree.mean()
    return csr_array(eye_array(len(degree)) + strength * (diags_array(degree) - edges))


def _shifts(
    surface: TriangleSurface, outline: Outline, bare: Bool[np.ndarray, "V"] | None
) -> tuple[Int[np.ndarray, "K"], Float[np.ndarray, "K 3"]]:
    """Vertices on the silhouette near the photo's outline, and their ways to it."""
    turn, offset = np.eye(3), np.zeros(3)
    if outline.to_view is not None:
        turn, offset = outline.to_view[:3, :3], outline.to_view[:3, 3]
    scale = np.linalg.norm(turn[0])
    there = surface.vertices @ turn.T + offset
    scene, camera = RayScene(there, surface.faces), canonical_camera(_SIDE_PX)
    rows, columns = (slice(max(s.start - _ROOM_PX, 0), s.stop + _ROOM_PX) for s in scene.window(camera))
    eye, rays = pixel_rays(camera)
    seen, inside = scene.first_hit(eye, rays[rows, columns]).hit, outline.inside[rows, columns]
    if seen.all() or not seen.any() or inside.all() or not inside.any():
        return np.zeros(0, np.int64), np.zeros((0, 3))
    own, photo = _signed_distance(seen), _signed_distance(inside)
    pixels = _pixels(there, _SIDE_PX) - np.array([rows.start, columns.start])
    toward = np.array([0, 0, CAMERA_DISTANCE]) - there
    facing = (vertex_normals(surface) @ turn.T * toward).sum(1) / (scale * np.linalg.norm(toward, axis=1))
    index = np.flatnonzero((np.abs(bilinear(own, pixels)) < _ON) & (np.abs(facing) < _ACROSS))
    pixels, there = pixels[index], there[index]
    down, right = np.gradient(gaussian_filter(own, _BLUR_PX))
    slope = np.stack([bilinear(np.asarray(part), pixels) for part in (down, right)], axis=-1)
    outward = slope / np.maximum(np.linalg.norm(slope, axis=1, keepdims=True), 1e-9)
    away, found = _way_out(photo, pixels, outward, _REACH)
    if bare is not None:
        lost = np.flatnonzero(~found & bare[index])
        away[lost], found[lost] = _way_out(photo, pixels[lost], outward[lost], _FARTHER)
    # The vertex itself may lie a little inside of its silhouette, which is what has to move.
    away = (away + bilinear(own, pixels))[found] * (CAMERA_DISTANCE - there[found, 2]) / CAMERA_DISTANCE
    across = np.stack([outward[found, 1], -outward[found, 0], np.zeros(len(away))], axis=-1)
    return index[found], (away[:, None] * across) @ turn / scale**2


def _way_out(
    photo: Float[np.ndarray, "H W"], pixels: Float[np.ndarray, "K 2"], outward: Float[np.ndarray, "K 2"], inward: float
) -> tuple[Float[np.ndarray, "K"], Bool[np.ndarray, "K"]]:
    """How far outward (box units in the plane z = 0) the nearest place is where one leaves the photo's person, and
    whether there is any in reach, or as far ``inward``."""
    steps = np.arange(-inward, _REACH, _PIXEL / 2)
    values = bilinear(photo, pixels[:, None] + outward[:, None] * (steps / _PIXEL)[:, None])
    inside, outside = values[:, :-1], values[:, 1:]
    leaves = (inside < 0) & (outside >= 0)
    places = steps[:-1] + np.diff(steps) * -inside / np.where(leaves, outside - inside, 1)
    nearest = np.where(leaves, np.abs(places), np.inf).argmin(1)
    return places[np.arange(len(places)), nearest], np.asarray(leaves.any(1))


def _signed_distance(inside: Bool[np.ndarray, "H W"]) -> Float[np.ndarray, "H W"]:
    """Of pixels from the outline, negative inside; box units in the plane z = 0."""
    depth, away = (np.asarray(distance_transform_edt(one)) for one in (inside, ~inside))
    return (np.where(inside, 0.5 - depth, away - 0.5) * _PIXEL).astype(np.float32)


def _pixels(points: Float[np.ndarray, "P 3"], side_px: int) -> Float[np.ndarray, "P 2"]:
    """Row and column in a view of so many pixels a side; a pixel's centre is a whole number."""
    ndc = project_ndc(torch.from_numpy(np.asarray(points, dtype=np.float64))).numpy()
    return np.stack([(1 - ndc[:, 1]) / 2, (1 + ndc[:, 0]) / 2], axis=-1) * side_px - 0.5
