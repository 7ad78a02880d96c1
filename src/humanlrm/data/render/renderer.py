"""A scan under light: its ray scene, what rays see of it, shadows, and pictures with other things in them."""

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy.ndimage import uniform_filter

from humanlrm.camera import Cameras
from humanlrm.data.render.backdrop import backdrop
from humanlrm.data.render.environment import Surroundings
from humanlrm.data.render.light import Light, shown
from humanlrm.data.scan import Scan
from humanlrm.mesh.raycast import RayScene, pixel_rays
from humanlrm.mesh.surface import vertex_normals

#: Ambient occlusion: rays per vertex and how far they look, metres (our choice).
_AO_RAYS, _AO_REACH_M = 6, 0.4
#: Shadow rays start this far in front of the surface, metres.
_LIFT_M = 0.004


class Surface(NamedTuple):
    """What rays meet.

    Attributes:
        distance: in units of the direction's length, inf where a ray misses.
        normals: unit, toward the ray's origin, of the rays that hit, in their order.
        albedo: sRGB.
        open_share: share of the surroundings that is not hidden by the solid itself.
    """

    distance: Float[np.ndarray, "*R"]
    normals: Float[np.ndarray, "N 3"]
    albedo: Float[np.ndarray, "N 3"]
    open_share: Float[np.ndarray, "N"]


@runtime_checkable
class Solid(Protocol):
    """Something that can stand in a photograph."""

    scene: RayScene

    def surface(self, origin: Float[np.ndarray, "3"], directions: Float[np.ndarray, "*R 3"]) -> Surface: ...


class RenderedPhoto(NamedTuple):
    """A rendered picture.

    Attributes:
        rgb: sRGB with everything in it.
        whole: where the person would be seen if nothing stood in front.
        visible: where the person is seen.
        where: the person's surface points in pixels of ``whole``, subject coordinates; NaN elsewhere.
    """

    rgb: UInt8[np.ndarray, "H W 3"]
    whole: Bool[np.ndarray, "H W"]
    visible: Bool[np.ndarray, "H W"]
    where: Float[np.ndarray, "H W 3"]


class SceneRenderer:
    """Renders one scan; keeps its ray scene and normals."""

    def __init__(self, scan: Scan) -> None:
        self.scan = scan
        self.scene = RayScene(scan.vertices, scan.faces)
        self.normals = vertex_normals(scan.surface)
        self.center = (scan.vertices.min(0) + scan.vertices.max(0)) / 2

    @cached_property
    def open_share(self) -> Float[np.ndarray, "V"]:
        """Ambient occlusion per vertex: the share of cosine-weighted rays that leave the vicinity, smoothed."""
        scan, rng = self.scan, np.random.default_rng(len(self.scan.vertices))
        ball = rng.normal(size=(len(scan.vertices), _AO_RAYS, 3)).astype(np.float32)
        ball /= np.linalg.norm(ball, axis=-1, keepdims=True)
        # A unit vector plus a point of the unit sphere has a cosine distribution.
        start = scan.vertices + _LIFT_M * self.normals
        end = start[:, None] + _AO_REACH_M * (ball + 1.001 * self.normals[:, None])
        free = 1 - self.scene.occluded(np.broadcast_to(start[:, None], end.shape), end, offset=0.0).mean(1)
        for _ in range(2):
            face = free[scan.faces].mean(1)
            counts = np.bincount(scan.faces.ravel(), minlength=len(free))
            free = np.bincount(scan.faces.ravel(), np.repeat(face, 3), len(free)) / np.maximum(counts, 1)
        return free.astype(np.float32)

    def surface(self, origin: Float[np.ndarray, "3"], directions: Float[np.ndarray, "*R 3"]) -> Surface:
        """What rays from one point see of the person."""
        hits = self.scene.first_hit(origin, directions)
        hit = hits.hit
        face, barycentric = hits.face[hit], hits.barycentric[hit]
        corners = self.scan.faces[face]
        normals = facing(np.einsum("nk,nkc->nc", barycentric, self.normals[corners]), directions[hit])
        free = (barycentric * self.open_share[corners]).sum(1)
        return Surface(hits.distance, normals, self.scan.albedo(face, barycentric), free.astype(np.float32))

    def _own(self, camera: Cameras, origin: Float[np.ndarray, "3"], directions: Float[np.ndarray, "H W 3"]) -> Surface:
        """:meth:`surface` for all rays of a picture, of which only those that may meet the person are cast."""
        window = self.scene.image_window(camera)
        inside = self.surface(origin, directions[window])
        distance = np.full(directions.shape[:2], np.inf, dtype=np.float32)
        distance[window] = inside.distance
        return inside._replace(distance=distance)

    def photograph(
        self, camera: Cameras, surroundings: Surroundings, rng: np.random.Generator, others: Sequence[Solid] = ()
    ) -> RenderedPhoto:
        """A picture with cast shadows, ``others`` in it and something behind."""
        origin, directions = pixel_rays(camera)
        own = self._own(camera, origin, directions)
        whole = np.isfinite(own.distance)
        where = np.full((*whole.shape, 3), np.nan, dtype=np.float32)
        where[whole] = origin + directions[whole] * own.distance[whole][:, None]
        picture = backdrop(rng, directions, surroundings)
        light, scenes = surroundings.light, [self.scene, *(other.scene for other in others)]
        lit = lamps_seen(scenes, where, own.normals, light, rng)
        picture[whole] = shown(own.albedo, light.shade(own.normals, lit, own.open_share))
        visible, nearest = whole, own.distance
        for other in others:
            cover = other.surface(origin, directions)
            front = cover.distance < nearest
            chosen = front[np.isfinite(cover.distance)]
            irradiance = light.shade(cover.normals[chosen], open_share=cover.open_share[chosen])
            picture[front] = shown(cover.albedo[chosen], irradiance)
            nearest, visible = np.minimum(nearest, cover.distance), visible & ~front
        return RenderedPhoto((picture * 255 + 0.5).astype(np.uint8), whole, visible, where)


def lamps_seen(
    scenes: Sequence[RayScene],
    where: Float[np.ndarray, "H W 3"],
    normals: Float[np.ndarray, "N 3"],
    light: Light,
    rng: np.random.Generator,
) -> Float[np.ndarray, "N L"]:
    """Share of each lamp that surface points see.

    One ray per pixel to a random spot of the lamp, then a mean over 3 x 3 or, for wide lamps, 7 x 7 pixels of the same
    picture: soft and free of grain (our choice).

    Args:
        where: surface points per pixel, NaN where there is none.
        normals: unit normals of the others.
    """
    on = np.isfinite(where[..., 0])
    seen = np.ones((len(normals), len(light.directions)), np.float32)
    for k, radius in enumerate(light.shadows):
        if radius < 0 or len(normals) == 0:
            continue
        spot = light.directions[k] + rng.standard_normal((len(normals), 3), dtype=np.float32) * radius * 0.7
        start = where[on] + _LIFT_M * normals
        free = np.ones(len(normals), dtype=bool)
        facing_lamp = np.flatnonzero((normals @ light.directions[k]) > -radius)
        for scene in scenes:
            free[facing_lamp] &= scene.escapes(start[facing_lamp], spot[facing_lamp])
        size = 3 if radius < 0.08 else 7
        share = np.zeros(on.shape, np.float32)
        share[on] = free
        weight = uniform_filter(on.astype(np.float32), size)
        seen[:, k] = (uniform_filter(share, size) / np.maximum(weight, 1e-6))[on]
    return seen


def facing(normals: Float[np.ndarray, "N 3"], directions: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 3"]:
    """Unit normals; those that point along the ray are turned round.

    Clothes and wigs may be single sheets: the side that is seen is the side that is lit.
    """
    normals = normals / (np.linalg.norm(normals, axis=-1, keepdims=True) + 1e-9)
    return (normals * np.where((normals * directions).sum(-1, keepdims=True) > 0.2, -1, 1)).astype(np.float32)
