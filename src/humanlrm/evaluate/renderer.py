"""The frozen renderer of the evaluation: a scan, plain lamps, a chosen camera.

It shares no light and no camera with ``data/render/shoot.py`` on purpose: training photographs become harder with every
release, and the numbers of an evaluation must stay comparable.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from PIL import Image

from humanlrm.camera import Cameras, look_at
from humanlrm.data.render.shoot import sample_frame
from humanlrm.data.render.solid import SolidScan
from humanlrm.data.scan import Scan
from humanlrm.frame import CAMERA_DISTANCE, FOCAL, SUBJECT_SPAN, VIEW_SPAN, SquareCrop
from humanlrm.mesh.raycast import RayScene, pixel_rays
from humanlrm.mesh.surface import unit_face_normals, vertex_normals

PHOTO_PX = 384
_GAMMA, _LAMPS = 2.2, 3
#: A face is an outer one if the point this far in front of its middle is outside of the solid, metres.
_STEP_M = 0.004
#: The canonical camera's field of view, degrees.
CANONICAL_FOV_DEG = float(np.degrees(2 * np.arctan(1 / FOCAL)))


@dataclass(frozen=True)
class Lamps:
    """Ambient light and lamps without shadows: linear radiance, unit vectors toward the lamps in the scan's axes."""

    ambient: Float[np.ndarray, "3"]
    directions: Float[np.ndarray, "L 3"]
    colors: Float[np.ndarray, "L 3"]

    def on(self, albedo: Float[np.ndarray, "P 3"], normals: Float[np.ndarray, "P 3"]) -> Float[np.ndarray, "P 3"]:
        """Light surfaces of this sRGB albedo: sRGB in [0, 1] (wrapped cosine, so that no side is black)."""
        cosine = np.clip((normals @ self.directions.T + 0.3) / 1.3, 0, None)
        light = (self.ambient + cosine @ self.colors).astype(np.float32)
        return np.clip(albedo**_GAMMA * light, 0, 1) ** (1 / _GAMMA)


#: The texture as it is: for scans whose photograph was not made here.
UNLIT = Lamps(np.ones(3, np.float32), np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32))


def random_lamps(rng: np.random.Generator) -> Lamps:
    """Random light from mostly ambient to mostly one strong lamp from above, slightly colored."""
    directions = rng.normal(size=(_LAMPS, 3))
    directions[:, 1] = np.abs(directions[:, 1]) * rng.uniform(0.3, 1.5, _LAMPS) - 0.2
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    strength = rng.dirichlet([1.0, 0.7, 0.5]) * rng.uniform(0.2, 0.85)
    tint = np.exp(rng.normal(0, 0.06, size=(_LAMPS + 1, 3)))
    exposure = np.exp(rng.normal(0.05, 0.18))
    ambient = (1 - strength.sum()) * tint[0] * exposure
    colors = strength[:, None] * tint[1:] * exposure * 1.3
    return Lamps(ambient.astype(np.float32), directions.astype(np.float32), colors.astype(np.float32))


def random_backdrop(rng: np.random.Generator, shape: tuple[int, int]) -> Float[np.ndarray, "H W 3"]:
    """Soft blobs of random colors with some grain."""
    cells = int(rng.integers(2, 9))
    coarse = rng.uniform(0, 1, size=(cells, cells, 3)) * rng.uniform(0.2, 1) + rng.uniform(0, 0.4)
    small = Image.fromarray((coarse.clip(0, 1) * 255).astype(np.uint8))
    smooth = np.asarray(small.resize((shape[1], shape[0]), Image.Resampling.BICUBIC)) / np.float32(255)
    grain = rng.standard_normal((*shape, 1), dtype=np.float32) * np.float32(rng.uniform(0, 0.05))
    return np.clip(smooth + grain, 0, 1)


@dataclass(frozen=True)
class EvalPhoto:
    """A photograph with its geometry.

    Attributes:
        rgb: the person before a backdrop, sRGB.
        alpha: 1 where the person is visible.
        where: the visible point in the scan's coordinates, metres; NaN where there is none.
        camera: in the scan's coordinates.
        lamps: the light.
    """

    rgb: UInt8[np.ndarray, "H W 3"]
    alpha: Float[np.ndarray, "H W"]
    where: Float[np.ndarray, "H W 3"]
    camera: Cameras
    lamps: Lamps


@dataclass(frozen=True)
class Picture:
    """A person before ``BACKGROUND``; sRGB in [0, 1] and the silhouette."""

    rgb: Float[np.ndarray, "S S 3"]
    mask: Bool[np.ndarray, "S S"]


#: Grey behind every picture that is compared.
BACKGROUND = 0.5


class EvalHits(NamedTuple):
    """The rays that meet the person (N of them): sRGB albedo, unit normals of the visible side, ray parameter."""

    hit: Bool[np.ndarray, "*R"]
    albedo: Float[np.ndarray, "N 3"]
    normals: Float[np.ndarray, "N 3"]
    distance: Float[np.ndarray, "N"]


class EvalRenderer:
    """Photographs one scan; keeps its ray scene, normals and outer faces."""

    def __init__(self, scan: Scan) -> None:
        self.scan = scan
        self.scene = RayScene(scan.vertices, scan.faces)
        self.normals = vertex_normals(scan.surface)
        self.center = (scan.vertices.min(0) + scan.vertices.max(0)) / 2

    @cached_property
    def outer(self) -> Bool[np.ndarray, "F"]:
        """The faces that are measured: those on the outside of the solid."""
        middle = self.scan.vertices.astype(np.float64)[self.scan.faces].mean(1)
        front = middle + _STEP_M * unit_face_normals(self.scan.surface)
        return SolidScan(self.scan, self.scene).winding_number(front) < 0.5

    def trace(self, origin: Float[np.ndarray, "3"], directions: Float[np.ndarray, "*R 3"]) -> EvalHits:
        """Cast rays, given in the scan's coordinates."""
        hits = self.scene.first_hit(origin, directions)
        hit, face, barycentric = hits.hit, hits.face[hits.hit], hits.barycentric[hits.hit]
        normals = np.einsum("nk,nkc->nc", barycentric, self.normals[self.scan.faces[face]])
        normals /= np.linalg.norm(normals, axis=-1, keepdims=True) + 1e-9
        # Clothes and wigs may be single sheets: the side that is seen is the side that is lit.
        normals *= np.where((normals * directions[hit]).sum(-1, keepdims=True) > 0.2, -1, 1)
        return EvalHits(hit, self.scan.albedo(face, barycentric), normals, hits.distance[hit])

    def photograph(self, camera: Cameras, lamps: Lamps, rng: np.random.Generator) -> EvalPhoto:
        """Photograph the scan before a random backdrop."""
        origin, directions = pixel_rays(camera)
        hit, albedo, normals, distance = self.trace(origin, directions)
        picture = random_backdrop(rng, hit.shape)
        picture[hit] = lamps.on(albedo, normals)
        where = np.full((*hit.shape, 3), np.nan, dtype=np.float32)
        where[hit] = origin + directions[hit] * distance[:, None]
        rgb = (picture * 255 + 0.5).astype(np.uint8)
        return EvalPhoto(rgb, hit.astype(np.float32), where, camera, lamps)

    def frame(self, photo: EvalPhoto, crop: SquareCrop) -> Float[np.ndarray, "4 4"]:
        """Metres to the frame (box units) of a crop of a photograph, by the rule of the training data."""
        return sample_frame(self.scene, photo.camera, crop, photo.where[photo.alpha > 0.5][::7])

    def picture(self, to_frame: Float[np.ndarray, "4 4"], lamps: Lamps, camera: Cameras) -> Picture:
        """Render the scan by a camera of the frame, in the photograph's light."""
        origin, directions = pixel_rays(camera)
        back = np.linalg.inv(to_frame)
        eye = (origin @ back[:3, :3].T + back[:3, 3]).astype(np.float32)
        hit, albedo, normals, _ = self.trace(eye, (directions @ back[:3, :3].T).astype(np.float32))
        rgb = np.full((*hit.shape, 3), BACKGROUND, np.float32)
        rgb[hit] = lamps.on(albedo, normals)
        return Picture(rgb, hit)


@dataclass(frozen=True)
class Viewpoint:
    """Position and lens of a level camera.

    Attributes:
        yaw_deg: 0 is the scan's +Z side, the front of a person of our engine; counter-clockwise seen from above.
        pitch_deg: from above if positive.
        fov_deg: field of view of the square photo.
        shift: offset of the person to the right of the photo's middle, in photo widths.
        share: share of the photo that the person's longest side takes.
    """

    yaw_deg: float
    pitch_deg: float = 0.0
    fov_deg: float = CANONICAL_FOV_DEG
    shift: float = 0.0
    share: float = SUBJECT_SPAN / VIEW_SPAN


def camera_at(renderer: EvalRenderer, view: Viewpoint) -> Cameras:
    """A level camera at the distance from which the person's longest side takes ``share`` of the photo."""
    yaw, pitch = np.radians(view.yaw_deg), np.radians(view.pitch_deg)
    toward, right = _axes(yaw, pitch)
    relative = renderer.scan.vertices - renderer.center
    extent = max(np.ptp(relative @ right), np.ptp(relative[:, 1]))
    focal = 1 / np.tan(np.radians(view.fov_deg) / 2)
    distance = focal * extent / (2 * view.share)
    target = renderer.center - right * (view.shift * extent / view.share)
    return _square_camera(focal * PHOTO_PX / 2, target + toward * distance, target, (0.0, 1.0, 0.0))


def hand_held_camera(renderer: EvalRenderer, yaw_rad: float, rng: np.random.Generator) -> Cameras:
    """A camera at about the canonical distance, a little tilted, the person a little off the middle.

    Args:
        yaw_rad: 0 is the scan's +Z side.
    """
    toward, right = _axes(yaw_rad, float(np.clip(rng.normal(0.03, 0.12), -0.35, 0.5)))
    up, relative = np.array([0.0, 1.0, 0.0]), renderer.scan.vertices - renderer.center
    extent = max(np.ptp(relative @ right), np.ptp(relative @ up))
    distance = CAMERA_DISTANCE * extent / SUBJECT_SPAN * np.exp(rng.normal(0, 0.1))
    share = rng.uniform(0.62, 0.92)
    target = renderer.center + right * rng.normal(0, 0.04) * extent + up * rng.normal(0, 0.03) * extent
    tilted = tuple(up + right * np.sin(rng.normal(0, 0.03)))
    return _square_camera(share * PHOTO_PX * distance / extent, target + toward * distance, target, tilted)


def _axes(yaw_rad: float, pitch_rad: float) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3"]]:
    """Unit vectors from the person toward a camera, and to the camera's right."""
    sine, cosine = np.sin(yaw_rad), np.cos(yaw_rad)
    toward = np.array([sine * np.cos(pitch_rad), np.sin(pitch_rad), cosine * np.cos(pitch_rad)])
    return toward, np.array([cosine, 0, -sine])


def _square_camera(
    focal_px: float, eye: Float[np.ndarray, "3"], target: Float[np.ndarray, "3"], up: tuple[float, float, float]
) -> Cameras:
    K = torch.tensor([[focal_px, 0, PHOTO_PX / 2], [0, focal_px, PHOTO_PX / 2], [0, 0, 1.0]], dtype=torch.float64)
    return Cameras(K, look_at(torch.from_numpy(eye), torch.from_numpy(target), up), (PHOTO_PX, PHOTO_PX))
