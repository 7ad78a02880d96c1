"""Silhouette fitting: a surface is stretched along the picture until it ends where the photos show its end."""

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
from humanlrm.mesh.raycast import RayScene, bilinear, pixel_rays
from humanlrm.mesh.surface import TriangleSurface, vertex_normals

# ``benchmarks/outline.py`` measures these constants.
#: Side of the pictures in which outlines are compared, and a pixel's size in the plane z = 0.
_SIDE_PX = 512
_PIXEL = VIEW_SPAN / _SIDE_PX
#: A vertex is on the outline if it projects this near to it (box units), and its normal has at most this cosine.
_OUTLINE_BAND, _OUTLINE_COSINE = 1.5 * _PIXEL, 0.5
#: Deviation of the blur after which the outline has a direction everywhere (pixels).
_BLUR_PX = 2.0
#: Largest distance to the photo's outline (box units): one farther off is that of something else, such as a thing that
#: stands in front of the person.
_OUTWARD = 0.045
#: The same, inward, for vertices that nothing else hides. A skull that is taken for larger than it is by more than the
#: reach would keep a knob where all around it moves.
_UNOCCLUDED_REACH = 0.13
#: Pixels around the surface in which outlines are compared.
_ROOM_PX = int(np.ceil(_OUTWARD / _PIXEL)) + 4
#: Length of the surface over which shifts are smoothed and carried on (box units), and number of smoothings.
_SMOOTHING_LENGTH, _PASSES = 0.05, 2
#: Shifts fade to 0 where the smoothed weight of the outline is as small as this.
_LEAST_WEIGHT = 1e-4
#: Number of times that outlines are compared again after the surface has moved.
_ROUNDS = 2
#: Distance from the photo's border (box units) within which a surface is smoothed, and number of smoothing steps.
_BORDER_REACH, _BORDER_STEPS = 0.04, 10


@dataclass(frozen=True)
class Outline:
    """A person's silhouette in one photo.

    Attributes:
        inside: pixels of the view's square crop: True on the person, and where the photo does not reach.
        to_view: similarity from the surface's frame to the view's; ``None``: they are the same.
    """

    inside: Bool[np.ndarray, "S S"]
    to_view: Float[np.ndarray, "4 4"] | None = None


def extract_outlines(image: Float[Tensor, "B 5 H W"], to_views: Float[Tensor, "B 4 4"] | None = None) -> list[Outline]:
    """The outlines in the network's input. Beyond a photo's border the end of the person is unknown.

    Args:
        image: RGB, alpha and known, in [0, 1].
        to_views: see :class:`Outline`.
    """
    size = (_SIDE_PX, _SIDE_PX)
    alpha, known = torch.nn.functional.interpolate(image[:, 3:].float(), size, mode="bilinear").cpu().unbind(1)
    masks = ((alpha > 0.5) | (known < 0.5)).numpy()
    matrices = [None] * len(masks) if to_views is None else list(to_views.cpu().double().numpy())
    return [Outline(inside, matrix) for inside, matrix in zip(masks, matrices, strict=True)]


def fit_silhouette(
    surface: TriangleSurface, outlines: Sequence[Outline], unoccluded: Bool[np.ndarray, "V"] | None = None
) -> TriangleSurface:
    """Move the surface along the pictures until its silhouettes end where the photos' do.

    Vertices on the silhouette move across it to the photo's outline, if that is near. All others follow the silhouette
    around them: the shifts are smoothed over the surface (normalised convolution, Knutsson and Westin 1993, by two
    implicit steps of diffusion). So a limb that is a little off moves as a whole, a head that is too small grows, and
    both stay round. Returns ``surface`` itself if no outline is near, or if moving vertices broke it.

    Args:
        surface: sound (``mesh.clean``), box units.
        unoccluded: vertices that nothing else hides in the photos: their outline is looked for farther inward.
    """
    smoother, fitted = None, surface
    for _ in range(_ROUNDS):
        # Sums of the shifts, and in the last column their number.
        total = np.zeros((len(surface.vertices), 4))
        for outline in outlines:
            index, shift = _outline_shifts(fitted, outline, unoccluded)
            total[index] += np.column_stack([shift, np.ones(len(index))])
        if not total.any():
            break
        smoother = _smoothing_system(surface) if smoother is None else smoother
        for _ in range(_PASSES):
            total = np.column_stack([cg(smoother, column, rtol=1e-3)[0] for column in total.T])
        vertices = fitted.vertices + total[:, :3] / (total[:, 3:].clip(0) + _LEAST_WEIGHT)
        fitted = TriangleSurface(vertices.astype(np.float32), surface.faces)
    return fitted if is_sound(fitted) else surface


def smooth_photo_border(surface: TriangleSurface, known: Bool[np.ndarray, "S S"]) -> TriangleSurface:
    """Smooth a surface where it crosses the border of the photo: the network begins to guess there and leaves a step.

    Args:
        surface: sound, in the photo's frame (box units).
        known: pixels of the square crop that the photo shows.
    """
    shown = bilinear(known.astype(np.float32), _project_px(surface.vertices, len(known))) > 0.5
    edges = surface.faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)
    crossing = np.unique(edges[shown[edges[:, 0]] != shown[edges[:, 1]]])
    if len(crossing) == 0:
        return surface
    distance, _ = KDTree(surface.vertices[crossing]).query(surface.vertices, distance_upper_bound=_BORDER_REACH)
    share = 1 - np.minimum(distance / _BORDER_REACH, 1)
    average, vertices = averaging_matrix(surface), surface.vertices.astype(np.float64)
    for _ in range(_BORDER_STEPS):
        vertices += share[:, None] * (average @ vertices - vertices)
    smoothed = TriangleSurface(vertices.astype(np.float32), surface.faces)
    return smoothed if is_sound(smoothed) else surface


def _smoothing_system(surface: TriangleSurface) -> csr_array:
    """One implicit step of diffusion over the surface, to be solved for the smoothed values."""
    edges = adjacency(surface)
    degree = np.asarray(edges.sum(axis=1)).ravel()
    step = np.linalg.norm(surface.vertices[surface.faces[:, 0]] - surface.vertices[surface.faces[:, 1]], axis=1).mean()
    strength = (_SMOOTHING_LENGTH / float(step)) ** 2 / degree.mean()
    return csr_array(eye_array(len(degree)) + strength * (diags_array(degree) - edges))


def _outline_shifts(
    surface: TriangleSurface, outline: Outline, unoccluded: Bool[np.ndarray, "V"] | None
) -> tuple[Int[np.ndarray, "K"], Float[np.ndarray, "K 3"]]:
    """Vertices on the silhouette near the photo's outline, and their ways to it."""
    turn, offset = np.eye(3), np.zeros(3)
    if outline.to_view is not None:
        turn, offset = outline.to_view[:3, :3], outline.to_view[:3, 3]
    scale = np.linalg.norm(turn[0])
    vertices = surface.vertices @ turn.T + offset
    scene, camera = RayScene(vertices, surface.faces), canonical_camera(_SIDE_PX)
    rows, columns = (slice(max(s.start - _ROOM_PX, 0), s.stop + _ROOM_PX) for s in scene.image_window(camera))
    eye, rays = pixel_rays(camera)
    rendered, inside = scene.first_hit(eye, rays[rows, columns]).hit, outline.inside[rows, columns]
    if rendered.all() or not rendered.any() or inside.all() or not inside.any():
        return np.zeros(0, np.int64), np.zeros((0, 3))
    own_distance, photo_distance = _signed_distance(rendered), _signed_distance(inside)
    pixels = _project_px(vertices, _SIDE_PX) - np.array([rows.start, columns.start])
    toward = np.array([0, 0, CAMERA_DISTANCE]) - vertices
    cosine = (vertex_normals(surface) @ turn.T * toward).sum(1) / (scale * np.linalg.norm(toward, axis=1))
    on_outline = (np.abs(bilinear(own_distance, pixels)) < _OUTLINE_BAND) & (np.abs(cosine) < _OUTLINE_COSINE)
    index = np.flatnonzero(on_outline)
    pixels, vertices = pixels[index], vertices[index]
    down, right = np.gradient(gaussian_filter(own_distance, _BLUR_PX))
    slope = np.stack([bilinear(np.asarray(part), pixels) for part in (down, right)], axis=-1)
    outward = slope / np.maximum(np.linalg.norm(slope, axis=1, keepdims=True), 1e-9)
    distance, near = _distance_to_outline(photo_distance, pixels, outward, _OUTWARD)
    if unoccluded is not None:
        far = np.flatnonzero(~near & unoccluded[index])
        distance[far], near[far] = _distance_to_outline(photo_distance, pixels[far], outward[far], _UNOCCLUDED_REACH)
    # The vertex itself may lie a little inside of its silhouette, which is what has to move.
    distance = (distance + bilinear(own_distance, pixels))[near]
    distance = distance * (CAMERA_DISTANCE - vertices[near, 2]) / CAMERA_DISTANCE
    across = np.stack([outward[near, 1], -outward[near, 0], np.zeros(len(distance))], axis=-1)
    return index[near], (distance[:, None] * across) @ turn / scale**2


def _distance_to_outline(
    photo: Float[np.ndarray, "H W"], pixels: Float[np.ndarray, "K 2"], outward: Float[np.ndarray, "K 2"], inward: float
) -> tuple[Float[np.ndarray, "K"], Bool[np.ndarray, "K"]]:
    """Signed distance outward to the nearest place where a line leaves the photo's person, and whether there is one.

    Distances are box units in the plane z = 0. Lines end ``_OUTWARD`` outward and ``inward``.
    """
    steps = np.arange(-inward, _OUTWARD, _PIXEL / 2)
    values = bilinear(photo, pixels[:, None] + outward[:, None] * (steps / _PIXEL)[:, None])
    inside, outside = values[:, :-1], values[:, 1:]
    leaves = (inside < 0) & (outside >= 0)
    places = steps[:-1] + np.diff(steps) * -inside / np.where(leaves, outside - inside, 1)
    nearest = np.where(leaves, np.abs(places), np.inf).argmin(1)
    return places[np.arange(len(places)), nearest], np.asarray(leaves.any(1))


def _signed_distance(inside: Bool[np.ndarray, "H W"]) -> Float[np.ndarray, "H W"]:
    """Distance of each pixel from the outline, negative inside; box units in the plane z = 0."""
    depth, distance = (np.asarray(distance_transform_edt(mask)) for mask in (inside, ~inside))
    return (np.where(inside, 0.5 - depth, distance - 0.5) * _PIXEL).astype(np.float32)


def _project_px(points: Float[np.ndarray, "P 3"], side_px: int) -> Float[np.ndarray, "P 2"]:
    """Row and column in a view of ``side_px`` a side; pixel centres are whole numbers."""
    ndc = project_ndc(torch.from_numpy(np.asarray(points, dtype=np.float64))).numpy()
    return np.stack([(1 - ndc[:, 1]) / 2, (1 + ndc[:, 0]) / 2], axis=-1) * side_px - 0.5
