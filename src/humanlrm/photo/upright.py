"""Photos that lie on their side or stand on their head, though no EXIF says so."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from humanlrm.body.landmarks import INDEX
from humanlrm.photo.blazepose import DetectedPose, PoseDetector
from humanlrm.photo.load import Photo, Remark

if TYPE_CHECKING:
    from humanlrm.settings import Selection

#: Angle of the trunk to the vertical from which on a photo may be turned.
_TILTED_DEG = 50.0
#: Largest angle between trunk and legs of somebody who stands.
_STRAIGHT_DEG = 35.0
#: Lean from which on nobody stands, and the largest bends of trunk and knees of somebody who stands straight.
_LEAST_ROLL_DEG, _MOST_BEND_DEG, _MOST_KNEE_DEG = 12.0, 10.0, 50.0
#: Difference of the backdrop's mean colors (levels) at two opposite sides that a floor makes.
_FLOOR_LEVELS = 12.0


@dataclass(frozen=True)
class UprightPhoto:
    """A photo in which people stand.

    Attributes:
        poses: the detector's survey of it; ``None``: there was no need of one.
    """

    photo: Photo
    poses: Sequence[DetectedPose] | None = None


def turn_upright(photo: Photo, detector: PoseDetector, selection: "Selection") -> UprightPhoto:
    """The photo, turned as asked, or as the person in it shows; with a remark if it was turned unasked.

    Somebody who stands lies on the side in a photo that was turned. People who truly lie have their floor below them:
    the backdrop differs between top and bottom, not between the sides of head and feet.
    """
    if selection.rotate is not None:
        return UprightPhoto(_turned(photo, selection.rotate))
    if photo.alpha is not None:
        return UprightPhoto(photo)
    poses = detector.survey(photo.seen)
    degrees = 0 if not poses else _needed_turn(photo.seen, poses[0])
    if degrees == 0:
        level = _levelled(photo, poses[0]) if poses else photo
        return UprightPhoto(level, poses if level is photo else None)
    turned = _turned(photo, degrees)
    upright = detector.survey(turned.seen)
    if not upright or abs(trunk_deg(upright[0])) > _TILTED_DEG or upright[0].score < 0.9 * poses[0].score:
        return UprightPhoto(photo, poses)
    sentence = f"The photo was turned by {degrees} degrees, so that the person stands; --rotate 0 leaves it."
    return UprightPhoto(replace(turned, remarks=(*turned.remarks, Remark("turned", sentence))), upright)


def _levelled(photo: Photo, pose: DetectedPose) -> Photo:
    """The photo turned by the camera's roll, if somebody who stands straight leans more than anybody can.

    Left as it is if the photo's border cuts the person: beyond it a turned photo would show a slanted border.
    """
    joints = [[INDEX[f"{side}_{joint}"] for side in ("left", "right")] for joint in ("hip", "knee", "ankle")]
    legs = pose.landmarks[joints, :2]
    line = np.stack([pose.landmarks[INDEX["neck"], :2], *legs.mean(1)])
    across, up = (line[0] - line[-1]) * [1, -1]
    lean_deg = float(np.rad2deg(np.arctan2(across, up)))
    straight = _bend_deg(line[[0, 1, 3]]) < _MOST_BEND_DEG and all(
        _bend_deg(legs[:, side]) < _MOST_KNEE_DEG for side in (0, 1)
    )
    own = pose.mask > 0.5
    cut = own[0].any() or own[-1].any() or own[:, 0].any() or own[:, -1].any()
    if cut or not straight or not _LEAST_ROLL_DEG < abs(lean_deg) < _TILTED_DEG:
        return photo
    fill = tuple(int(value) for value in photo.rgb.reshape(-1, 3).mean(0))
    image = Image.fromarray(photo.rgb).rotate(lean_deg, Image.Resampling.BICUBIC, expand=True, fillcolor=fill)
    sentence = f"The camera was held at a slant; the photo was turned by {-lean_deg:.0f} degrees. --rotate 0 leaves it."
    return replace(photo, rgb=np.asarray(image), remarks=(*photo.remarks, Remark("turned", sentence)))


def _bend_deg(points: Float[np.ndarray, "3 2"]) -> float:
    """Angle by which a line of three points bends at the middle one."""
    first, second = np.diff(points, axis=0)
    cosine = float(first @ second) / max(float(np.linalg.norm(first) * np.linalg.norm(second)), 1e-6)
    return float(np.rad2deg(np.arccos(np.clip(cosine, -1, 1))))


def trunk_deg(pose: DetectedPose) -> float:
    """Angle of the trunk to the photo's up, clockwise, in (-180, 180]."""
    across, up = _trunk(pose) * [1, -1]
    return float(np.rad2deg(np.arctan2(across, up)))


def _needed_turn(rgb: UInt8[np.ndarray, "H W 3"], pose: DetectedPose) -> int:
    """Degrees (clockwise) by which the photo must be turned: 0, 90, 180 or 270."""
    angle = trunk_deg(pose)
    if abs(angle) < _TILTED_DEG or not _stands(pose):
        return 0
    degrees = round(-angle / 90) % 4 * 90
    if degrees == 180:
        wrists = pose.landmarks[[INDEX["left_wrist"], INDEX["right_wrist"]], 1].mean()
        return 0 if wrists > pose.landmarks[INDEX["head"], 1] else 180  # on the hands
    along, across = _backdrop_difference(rgb, pose, axis=1), _backdrop_difference(rgb, pose, axis=0)
    return 0 if across > max(along, _FLOOR_LEVELS) else degrees


def _stands(pose: DetectedPose) -> bool:
    """True if the legs go on where the trunk ends."""
    hips = pose.landmarks[[INDEX["left_hip"], INDEX["right_hip"]], :2].mean(0)
    ankles = pose.landmarks[[INDEX["left_ankle"], INDEX["right_ankle"]], :2].mean(0)
    legs, trunk = hips - ankles, _trunk(pose)
    cosine = float(legs @ trunk) / max(float(np.linalg.norm(legs) * np.linalg.norm(trunk)), 1e-6)
    return bool(cosine > np.cos(np.deg2rad(_STRAIGHT_DEG)))


def _trunk(pose: DetectedPose) -> Float[np.ndarray, "2"]:
    """From the hips to the neck, in photo pixels."""
    hips = pose.landmarks[[INDEX["left_hip"], INDEX["right_hip"]], :2].mean(0)
    return pose.landmarks[INDEX["neck"], :2] - hips


def _backdrop_difference(rgb: UInt8[np.ndarray, "H W 3"], pose: DetectedPose, axis: int) -> float:
    """Distance of the backdrop's mean colors in the first and the last third of the photo along an axis."""
    backdrop, third = pose.mask < 0.1, rgb.shape[axis] // 3
    means = []
    for part in (slice(0, third), slice(-third, None)):
        at = (part, slice(None)) if axis == 0 else (slice(None), part)
        if not backdrop[at].any():
            return 0.0
        means.append(rgb[at][backdrop[at]].astype(np.float64).mean(0))
    return float(np.linalg.norm(means[0] - means[1]))


def _turned(photo: Photo, degrees: int) -> Photo:
    """Turned clockwise."""
    turns = -degrees // 90 % 4
    alpha = None if photo.alpha is None else np.ascontiguousarray(np.rot90(photo.alpha, turns))
    return replace(photo, rgb=np.ascontiguousarray(np.rot90(photo.rgb, turns)), alpha=alpha)
