"""Contact sheets of synthetic people: each whole, from a random side, with the seed below."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw

from humanlrm.camera import Cameras, look_at
from humanlrm.data.contact_sheet import grid
from humanlrm.data.render.light import Light, shade_albedo
from humanlrm.data.render.renderer import SceneRenderer
from humanlrm.data.scan import Scan
from humanlrm.mesh.raycast import pixel_rays
from humanlrm.people.generate import PersonSampler
from humanlrm.people.job import PeopleSelection
from humanlrm.workers import map_tasks

#: Width over height of a tile, and rays per pixel side.
_ASPECT, _SUPERSAMPLE = 0.72, 2
#: Metres of the world that a tile's height shows: sizes are comparable, a jump or a reach fits.
_TALL_M = 2.3
_BACKGROUND = (0.93, 0.93, 0.92)


@dataclass(frozen=True)
class Sheet:
    """A contact sheet of people.

    Attributes:
        tile_px: height of a person's tile.
        columns: tiles side by side.
    """

    people: PeopleSelection
    tile_px: int = 190
    columns: int = 17


class TilePainter:
    """Paints the tile of a seed."""

    def __init__(self, plan: Sheet) -> None:
        torch.set_num_threads(1)
        self.plan, self.sampler = plan, PersonSampler(plan.people.assets, plan.people.kind)

    def __call__(self, seed: int) -> UInt8[np.ndarray, "h w 3"]:
        """The person of a seed from a random side, with the seed below."""
        yaw_deg = float(np.random.default_rng([seed, 3]).uniform(-180, 180))
        image = Image.fromarray(_picture(self.sampler(seed), yaw_deg, self.plan.tile_px))
        ImageDraw.Draw(image).text((3, image.height - 12), str(seed), fill=(90, 90, 90))
        return np.asarray(image)


def sheet(plan: Sheet, workers: int = 1) -> UInt8[np.ndarray, "H W 3"]:
    """The picture of a plan, people in the order of their seeds."""
    tiles = dict(map_tasks(TilePainter, (plan,), plan.people.seeds, workers))
    return grid([tiles[seed] for seed in plan.people.seeds], plan.columns)


def _picture(scan: Scan, yaw_deg: float, height_px: int) -> UInt8[np.ndarray, "h w 3"]:
    """One person on a plain ground, the camera ``yaw_deg`` to the person's left, slightly above; soft light from
    above the camera. The picture is ``_TALL_M`` metres high, more if the person is; the floor is near its border."""
    renderer = SceneRenderer(scan)
    tall_m = max(_TALL_M, 1.1 * float(np.ptp(scan.vertices[:, 1])))
    camera = _camera(renderer.center, yaw_deg, height_px * _SUPERSAMPLE, tall_m)
    origin, directions = pixel_rays(camera)
    seen = renderer.trace(origin, directions)
    rows, columns = seen.distance.shape
    whole = np.empty((rows, columns, 3), np.float32)
    whole[:] = _BACKGROUND
    irradiance = _light(yaw_deg).shade(seen.normals, open_share=seen.open_share)
    whole[np.isfinite(seen.distance)] = shade_albedo(seen.albedo, irradiance)
    s, h, w = _SUPERSAMPLE, rows // _SUPERSAMPLE, columns // _SUPERSAMPLE
    return (whole.reshape(h, s, w, s, 3).mean(axis=(1, 3)) * 255 + 0.5).astype(np.uint8)


def _camera(center: Float[np.ndarray, "3"], yaw_deg: float, height_px: int, tall_m: float) -> Cameras:
    yaw, distance_m = np.deg2rad(yaw_deg), 6.0
    target = np.array([center[0], tall_m * 0.47, center[2]])
    eye = target + distance_m * np.array([np.sin(yaw), 0.12, np.cos(yaw)])
    width_px = int(height_px * _ASPECT) // _SUPERSAMPLE * _SUPERSAMPLE
    focal_px = height_px * distance_m / tall_m
    K = torch.tensor([[focal_px, 0, width_px / 2], [0, focal_px, height_px / 2], [0, 0, 1.0]], dtype=torch.float64)
    return Cameras(K, look_at(torch.from_numpy(eye), torch.from_numpy(target)), (height_px, width_px))


def _light(yaw_deg: float) -> Light:
    """A key light to the left above the camera, a weak one from the right."""
    yaw = np.deg2rad(yaw_deg)
    right, ahead = np.array([np.cos(yaw), 0, -np.sin(yaw)]), np.array([np.sin(yaw), 0, np.cos(yaw)])
    up = np.array([0.0, 1.0, 0.0])
    lamps = np.stack([ahead - 0.7 * right + 0.9 * up, ahead + 1.2 * right + 0.2 * up])
    lamps /= np.linalg.norm(lamps, axis=1, keepdims=True)
    return Light(np.full(3, 0.35, np.float32), lamps.astype(np.float32), np.array([[0.6] * 3, [0.12] * 3], np.float32))
