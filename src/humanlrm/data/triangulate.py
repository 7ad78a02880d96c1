"""Body landmarks of people without annotations: detected in many views and triangulated."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8

from humanlrm.body.landmarks import COUNT
from humanlrm.camera import Cameras, look_at
from humanlrm.data.capture import Capture
from humanlrm.data.detector_offsets import correct_offsets
from humanlrm.data.render.camera_sampling import PHOTO_PX
from humanlrm.data.render.light import Light
from humanlrm.data.render.renderer import SceneRenderer
from humanlrm.data.scan import Scan
from humanlrm.frame import CAMERA_DISTANCE, SUBJECT_SPAN
from humanlrm.mesh.raycast import pixel_rays
from humanlrm.photo.blazepose import PoseDetector

#: A view agrees with a point if its ray passes within this share of the person's size.
_TOLERANCE = 0.035
#: A landmark needs this many views that agree, and this share of the views that detect it.
_MIN_VIEWS, _MIN_SHARE = 3, 0.4
#: Detections below this visibility are not used.
_MIN_VISIBILITY = 0.3
#: Two rays fix a point if they are at least this far apart.
_MIN_ANGLE_RAD = np.deg2rad(8)
_MOST_PAIRS, _REFINEMENTS = 2016, 4
_EVEN_LIGHT = Light(
    np.full(3, 0.6, np.float32),
    np.array([[0.3, 0.8, 0.52], [-0.3, 0.8, -0.52]], np.float32),
    np.full((2, 3), 0.25, np.float32),
)


@dataclass(frozen=True)
class ViewDetections:
    """Detections of J landmarks in V views, as rays in world coordinates.

    Attributes:
        origins: positions of the cameras.
        directions: unit vectors toward the landmarks.
        weights: visibility; 0 where a view does not see the landmark.
        tolerance_rad: error of a ray that still agrees, per view: a share of the person's apparent size.
    """

    origins: Float[np.ndarray, "V 3"]
    directions: Float[np.ndarray, "V J 3"]
    weights: Float[np.ndarray, "V J"]
    tolerance_rad: Float[np.ndarray, "V"]


def detect_views(
    detector: PoseDetector, pictures: Sequence[UInt8[np.ndarray, "_ _ 3"]], cameras: Sequence[Cameras]
) -> ViewDetections:
    """Run the detector on every picture; one without a detected person has zero weights."""
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


def triangulate(detections: ViewDetections) -> Float[np.ndarray, "J 3"]:
    """Triangulate each landmark at the point that most views agree on; NaN where too few do.

    Pairs of rays propose the point nearest to both; the proposal that gathers the largest visibility within
    ``tolerance_rad`` wins (RANSAC, exhaustive up to 64 views). Least squares over the agreeing views refines it,
    weighted by visibility, inverse distance and the Geman-McClure weight of the last error. Back views with left and
    right exchanged are outvoted.
    """
    return np.stack([_triangulate_landmark(detections, joint) for joint in range(detections.weights.shape[1])])


def _triangulate_landmark(detections: ViewDetections, joint: int) -> Float[np.ndarray, "3"]:
    views = np.flatnonzero(detections.weights[:, joint] > 0)
    unknown = np.full(3, np.nan)
    if len(views) < _MIN_VIEWS:
        return unknown
    origins, directions = detections.origins[views], detections.directions[views, joint]
    weights, tolerance = detections.weights[views, joint], detections.tolerance_rad[views]
    pairs = np.stack(np.triu_indices(len(views), 1), axis=1)
    sine = np.linalg.norm(np.cross(directions[pairs[:, 0]], directions[pairs[:, 1]]), axis=1)
    pairs = pairs[sine > np.sin(_MIN_ANGLE_RAD)]
    if len(pairs) == 0:
        return unknown
    if len(pairs) > _MOST_PAIRS:
        pairs = np.random.default_rng(0).choice(pairs, _MOST_PAIRS, replace=False)
    proposals = _intersect(origins[pairs], directions[pairs], np.ones(pairs.shape))
    angles = _angle_rad(proposals[:, None], origins, directions) / tolerance
    point = proposals[((angles < 1) @ weights).argmax()]
    for _ in range(_REFINEMENTS):
        angles = _angle_rad(point, origins, directions) / tolerance
        inside = angles < 1
        if inside.sum() < max(_MIN_VIEWS, _MIN_SHARE * len(views)):
            return unknown
        robust = 1 / (1 + (2 * angles[inside]) ** 2) ** 2
        near = 1 / np.linalg.norm(origins[inside] - point, axis=1) ** 2
        point = _intersect(origins[inside], directions[inside], weights[inside] * near * robust)
    return point


def _intersect(
    origins: Float[np.ndarray, "*P N 3"], directions: Float[np.ndarray, "*P N 3"], weights: Float[np.ndarray, "*P N"]
) -> Float[np.ndarray, "*P 3"]:
    """The point with the least weighted sum of squared distances to N rays."""
    across = weights[..., None, None] * (np.eye(3) - directions[..., :, None] * directions[..., None, :])
    right = np.einsum("...nij,...nj->...i", across, origins)
    return np.linalg.solve(across.sum(-3), right[..., None])[..., 0]


def _angle_rad(
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
    cameras = [ring_camera(renderer, 2 * np.pi * k / views, 0.3 * (k % 2)) for k in range(views)]
    return _find_landmarks(detector, [render_plain(renderer, camera) for camera in cameras], cameras)


def capture_landmarks(capture: Capture, detector: PoseDetector) -> Float[np.ndarray, "J 3"]:
    """Landmarks of a capture (its world's unit) from its own photographs; NaN where the views disagree."""
    return _find_landmarks(detector, [view.rgb for view in capture.views], [view.camera for view in capture.views])


def _find_landmarks(
    detector: PoseDetector, pictures: Sequence[UInt8[np.ndarray, "_ _ 3"]], cameras: Sequence[Cameras]
) -> Float[np.ndarray, "J 3"]:
    return correct_offsets(triangulate(detect_views(detector, pictures, cameras))).astype(np.float32)


def render_plain(renderer: SceneRenderer, camera: Cameras) -> UInt8[np.ndarray, "H W 3"]:
    """The person in even light before grey, which is easy for the detector."""
    surface = renderer.trace(*pixel_rays(camera))
    hit = np.isfinite(surface.distance)
    picture = np.full((*hit.shape, 3), 0.5, np.float32)
    picture[hit] = _EVEN_LIGHT.render(surface.albedo, surface.normals)
    return (picture * 255 + 0.5).astype(np.uint8)


def ring_camera(renderer: SceneRenderer, yaw_rad: float, pitch_rad: float) -> Cameras:
    """A camera at the canonical distance that shows the whole person in the middle 80% of the picture."""
    toward = np.array([np.sin(yaw_rad) * np.cos(pitch_rad), np.sin(pitch_rad), np.cos(yaw_rad) * np.cos(pitch_rad)])
    extent = float(np.ptp(renderer.scan.vertices, axis=0).max())
    distance = CAMERA_DISTANCE * extent / SUBJECT_SPAN
    focal_px = 0.8 * PHOTO_PX * distance / extent
    K = torch.tensor([[focal_px, 0, PHOTO_PX / 2], [0, focal_px, PHOTO_PX / 2], [0, 0, 1.0]], dtype=torch.float64)
    center = renderer.center.astype(np.float64)
    w2c = look_at(torch.from_numpy(center + toward * distance), torch.from_numpy(center))
    return Cameras(K, w2c, (PHOTO_PX, PHOTO_PX))
