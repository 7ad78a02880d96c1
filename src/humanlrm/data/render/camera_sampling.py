"""Cameras of synthetic photographs."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from humanlrm.camera import Cameras, look_at
from humanlrm.data.scan import Scan
from humanlrm.data.settings import FOV_DEG
from humanlrm.mesh.surface import face_normals

PHOTO_PX = 384
#: Range of the camera's pitch, positive from above; most photographs are nearly level (mean, deviation). A picture
#: hardly tells a camera above from a person who leans, so estimates lean by the mean of this prior: it is 0.
PITCH_DEG, MILD_PITCH_DEG, MILD_SHARE = (-20.0, 30.0), (0.0, 5.0), 0.85
#: The camera is not nearer than this share of the person's longest side.
_NEAREST = 0.8
#: A cropped photograph cuts the person off at some height (upper part shown), at a side, or both; and how often.
_CUTS, _CUT_CHANCES = ((True, False), (False, True), (True, True)), (0.6, 0.2, 0.2)
#: Share of the height that a cut at some height shows, and of the surface that a cut at a side shows.
_UPPER, _BESIDE = (0.25, 0.88), (0.5, 0.97)
#: Another camera is drawn for a cropped photograph that shows less of the surface, some times.
_LEAST_SHOWN, _DRAWS = 0.12, 6


def sample_pitch_rad(rng: np.random.Generator) -> float:
    """Draw the camera's elevation above the person's middle."""
    mild = rng.normal(*MILD_PITCH_DEG) if rng.random() < MILD_SHARE else rng.uniform(*PITCH_DEG)
    return float(np.deg2rad(np.clip(mild, *PITCH_DEG)))


def sample_camera(
    scan: Scan, yaw_rad: float, cropped: bool, rng: np.random.Generator, fov_deg: tuple[float, float] = FOV_DEG
) -> Cameras:
    """Draw a hand-held camera, the person a little off the picture's centre and often far off the optical axis.

    A cropped photograph shows the upper part of the person (a half body), has a side cut off, or both. Others show all
    of it, and so does a cropped one that still shows too little after ``_DRAWS`` draws.
    """
    if cropped:
        pieces = _pieces(scan)
        for _ in range(_DRAWS):
            camera = _camera(scan, yaw_rad, pieces, rng, fov_deg)
            if _share_in_picture(pieces, camera) > _LEAST_SHOWN:
                return camera
    return _camera(scan, yaw_rad, None, rng, fov_deg)


class _Pieces(NamedTuple):
    """Middles and areas of a person's faces: hands have as many vertices as a back."""

    middles: Float[np.ndarray, "F 3"]
    areas: Float[np.ndarray, "F"]


def _camera(
    scan: Scan, yaw_rad: float, cut: _Pieces | None, rng: np.random.Generator, fov_deg: tuple[float, float]
) -> Cameras:
    """The camera of a photograph that cuts these pieces off, or shows all of the person."""
    middle = (scan.vertices.min(0) + scan.vertices.max(0)) / 2
    pitch = sample_pitch_rad(rng)
    toward = np.array([np.sin(yaw_rad) * np.cos(pitch), np.sin(pitch), np.cos(yaw_rad) * np.cos(pitch)])
    right, up = np.array([np.cos(yaw_rad), 0, -np.sin(yaw_rad)]), np.array([0.0, 1.0, 0.0])
    relative = scan.vertices - middle
    wide, tall = np.ptp(relative @ right), np.ptp(relative @ up)
    extent = max(wide, tall)
    share = rng.uniform(0.62, 0.94)
    target = middle + right * rng.normal(0, 0.04) * extent + up * rng.normal(0, 0.03) * extent
    if cut is not None:
        flat = (cut.middles - middle) @ np.stack([right, up], axis=1)
        share, across, high = _cut(flat, cut.areas, extent, share, rng)
        target = target + right * across + up * high
    fov = np.exp(rng.uniform(*np.log(fov_deg)))
    distance = max(extent / (2 * share * np.tan(np.deg2rad(fov) / 2)), _NEAREST * extent)
    focal_px = share * PHOTO_PX * distance / extent
    # The photograph is a window of a wider one: the axis may pass the person by.
    beside = rng.normal(0, 0.12, size=2) * extent * min(1.0, share)
    eye = target + toward * distance
    tilt = rng.normal(0, 0.03)
    aim = torch.from_numpy(target + right * beside[0] + up * beside[1])
    w2c = look_at(torch.from_numpy(eye), aim, tuple(up + right * np.sin(tilt)))
    in_camera = w2c.numpy()[:3, :3] @ target + w2c.numpy()[:3, 3]
    center = PHOTO_PX / 2 - focal_px * in_camera[:2] / in_camera[2]
    if cut is None:
        focal_px, center = _zoom_out(scan, w2c.numpy(), focal_px, center)
    K = torch.tensor([[focal_px, 0, center[0]], [0, focal_px, center[1]], [0, 0, 1.0]], dtype=torch.float64)
    return Cameras(K, w2c, (PHOTO_PX, PHOTO_PX))


def _cut(
    places: Float[np.ndarray, "F 2"],
    areas: Float[np.ndarray, "F"],
    extent: float,
    share: float,
    rng: np.random.Generator,
) -> tuple[float, float, float]:
    """Draw the part of the person that a cropped photograph shows.

    Args:
        places: pieces of surface, to the right of and above the person's middle.

    Returns:
        Share of the picture that ``extent`` would fill; the picture's middle to the right and up.
    """
    upper, aside = _CUTS[rng.choice(len(_CUTS), p=_CUT_CHANCES)]
    at_height = 0.0
    if upper:
        shown, (low, high) = rng.uniform(*_UPPER), (places[:, 1].min(), places[:, 1].max())
        share, at_height = 0.9 / shown, (1 - shown) * 0.5 * (high - low)
        # A head is not above the middle of a person who leans or lunges.
        kept = places[:, 1] >= high - shown * (high - low)
        places, areas = places[kept], areas[kept]
    if not aside:
        return share, _quantile(places[:, 0], areas, 0.5), at_height
    side = rng.choice([-1.0, 1.0])
    border = _quantile(places[:, 0] * side, areas, rng.uniform(*_BESIDE))
    return share, side * (border - extent / (2 * share)), at_height


def _quantile(values: Float[np.ndarray, "F"], weights: Float[np.ndarray, "F"], share: float) -> float:
    return float(np.quantile(values, share, weights=weights, method="inverted_cdf"))


def _pieces(scan: Scan) -> _Pieces:
    return _Pieces(scan.vertices[scan.faces].mean(1), np.linalg.norm(face_normals(scan.surface), axis=1))


def _share_in_picture(pieces: _Pieces, camera: Cameras) -> float:
    """Share of the person's surface that lies within the picture, visible or not."""
    pixels = camera.project(torch.from_numpy(pieces.middles).double()).numpy()[:, :2]
    within = ((pixels >= 0) & (pixels <= PHOTO_PX)).all(-1)
    return float(pieces.areas[within].sum() / pieces.areas.sum())


def _zoom_out(
    scan: Scan, w2c: Float[np.ndarray, "4 4"], focal_px: float, center: Float[np.ndarray, "2"]
) -> tuple[float, Float[np.ndarray, "2"]]:
    """Focal length and principal point, zoomed out until the photograph shows the whole person."""
    points = scan.vertices @ w2c[:3, :3].T + w2c[:3, 3]
    pixels = points[:, :2] / points[:, 2:] * focal_px + center
    beyond = np.abs(pixels - PHOTO_PX / 2).max() / (PHOTO_PX / 2)
    factor = min(1.0, 0.97 / beyond)
    return focal_px * factor, PHOTO_PX / 2 + (center - PHOTO_PX / 2) * factor
