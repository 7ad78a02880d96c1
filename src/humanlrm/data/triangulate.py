"""Body landmarks of people whose true ones nobody wrote down: detected in many views and triangulated."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8

from humanlrm.body.landmarks import COUNT, INDEX
from humanlrm.camera import Cameras, look_at
from humanlrm.data.detector_offsets import to_ours
from humanlrm.data.render.camera_sampling import PHOTO_PX
from humanlrm.data.render.light import Light
from humanlrm.data.render.renderer import SceneRenderer
from humanlrm.data.scan import Scan
from humanlrm.frame import CAMERA_DISTANCE, SUBJECT_SPAN
from humanlrm.mesh.raycast import pixel_rays
from humanlrm.photo.blazepose import PoseDetector
from humanlrm.photo.calibrated import Capture

#: A view agrees with a point if its ray passes within this share of the person's size (our choice).
_TOLERANCE = 0.035
#: A landmark needs this many views that agree, and this share of the views that claim to see it (our choice).
_MIN_VIEWS, _MIN_SHARE = 3, 0.4
#: Detections below this visibility are not used.
_MIN_VISIBILITY = 0.3
#: Two rays fix a point if they are at least this far apart.
_MIN_ANGLE_RAD = np.deg2rad(8)
_MOST_PAIRS, _REFINEMENTS = 2016, 4
_STUDIO_LIGHT = Light(
    np.full(3, 0.6, np.float32),
    np.array([[0.3, 0.8, 0.52], [-0.3, 0.8, -0.52]], np.float32),
    np.full((2, 3), 0.25, np.float32),
)


@dataclass(frozen=True)
class ViewDetections:
    """What V views say of J landmarks: rays in world coordinates.

    Attributes:
        origins: where the cameras stand.
        directions: unit vectors toward the landmarks.
        weights: visibility; 0 where a view does not see the landmark.
        tolerance_rad: per view, how far off a ray may be: a share of the person's apparent size.
    """

    origins: Float[np.ndarray, "V 3"]
    directions: Float[np.ndarray, "V J 3"]
    weights: Float[np.ndarray, "V J"]
    tolerance_rad: Float[np.ndarray, "V"]


def detect_views(
    detector: PoseDetector, pictures: Sequence[UInt8[np.ndarray, "_ _ 3"]], cameras: Sequence[Cameras]
) -> ViewDetections:
    """Runs the detector on every picture; one that shows nobody to it has zero weights."""
    origins, directions, weights, tolerances = [], [], [], []
    for picture, camera in zip(pictures, cameras, strict=True):
        pose = detector.best(picture)
        marks = np.zeros((COUNT, 4)) if pose is None else pose.landmarks
        c2w = camera.c2w.double().numpy()
        rays = np.column_stack([marks[:, :2], np.ones(COUNT)]) @ np.linalg.inv(camera.K.double().numpy()).T
        rays = rays @ c2w[:3, :3].T
        origins.append(c2w[:3, 3])
        directions.append(rays / np.linalg.norm(rays, axis=1, keepdims=True))
        weights.append(np.where(marks[:, 3] > _MIN_VISIBILITY, marks[:, 3], 0))
        tolerances.append(_TOLERANCE * np.ptp(marks[:, :2], axis=0).max() / float(camera.K[1, 1]))
    return ViewDetections(np.stack(origins), np.stack(directions), np.stack(weights), np.array(tolerances))


def triangulate(seen: ViewDetections) -> Float[np.ndarray, "J 3"]:
    """The point that most views agree on, per landmark; NaN where too few do.

    Pairs of rays propose the point nearest to both; the proposal that gathers the largest visibility within
    ``tolerance_rad`` wins (RANSAC, exhaustive up to 64 views). Least squares over the agreeing views refines it,
    weighted by visibility, inverse distance and the Geman-McClure weight of the last error (thresholds: our choice).
    Back views with left and right exchanged are outvoted.
    """
    return np.stack([_landmark(seen, joint) for joint in range(seen.weights.shape[1])])


def _landmark(seen: ViewDetections, joint: int) -> Float[np.ndarray, "3"]:
    views = np.flatnonzero(seen.weights[:, joint] > 0)
    unknown = np.full(3, np.nan)
    if len(views) < _MIN_VIEWS:
        return unknown
    origins, directions = seen.origins[views], seen.directions[views, joint]
    weights, tolerance = seen.weights[views, joint], seen.tolerance_rad[views]
    pairs = np.stack(np.triu_indices(len(views), 1), axis=1)
    sine = np.linalg.norm(np.cross(directions[pairs[:, 0]], directions[pairs[:, 1]]), axis=1)
    pairs = pairs[sine > np.sin(_MIN_ANGLE_RAD)]
    if len(pairs) == 0:
        return unknown
    if len(pairs) > _MOST_PAIRS:
        pairs = np.random.default_rng(0).choice(pairs, _MOST_PAIRS, replace=False)
    proposals = _nearest(origins[pairs], directions[pairs], np.ones(pairs.shape))
    off = _off(proposals[:, None], origins, directions) / tolerance
    point = proposals[((off < 1) @ weights).argmax()]
    for _ in range(_REFINEMENTS):
        off = _off(point, origins, directions) / tolerance
        inside = off < 1
        if inside.sum() < max(_MIN_VIEWS, _MIN_SHARE * len(views)):
            return unknown
        robust = 1 / (1 + (2 * off[inside]) ** 2) ** 2
        near = 1 / np.linalg.norm(origins[inside] - point, axis=1) ** 2
        point = _nearest(origins[inside], directions[inside], weights[inside] * near * robust)
    return point


def _nearest(
    origins: Float[np.ndarray, "*P N 3"], directions: Float[np.ndarray, "*P N 3"], weights: Float[np.ndarray, "*P N"]
) -> Float[np.ndarray, "*P 3"]:
    """The point with the least weighted sum of squared distances to N rays."""
    across = weights[..., None, None] * (np.eye(3) - directions[..., :, None] * directions[..., None, :])
    right = np.einsum("...nij,...nj->...i", across, origins)
    return np.linalg.solve(across.sum(-3), right[..., None])[..., 0]


def _off(
    points: Float[np.ndarray, "*#P 3"], origins: Float[np.ndarray, "N 3"], directions: Float[np.ndarray, "N 3"]
) -> Float[np.ndarray, "*P"]:
    """Angle between each ray and the direction to the point, radians."""
    toward = points - origins
    sine = np.linalg.norm(np.cross(toward, directions), axis=-1)
    return np.arctan2(sine, (toward * directions).sum(-1))


def scan_landmarks(scan: Scan, detector: PoseDetector, views: int = 16) -> Float[np.ndarray, "J 3"]:
    """Landmarks of a scan (metres, its own coordinates) from renders all around it; NaN where the views disagree.

    On held-out procedural people: median error 1.7 cm, 90% below 3.7 cm (``benchmarks/landmarks.py``).
    """
    renderer = SceneRenderer(scan)
    cameras = [_around(renderer, 2 * np.pi * k / views, 0.3 * (k % 2)) for k in range(views)]
    pictures = [_picture(renderer, camera) for camera in cameras]
    return to_ours(triangulate(detect_views(detector, pictures, cameras))).astype(np.float32)


def capture_landmarks(capture: Capture, detector: PoseDetector) -> Float[np.ndarray, "J 3"]:
    """Landmarks of a capture (its world's unit) from its own photographs; NaN where the views disagree."""
    pictures = [view.rgb for view in capture.views]
    return to_ours(triangulate(detect_views(detector, pictures, [v.camera for v in capture.views]))).astype(np.float32)


def _picture(renderer: SceneRenderer, camera: Cameras) -> UInt8[np.ndarray, "H W 3"]:
    """The person in even light before grey: the detector has an easy time."""
    own = renderer.surface(*pixel_rays(camera))
    hit = np.isfinite(own.distance)
    picture = np.full((*hit.shape, 3), 0.5, np.float32)
    picture[hit] = _STUDIO_LIGHT.on(own.albedo, own.normals)
    return (picture * 255 + 0.5).astype(np.uint8)


def _around(renderer: SceneRenderer, yaw_rad: float, pitch_rad: float) -> Cameras:
    """A camera at the canonical distance that shows the whole person in the middle 80% of the picture."""
    toward = np.array([np.sin(yaw_rad) * np.cos(pitch_rad), np.sin(pitch_rad), np.cos(yaw_rad) * np.cos(pitch_rad)])
    extent = float(np.ptp(renderer.scan.vertices, axis=0).max())
    distance = CAMERA_DISTANCE * extent / SUBJECT_SPAN
    focal_px = 0.8 * PHOTO_PX * distance / extent
    K = torch.tensor([[focal_px, 0, PHOTO_PX / 2], [0, focal_px, PHOTO_PX / 2], [0, 0, 1.0]], dtype=torch.float64)
    center = renderer.center.astype(np.float64)
    return Cameras(
        K, look_at(torch.from_numpy(center + toward * distance), torch.from_numpy(center)), (PHOTO_PX, PHOTO_PX)
    )


def facing_rad(landmarks: Float[np.ndarray, "J 3"]) -> float | None:
    """The yaw (about +Y, 0 = toward +Z) that hips and shoulders face; ``None`` if one of them is unknown."""
    across = np.zeros(3)
    for part in ("hip", "shoulder"):
        across = across + landmarks[INDEX[f"left_{part}"]] - landmarks[INDEX[f"right_{part}"]]
    if not np.isfinite(across).all():
        return None
    # The left side is at +X of a person who faces +Z.
    return float(np.arctan2(-across[2], across[0]))
