"""Floors: methods that know nothing of people, or nothing of the photo, measured like a model."""

from functools import cache

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.ndimage import distance_transform_edt

from humanlrm.evaluate.case import IMAGE_PX, SIDES, Case, ColoredSurface
from humanlrm.evaluate.placing import place_in_mask
from humanlrm.frame import VIEW_SPAN, project_ndc
from humanlrm.mesh.clean import clean
from humanlrm.mesh.extract import extract_surface
from humanlrm.mesh.preview import YAW_DEG, orbit_camera
from humanlrm.mesh.surface import TriangleSurface, vertex_normals
from humanlrm.people.procedural.bodies import rig
from humanlrm.photo.crop import SubjectCrop

_DEEPEST = 0.16
_RESOLUTION = 128


def inflated_silhouette(shown: SubjectCrop) -> TriangleSurface:
    """The mask inflated to the front and to the back: half thickness sqrt(d (2r - d)) at distance d from the outline,
    as if each limb were round with radius r = 0.16 units at most (our choice). Orthographic."""
    mask = shown.alpha[0].numpy() > 0.5
    unit = VIEW_SPAN / len(mask)
    inside = np.minimum(np.asarray(distance_transform_edt(mask)) * unit, _DEEPEST)
    outside = np.asarray(distance_transform_edt(~mask)) * unit
    thickness = torch.from_numpy((np.sqrt(inside * (2 * _DEEPEST - inside)) - outside).astype(np.float32))

    def sdf(points):
        grid = torch.stack([points[:, 0], -points[:, 1]], -1)[None, None] * (2 / VIEW_SPAN)
        half = torch.nn.functional.grid_sample(thickness[None, None], grid, align_corners=False)[0, 0, 0]
        return points[:, 2].abs() - half

    return clean(extract_surface(sdf, _RESOLUTION))


def inflated(case: Case) -> ColoredSurface:
    """:func:`inflated_silhouette` with the photo on the front and its mirror image on the back."""
    surface = inflated_silhouette(case.shown)
    return ColoredSurface(surface, photo_colors(surface, case.shown))


def mean_body(case: Case) -> ColoredSurface:
    """anny's average adult at rest, facing the camera, as high as the mask and in its middle, painted like
    :func:`inflated`."""
    surface = place_in_mask(_average_adult(), case.shown.alpha[0].numpy() > 0.5)
    return ColoredSurface(surface, photo_colors(surface, case.shown))


@cache
def _average_adult() -> TriangleSurface:
    """Metres; the largest closed part, without the eyes."""
    return clean(TriangleSurface(rig().vertices.astype(np.float32), rig().faces))


def visual_hull(case: Case) -> ColoredSurface:
    """What is inside of the four true silhouettes, each vertex coloured by the true picture that it faces most.

    An oracle, not a floor: it sees the person from all four ``SIDES``.
    """
    pictures = case.truth.pictures
    cameras = [orbit_camera(YAW_DEG[side], IMAGE_PX) for side in SIDES]
    maps = [_signed_px(picture.mask) for picture in pictures]

    def sdf(points):
        inside = []
        for camera, field in zip(cameras, maps, strict=True):
            at = camera.project(points)
            grid = (at[None, None, :, :2] / IMAGE_PX) * 2 - 1
            px = torch.nn.functional.grid_sample(field, grid, padding_mode="border", align_corners=False)[0, 0, 0]
            inside.append(px * at[:, 2] / camera.K[0, 0])
        return torch.stack(inside).amax(0)

    surface = clean(extract_surface(sdf, _RESOLUTION))
    normals, points = vertex_normals(surface), torch.from_numpy(surface.vertices)
    eyes = np.stack([camera.c2w[:3, 3].numpy() for camera in cameras])
    facing = (normals @ eyes.T).argmax(1)
    colors = np.zeros_like(surface.vertices)
    for index, (camera, picture) in enumerate(zip(cameras, pictures, strict=True)):
        mine = facing == index
        colors[mine] = _nearest_person(picture.rgb, picture.mask, camera.project(points[mine])[:, :2].numpy())
    return ColoredSurface(surface, colors)


def _signed_px(mask: Bool[np.ndarray, "S S"]) -> torch.Tensor:
    """Pixels to the silhouette's border, negative inside, as a map for ``grid_sample``."""
    signed = np.asarray(distance_transform_edt(~mask)) - np.asarray(distance_transform_edt(mask))
    return torch.from_numpy(signed.astype(np.float32))[None, None]


def photo_colors(surface: TriangleSurface, shown: SubjectCrop) -> Float[np.ndarray, "V 3"]:
    """The person's pixel nearest to where the photo shows each vertex, whether it is hidden or not."""
    ndc = project_ndc(torch.from_numpy(surface.vertices)).numpy()
    size = shown.alpha.shape[-1]
    at = (ndc * np.array([1, -1]) + 1) / 2 * size
    return _nearest_person(shown.rgb.permute(1, 2, 0).numpy(), shown.alpha[0].numpy() > 0.5, at)


def _nearest_person(
    rgb: Float[np.ndarray, "S S 3"], mask: Bool[np.ndarray, "S S"], at_px: Float[np.ndarray, "P 2"]
) -> Float[np.ndarray, "P 3"]:
    column, row = np.clip(np.floor(at_px).astype(int), 0, len(mask) - 1).T
    if not mask.any():
        return rgb[row, column]
    row, column = np.asarray(distance_transform_edt(~mask, return_distances=False, return_indices=True))[:, row, column]
    return rgb[row, column]
