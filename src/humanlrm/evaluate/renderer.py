"""The yardstick's own photo studio: a scan, plain lamps, a chosen camera.

It repeats a little of what ``data/render/shoot.py`` does and shares nothing of its light and cameras on purpose:
training photographs become harder with every release, and numbers must stay comparable.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from PIL import Image

from humanlrm.camera import Cameras, look_at
from humanlrm.data.render.shoot import sample_frame
from humanlrm.data.render.solid import SolidScan
from humanlrm.data.scan import Scan
from humanlrm.frame import FOCAL, SUBJECT_SPAN, VIEW_SPAN, SquareCrop
from humanlrm.mesh.raycast import RayScene, pixel_rays
from humanlrm.mesh.surface import unit_face_normals, vertex_normals

PHOTO_PX = 384
_GAMMA = 2.2
#: How far in front of a face its outside is looked at, metres.
_STEP_M = 0.004
#: The canonical camera's field of view, degrees.
CANONICAL_FOV_DEG = float(np.degrees(2 * np.arctan(1 / FOCAL)))


@dataclass(frozen=True)
class Lamps:
    """Ambient light and lamps without shadows, linear radiance.

    Attributes:
        ambient: from everywhere.
        directions: unit vectors toward the lamps, the scan's axes.
        colors: of the lamps.
    """

    ambient: Float[np.ndarray, "3"]
    directions: Float[np.ndarray, "L 3"]
    colors: Float[np.ndarray, "L 3"]

    def on(self, albedo: Float[np.ndarray, "P 3"], normals: Float[np.ndarray, "P 3"]) -> Float[np.ndarray, "P 3"]:
        """sRGB in [0, 1] of surfaces of this sRGB albedo (wrapped cosine: no side is black)."""
        cosine = np.clip((normals @ self.directions.T + 0.3) / 1.3, 0, None)
        light = (self.ambient + cosine @ self.colors).astype(np.float32)
        return np.clip(albedo**_GAMMA * light, 0, 1) ** (1 / _GAMMA)


#: Shows the texture as it is: for scans whose photograph was not made here.
UNLIT = Lamps(np.ones(3, np.float32), np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32))


def random_lamps(rng: np.random.Generator) -> Lamps:
    """Mostly ambient to mostly one strong lamp from above, slightly coloured (our choice)."""
    count = 3
    directions = rng.normal(size=(count, 3))
    directions[:, 1] = np.abs(directions[:, 1]) * rng.uniform(0.3, 1.5, count) - 0.2
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    strength = rng.dirichlet([1.0, 0.7, 0.5]) * rng.uniform(0.2, 0.85)
    tint = np.exp(rng.normal(0, 0.06, size=(count + 1, 3)))
    exposure = np.exp(rng.normal(0.05, 0.18))
    ambient = (1 - strength.sum()) * tint[0] * exposure
    colors = strength[:, None] * tint[1:] * exposure * 1.3
    return Lamps(ambient.astype(np.float32), directions.astype(np.float32), colors.astype(np.float32))


def random_backdrop(rng: np.random.Generator, shape: tuple[int, int]) -> Float[np.ndarray, "H W 3"]:
    """Soft blobs of random colours with some grain (our choice)."""
    cells = int(rng.integers(2, 9))
    coarse = rng.uniform(0, 1, size=(cells, cells, 3)) * rng.uniform(0.2, 1) + rng.uniform(0, 0.4)
    small = Image.fromarray((coarse.clip(0, 1) * 255).astype(np.uint8))
    smooth = np.asarray(small.resize((shape[1], shape[0]), Image.Resampling.BICUBIC)) / np.float32(255)
    grain = rng.standard_normal((*shape, 1), dtype=np.float32) * np.float32(rng.uniform(0, 0.05))
    return np.clip(smooth + grain, 0, 1)


@dataclass(frozen=True)
class EvalPhoto:
    """A photograph and what is known about it.

    Attributes:
        rgb: sRGB before a backdrop.
        alpha: 1 where the person is visible.
        where: the visible point in the scan's coordinates, metres; NaN where there is none.
        camera: that took it, in the scan's coordinates.
        lamps: its light.
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


@dataclass(frozen=True)
class EvalHits:
    """What rays meet (N of them meet something).

    Attributes:
        hit: whether each ray meets the person.
        albedo: sRGB.
        normals: unit, on the side that is seen.
        distance: along each ray, in lengths of its direction.
    """

    hit: Bool[np.ndarray, "*R"]
    albedo: Float[np.ndarray, "N 3"]
    normals: Float[np.ndarray, "N 3"]
    distance: Float[np.ndarray, "N"]


class EvalRenderer:
    """A scan that can be photographed; keeps its ray scene, normals and outer faces."""

    def __init__(self, scan: Scan) -> None:
        self.scan = scan
        self.scene = RayScene(scan.vertices, scan.faces)
        self.normals = vertex_normals(scan.surface)
        self.center = (scan.vertices.min(0) + scan.vertices.max(0)) / 2

    @cached_property
    def outer(self) -> Bool[np.ndarray, "F"]:
        """The faces that are measured: a point 4 mm in front of their middle is outside of the solid."""
        middle = self.scan.vertices.astype(np.float64)[self.scan.faces].mean(1)
        front = middle + _STEP_M * unit_face_normals(self.scan.surface)
        return SolidScan(self.scan, self.scene).winding_number(front) < 0.5

    def look(self, origin: Float[np.ndarray, "3"], directions: Float[np.ndarray, "*R 3"]) -> EvalHits:
        """Rays in the scan's coordinates."""
        hits = self.scene.first_hit(origin, directions)
        hit, face, barycentric = hits.hit, hits.face[hits.hit], hits.barycentric[hits.hit]
        normals = np.einsum("nk,nkc->nc", barycentric, self.normals[self.scan.faces[face]])
        normals /= np.linalg.norm(normals, axis=-1, keepdims=True) + 1e-9
        # Clothes and wigs may be single sheets: the side that is seen is the side that is lit.
        normals *= np.where((normals * directions[hit]).sum(-1, keepdims=True) > 0.2, -1, 1)
        return EvalHits(hit, self.scan.albedo(face, barycentric), normals, hits.distance[hit])

    def photograph(self, camera: Cameras, lamps: Lamps, rng: np.random.Generator) -> EvalPhoto:
        """The scan before a random backdrop."""
        origin, directions = pixel_rays(camera)
        seen = self.look(origin, directions)
        picture = random_backdrop(rng, seen.hit.shape)
        picture[seen.hit] = lamps.on(seen.albedo, seen.normals)
        where = np.full((*seen.hit.shape, 3), np.nan, dtype=np.float32)
        where[seen.hit] = origin + directions[seen.hit] * seen.distance[:, None]
        rgb = (picture * 255 + 0.5).astype(np.uint8)
        return EvalPhoto(rgb, seen.hit.astype(np.float32), where, camera, lamps)

    def frame(self, photo: EvalPhoto, crop: SquareCrop) -> Float[np.ndarray, "4 4"]:
        """Metres to the frame (box units) of a crop of a photograph: the same rule as for training data."""
        return sample_frame(self.scene, photo.camera, crop, photo.where[photo.alpha > 0.5][::7])

    def picture(self, to_frame: Float[np.ndarray, "4 4"], lamps: Lamps, camera: Cameras) -> Picture:
        """The scan as a camera of the frame sees it, lit as in the photograph."""
        origin, directions = pixel_rays(camera)
        back = np.linalg.inv(to_frame)
        seen = self.look(
            (origin @ back[:3, :3].T + back[:3, 3]).astype(np.float32),
            (directions @ back[:3, :3].T).astype(np.float32),
        )
        rgb = np.full((*seen.hit.shape, 3), BACKGROUND, np.float32)
        rgb[seen.hit] = lamps.on(seen.albedo, seen.normals)
        return Picture(rgb, seen.hit)


@dataclass(frozen=True)
class Viewpoint:
    """Where a photograph is taken from.

    Attributes:
        yaw_deg: 0 = from the scan's +Z side, which a person of our own faces; counter-clockwise seen from above.
        pitch_deg: from above if positive.
        fov_deg: field of view of the square photo.
        shift: how far right of the photo's middle the person stands, in photo widths.
        share: of the photo that the person's longest side takes.
    """

    yaw_deg: float
    pitch_deg: float = 0.0
    fov_deg: float = CANONICAL_FOV_DEG
    shift: float = 0.0
    share: float = SUBJECT_SPAN / VIEW_SPAN


def camera_at(stage: EvalRenderer, view: Viewpoint) -> Cameras:
    """A level camera at the distance from which the person's longest side takes ``share`` of the photo."""
    yaw, pitch = np.radians(view.yaw_deg), np.radians(view.pitch_deg)
    toward = np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
    right = np.array([np.cos(yaw), 0, -np.sin(yaw)])
    relative = stage.scan.vertices - stage.center
    extent = max(np.ptp(relative @ right), np.ptp(relative[:, 1]))
    focal = 1 / np.tan(np.radians(view.fov_deg) / 2)
    distance = focal * extent / (2 * view.share)
    target = stage.center - right * (view.shift * extent / view.share)
    focal_px = focal * PHOTO_PX / 2
    K = torch.tensor([[focal_px, 0, PHOTO_PX / 2], [0, focal_px, PHOTO_PX / 2], [0, 0, 1.0]], dtype=torch.float64)
    w2c = look_at(torch.from_numpy(target + toward * distance), torch.from_numpy(target))
    return Cameras(K, w2c, (PHOTO_PX, PHOTO_PX))
