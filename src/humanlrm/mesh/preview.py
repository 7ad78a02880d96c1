"""Pictures of a textured mesh from all sides, by ray casting: no GPU and no window."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from einops import reduce
from jaxtyping import Float, UInt8
from PIL import Image

from humanlrm.camera import Cameras, look_at
from humanlrm.frame import CAMERA_DISTANCE, canonical_camera
from humanlrm.mesh.raycast import Hits, RayScene, bilinear, pixel_rays
from humanlrm.mesh.surface import TexturedMesh

#: Degrees by which the camera walks around the person: "left" shows the person's left side.
YAW_DEG = {"front": 0.0, "left": 90.0, "back": 180.0, "right": 270.0}
Shading = Literal["color", "soft", "normals"]
_BACKGROUND = 1.0
#: Light that reaches even faces turned away, so that shading shows shape and hides no colour.
_AMBIENT = 0.65
#: Extent, from the picture's middle, of a surface that did not fit and is zoomed out (1 is the border).
_FITTED_EXTENT = 0.95
#: Rays per pixel side.
_SUPERSAMPLE = 2


def render_views(
    mesh: TexturedMesh,
    views: tuple[str, ...] = ("front", "left", "back", "right"),
    size_px: int = 384,
    shading: Shading = "soft",
) -> list[UInt8[np.ndarray, "S S 3"]]:
    """Images of the mesh by the canonical camera walked around the y axis.

    Args:
        views: names from ``YAW_DEG``.
        shading: "color" is the bare texture, "soft" adds a light at the camera, "normals" shows normals in the camera's
            axes (x right, y up, z toward the viewer) as (n + 1)/2.

    Raises:
        ValueError: an unknown view or shading.
    """
    unknown = [view for view in views if view not in YAW_DEG]
    if unknown or shading not in ("color", "soft", "normals"):
        raise ValueError(
            f"render_views: views are {tuple(YAW_DEG)}, shadings color, soft, normals; got {views}, {shading!r}"
        )
    scene = RayScene(mesh.vertices, mesh.faces)
    cameras = zoom_to_fit([orbit_camera(YAW_DEG[view], size_px * _SUPERSAMPLE) for view in views], mesh.vertices)
    return [_render(mesh, scene, camera, shading) for camera in cameras]


def render_turn(meshes: list[TexturedMesh], size_px: int = 384) -> list[UInt8[np.ndarray, "S S 3"]]:
    """Images of the frames of a motion, with soft light, by a camera that walks around once.

    All have one zoom, by which the largest extent fits. A mesh that is the same object in all frames stays one scene.
    """
    extremes = np.concatenate([_corners(mesh.vertices) for mesh in {id(mesh): mesh for mesh in meshes}.values()])
    cameras = [orbit_camera(360 * k / len(meshes), size_px * _SUPERSAMPLE) for k in range(len(meshes))]
    cameras = zoom_to_fit(cameras, extremes.astype(np.float32))
    images, before, scene = [], None, None
    for mesh, camera in zip(meshes, cameras, strict=True):
        if scene is None or mesh is not before:
            before, scene = mesh, RayScene(mesh.vertices, mesh.faces)
        images.append(_render(mesh, scene, camera, "soft"))
    return images


def _corners(points: Float[np.ndarray, "V 3"]) -> Float[np.ndarray, "8 3"]:
    """Corners of the bounding box."""
    return np.array(np.meshgrid(*np.stack([points.min(0), points.max(0)], axis=1))).reshape(3, 8).T


def zoom_to_fit(cameras: list[Cameras], vertices: Float[np.ndarray, "V 3"]) -> list[Cameras]:
    """The cameras, zoomed out by one factor if a surface does not fit into the picture of one of them.

    Feet that point at the photo's camera hang far below, seen from the side.
    """
    points = torch.from_numpy(vertices)
    half = [torch.tensor(camera.size_px[::-1]) / 2 for camera in cameras]
    pixels = [camera.project(points)[:, :2] for camera in cameras]
    reach = max(float((px / h - 1).abs().max()) for px, h in zip(pixels, half, strict=True))
    if reach <= 1:
        return cameras
    zoom = torch.ones(3, 3)
    zoom[:2, :2] = _FITTED_EXTENT / reach
    return [replace(camera, K=camera.K * zoom) for camera in cameras]


def orbit_camera(yaw_deg: float, size_px: int) -> Cameras:
    """The canonical camera walked by ``yaw_deg`` around +Y, counter-clockwise seen from above (0 is the photo)."""
    yaw = np.deg2rad(yaw_deg)
    eye = torch.tensor([np.sin(yaw), 0.0, np.cos(yaw)], dtype=torch.float32) * CAMERA_DISTANCE
    return Cameras(canonical_camera(size_px).K, look_at(eye, torch.zeros(3)), (size_px, size_px))


def contact_sheet(
    images: list[UInt8[np.ndarray, "_ _ 3"]], gutter_px: int = 8, path: str | Path | None = None
) -> UInt8[np.ndarray, "H2 W2 3"]:
    """Images of equal height side by side on white, also written to ``path`` (PNG) unless it is ``None``.

    Raises:
        ValueError: no images, or images of different heights.
    """
    heights = {len(image) for image in images}
    if len(heights) != 1:
        raise ValueError(f"contact_sheet: expected one or more images of one height, got heights {sorted(heights)}")
    padded = [np.pad(i, ((gutter_px,) * 2, (0, gutter_px), (0, 0)), constant_values=255) for i in images]
    sheet = np.pad(np.concatenate(padded, axis=1), ((0, 0), (gutter_px, 0), (0, 0)), constant_values=255)
    if path is not None:
        Image.fromarray(sheet).save(path)
    return sheet


def _render(mesh: TexturedMesh, scene: RayScene, camera: Cameras, shading: Shading) -> UInt8[np.ndarray, "S S 3"]:
    origin, directions = pixel_rays(camera)
    hits = scene.first_hit(origin, directions)
    hit = hits.hit
    visible = Hits(hits.face[hit], hits.barycentric[hit], hits.distance[hit])
    image = np.full((*hit.shape, 3), _BACKGROUND, dtype=np.float32)
    normals = scene.interpolate(visible, mesh.normals)
    normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-12)
    if shading == "normals":
        to_view = camera.w2c[:3, :3].numpy() * np.array([[1], [-1], [-1]], dtype=np.float32)
        image[hit] = normals @ to_view.T / 2 + 0.5
    else:
        image[hit] = texture_at(mesh, scene.interpolate(visible, mesh.uv))
        if shading == "soft":
            toward = -directions[hit] / np.linalg.norm(directions[hit], axis=-1, keepdims=True)
            facing = np.clip((normals * toward).sum(axis=-1, keepdims=True), 0, 1)
            image[hit] *= _AMBIENT + (1 - _AMBIENT) * facing
    averaged = reduce(image, "(H p) (W q) C -> H W C", "mean", p=_SUPERSAMPLE, q=_SUPERSAMPLE)
    return (averaged * 255 + 0.5).astype(np.uint8)


def texture_at(mesh: TexturedMesh, uv: Float[np.ndarray, "P 2"]) -> Float[np.ndarray, "P 3"]:
    """Bilinear lookup, sRGB in [0, 1]."""
    size = len(mesh.texture)
    pixels = np.stack([(1 - uv[:, 1]) * size - 0.5, uv[:, 0] * size - 0.5], axis=-1)
    return np.stack([bilinear(mesh.texture[..., c].astype(np.float32), pixels) for c in range(3)], axis=-1) / 255
