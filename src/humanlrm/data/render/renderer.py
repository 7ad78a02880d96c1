"""A scan under light: its ray scene, the surface that rays meet, shadows, and pictures with occluders."""

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy.ndimage import uniform_filter

from humanlrm.camera import Cameras
from humanlrm.data.render.backdrop import paint_backdrop
from humanlrm.data.render.environment import Surroundings
from humanlrm.data.render.light import Light, shade_albedo
from humanlrm.data.scan import Scan
from humanlrm.mesh.raycast import Hits, RayScene, pixel_rays
from humanlrm.mesh.surface import vertex_normals

#: Ambient occlusion: rays per vertex and their length, metres.
_AO_RAYS, _AO_REACH_M = 6, 0.4
#: Shadow rays start this far in front of the surface, metres.
_LIFT_M = 0.004


class Surface(NamedTuple):
    """Surface points that rays meet.

    Attributes:
        distance: in units of the direction's length, inf where a ray misses.
        normals: unit, toward the ray's origin, of the rays that hit, in their order.
        albedo: sRGB.
        open_share: share of the surroundings that the solid itself does not hide.
    """

    distance: Float[np.ndarray, "*R"]
    normals: Float[np.ndarray, "N 3"]
    albedo: Float[np.ndarray, "N 3"]
    open_share: Float[np.ndarray, "N"]


@runtime_checkable
class Solid(Protocol):
    """An object that can stand in a photograph."""

    scene: RayScene

    def trace(self, origin: Float[np.ndarray, "3"], directions: Float[np.ndarray, "*R 3"]) -> Surface: ...


class RenderedPhoto(NamedTuple):
    """A rendered picture.

    Attributes:
        rgb: sRGB of the person, the occluders and the backdrop.
        whole: pixels of the person without occluders.
        visible: pixels of the person that no occluder hides.
        where: the person's surface points in pixels of ``whole``, subject coordinates; NaN elsewhere.
    """

    rgb: UInt8[np.ndarray, "H W 3"]
    whole: Bool[np.ndarray, "H W"]
    visible: Bool[np.ndarray, "H W"]
    where: Float[np.ndarray, "H W 3"]


class LitPerson(NamedTuple):
    """The person of a picture, without anything in front.

    Attributes:
        rgb: sRGB in [0, 1] of the pixels of ``whole``, in their order.
        whole: pixels of the person.
        distance: along rays of camera z 1; inf where they miss.
        where: surface points, subject coordinates; NaN where rays miss.
    """

    rgb: Float[np.ndarray, "N 3"]
    whole: Bool[np.ndarray, "H W"]
    distance: Float[np.ndarray, "H W"]
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

    def trace(self, origin: Float[np.ndarray, "3"], directions: Float[np.ndarray, "*R 3"]) -> Surface:
        """Cast rays from one point at the person."""
        return self._surface(self.scene.first_hit(origin, directions), directions)

    def trace_back(self, origin: Float[np.ndarray, "3"], directions: Float[np.ndarray, "*R 3"]) -> Surface:
        """The surface where rays leave the person, as seen from beyond: normals point along the rays."""
        return self._surface(self.scene.last_hit(origin, directions), -directions)

    def _surface(self, hits: Hits, directions: Float[np.ndarray, "*R 3"]) -> Surface:
        """Surface at hits; normals point against ``directions``."""
        hit = hits.hit
        face, barycentric = hits.face[hit], hits.barycentric[hit]
        corners = self.scan.faces[face]
        normals = face_viewer(np.einsum("nk,nkc->nc", barycentric, self.normals[corners]), directions[hit])
        free = (barycentric * self.open_share[corners]).sum(1)
        return Surface(hits.distance, normals, self.scan.albedo(face, barycentric), free.astype(np.float32))

    def photograph(
        self, camera: Cameras, surroundings: Surroundings, rng: np.random.Generator, occluders: Sequence[Solid] = ()
    ) -> RenderedPhoto:
        """Render the person with cast shadows, occluders and a backdrop."""
        origin, directions = pixel_rays(camera)
        picture = paint_backdrop(rng, directions, surroundings)
        person = self.light_person(camera, surroundings.light, rng, [occluder.scene for occluder in occluders])
        light, whole, where = surroundings.light, person.whole, person.where
        picture[whole] = person.rgb
        visible, nearest = whole, person.distance
        for occluder in occluders:
            cover = occluder.trace(origin, directions)
            front = cover.distance < nearest
            chosen = front[np.isfinite(cover.distance)]
            irradiance = light.shade(cover.normals[chosen], open_share=cover.open_share[chosen])
            picture[front] = shade_albedo(cover.albedo[chosen], irradiance)
            nearest, visible = np.minimum(nearest, cover.distance), visible & ~front
        return RenderedPhoto((picture * 255 + 0.5).astype(np.uint8), whole, visible, where)

    def light_person(
        self, camera: Cameras, light: Light, rng: np.random.Generator, occluders: Sequence[RayScene] = ()
    ) -> LitPerson:
        """Render the person alone. Occluders cast shadows on the person; they hide nothing here."""
        origin, directions = pixel_rays(camera)
        window = self.scene.image_window(camera)  # other rays cannot meet the person
        person = self.trace(origin, directions[window])
        distance = np.full(directions.shape[:2], np.inf, dtype=np.float32)
        distance[window] = person.distance
        whole = np.isfinite(distance)
        where = np.full((*whole.shape, 3), np.nan, dtype=np.float32)
        where[whole] = origin + directions[whole] * distance[whole][:, None]
        lit = visible_lamps([self.scene, *occluders], where, person.normals, light, rng)
        rgb = shade_albedo(person.albedo, light.shade(person.normals, lit, person.open_share))
        return LitPerson(rgb, whole, distance, where)


def visible_lamps(
    scenes: Sequence[RayScene],
    where: Float[np.ndarray, "H W 3"],
    normals: Float[np.ndarray, "N 3"],
    light: Light,
    rng: np.random.Generator,
) -> Float[np.ndarray, "N L"]:
    """Share of each lamp that surface points see.

    One ray per pixel goes to a random spot of the lamp. A mean over 3 x 3 pixels, or 7 x 7 for wide lamps, removes the
    grain.

    Args:
        where: surface points per pixel, NaN where there is none.
        normals: unit normals of the surface points.
    """
    on = np.isfinite(where[..., 0])
    shares = np.ones((len(normals), len(light.directions)), np.float32)
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
        shares[:, k] = (uniform_filter(share, size) / np.maximum(weight, 1e-6))[on]
    return shares


def face_viewer(normals: Float[np.ndarray, "N 3"], directions: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 3"]:
    """Normalize normals and flip those that point along the ray.

    Clothes and wigs may be single sheets: the visible side is the lit side.
    """
    normals = normals / (np.linalg.norm(normals, axis=-1, keepdims=True) + 1e-9)
    return (normals * np.where((normals * directions).sum(-1, keepdims=True) > 0.2, -1, 1)).astype(np.float32)
