"""Where synthetic photographs are taken from (all distributions are our choice)."""

import numpy as np
import torch
from jaxtyping import Float

from humanlrm.camera import Cameras, look_at
from humanlrm.data.scan import Scan
from humanlrm.frame import VIEW_SPAN, SquareCrop

PHOTO_PX = 384
#: Field of view of phones and cameras across the photograph.
FOV_DEG = (15.0, 60.0)
#: Range of the camera's pitch, positive from above; most photographs are level but for some degrees (mean, deviation).
#: A picture hardly tells a camera above from a person who leans, so people are estimated to lean by this prior's
#: middle: it is 0, and people who stand stand upright.
PITCH_DEG, MILD_PITCH_DEG, MILD_SHARE = (-20.0, 30.0), (0.0, 5.0), 0.85
#: Nobody is photographed from nearer than this share of the own longest side.
_NEAREST = 0.8


def random_pitch_rad(rng: np.random.Generator) -> float:
    """How far the camera stands above the person's middle."""
    mild = rng.normal(*MILD_PITCH_DEG) if rng.random() < MILD_SHARE else rng.uniform(*PITCH_DEG)
    return float(np.deg2rad(np.clip(mild, *PITCH_DEG)))


def photo_camera(
    scan: Scan, yaw_rad: float, cropped: bool, rng: np.random.Generator, fov_deg: tuple[float, float] = FOV_DEG
) -> Cameras:
    """A hand-held camera, the person a little off the picture's centre and often far off the optical axis.

    A cropped photograph shows the upper part of the person (a half body) or cuts a side off; others show all of it.
    """
    middle = (scan.vertices.min(0) + scan.vertices.max(0)) / 2
    pitch = random_pitch_rad(rng)
    toward = np.array([np.sin(yaw_rad) * np.cos(pitch), np.sin(pitch), np.cos(yaw_rad) * np.cos(pitch)])
    right, up = np.array([np.cos(yaw_rad), 0, -np.sin(yaw_rad)]), np.array([0.0, 1.0, 0.0])
    relative = scan.vertices - middle
    wide, tall = np.ptp(relative @ right), np.ptp(relative @ up)
    extent = max(wide, tall)
    share = rng.uniform(0.62, 0.94)
    target = middle + right * rng.normal(0, 0.04) * extent + up * rng.normal(0, 0.03) * extent
    if cropped:
        shown = rng.uniform(0.25, 0.88)
        share = 0.9 / shown
        side = rng.choice([0, 0, 0, 0.6, -0.6])
        target = middle + up * (1 - shown) * 0.5 * tall * (side == 0) + right * (1 - shown) * 0.5 * wide * side
    fov = np.exp(rng.uniform(*np.log(fov_deg)))
    distance = max(extent / (2 * share * np.tan(np.deg2rad(fov) / 2)), _NEAREST * extent)
    focal_px = share * PHOTO_PX * distance / extent
    # The photograph is a window of a wider one: the axis may pass the person by.
    beside = rng.normal(0, 0.12, size=2) * extent * min(1.0, share)
    eye = target + toward * distance
    tilt = rng.normal(0, 0.03)
    aim = torch.from_numpy(target + right * beside[0] + up * beside[1])
    w2c = look_at(torch.from_numpy(eye), aim, tuple(up + right * np.sin(tilt)))
    seen = w2c.numpy()[:3, :3] @ target + w2c.numpy()[:3, 3]
    center = PHOTO_PX / 2 - focal_px * seen[:2] / seen[2]
    if not cropped:
        focal_px, center = _fitted(scan, w2c.numpy(), focal_px, center)
    K = torch.tensor([[focal_px, 0, center[0]], [0, focal_px, center[1]], [0, 0, 1.0]], dtype=torch.float64)
    return Cameras(K, w2c, (PHOTO_PX, PHOTO_PX))


def _fitted(
    scan: Scan, w2c: Float[np.ndarray, "4 4"], focal_px: float, center: Float[np.ndarray, "2"]
) -> tuple[float, Float[np.ndarray, "2"]]:
    """Focal length and principal point of a photograph that shows everybody whole: zoomed out until it does."""
    points = scan.vertices @ w2c[:3, :3].T + w2c[:3, 3]
    pixels = points[:, :2] / points[:, 2:] * focal_px + center
    beyond = np.abs(pixels - PHOTO_PX / 2).max() / (PHOTO_PX / 2)
    factor = min(1.0, 0.97 / beyond)
    return focal_px * factor, PHOTO_PX / 2 + (center - PHOTO_PX / 2) * factor


def crop_camera(camera: Cameras, crop: SquareCrop, size_px: int) -> Cameras:
    """The camera of a photograph's square crop, which may reach beyond the photograph."""
    scale = size_px / crop.side_px
    K = camera.K.clone()
    K[:2] *= scale
    K[:2, 2] -= scale * (torch.tensor(crop.center_px, dtype=K.dtype) - crop.side_px / 2)
    return Cameras(K, camera.w2c, (size_px, size_px))


def frame_axes(camera: Cameras, crop: SquareCrop) -> Float[np.ndarray, "3 3"]:
    """Right, up and backward (rows, subject coordinates) of a sample's frame: it looks along the crop's middle ray."""
    rotation = camera.c2w.numpy()[:3, :3]
    ray = np.array([*(np.array(crop.center_px) - camera.K[:2, 2].numpy()) / float(camera.K[0, 0]), 1.0])
    forward = rotation @ (ray / np.linalg.norm(ray))
    up = -rotation[:, 1] - forward * (-rotation[:, 1] @ forward)
    up /= np.linalg.norm(up)
    return np.stack([np.cross(forward, up), up, -forward])


def unit_m(camera: Cameras, crop: SquareCrop, depth_m: float) -> float:
    """Length of a box unit of a crop's frame whose origin is ``depth_m`` along the crop's middle ray."""
    ray = (np.array(crop.center_px) - camera.K[:2, 2].numpy()) / float(camera.K[0, 0])
    return crop.side_px * depth_m / (float(camera.K[0, 0]) * np.hypot(1, np.linalg.norm(ray))) / VIEW_SPAN


def crop_frame(camera: Cameras, crop: SquareCrop, depth_m: float) -> Float[np.ndarray, "4 4"]:
    """Subject coordinates to a crop's frame (box units); its origin is ``depth_m`` along the crop's middle ray."""
    axes, eye = frame_axes(camera, crop), camera.c2w.numpy()[:3, 3]
    out = np.eye(4)
    out[:3, :3] = axes / unit_m(camera, crop, depth_m)
    out[:3, 3] = -out[:3, :3] @ (eye - depth_m * axes[2])
    return out
