"""Find people in a photo: body points and a person mask, by BlazePose (tflite files in ``detector/``, run by OpenVINO).

Source: Bazarevsky et al., "BlazePose: On-device Real-time Body Pose tracking" (arXiv 2006.10204), and the public
MediaPipe graphs ``pose_detection`` and ``pose_landmark`` for anchors, regions of interest and activations.

Two nets: the *detector* sees the whole picture at 224 px and answers with boxes and alignment points; the *landmark*
net sees an upright square around one person at 256 px and answers with 39 points, 39 metric points and a mask.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import openvino as ov
from jaxtyping import Float, Float32, UInt8
from PIL import Image
from scipy import ndimage

from humanlrm.frame import CAMERA_DISTANCE, FOCAL, VIEW_SPAN, SquareCrop
from humanlrm.landmarks import COUNT, INDEX

_FOLDER = Path(__file__).parent / "detector"
_SHA256 = {
    "pose_detection.tflite": "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
    "pose_landmark_heavy.tflite": "59e42d71bcd44cbdbabc419f0ff76686595fd265419566bd4009ef703ea8e1fe",
}
_DETECTOR_PX, _LANDMARK_PX = 224, 256
_MIN_SCORE, _MIN_PRESENCE, _MAX_OVERLAP = 0.5, 0.5, 0.3
_ROI_MARGIN = 1.25
#: Side of the square tiles that are searched when the whole picture shows nobody, as a share of the longer side.
_TILE_SHARES = (0.6, 0.35)
#: BlazePose's index of each of our landmarks (its "left" is the person's left, as ours); neck and head are mixtures.
_BLAZE_SIDE = {"shoulder": 11, "elbow": 13, "wrist": 15, "hand": 19, "hip": 23, "knee": 25, "ankle": 27, "toe": 31}
_EARS, _SHOULDERS, _NOSE, _ROI_POINTS = [7, 8], [11, 12], 0, [33, 34]


@dataclass(frozen=True)
class Pose:
    """One person as the detector sees it.

    Attributes:
        landmarks: per landmark of ``landmarks.LANDMARKS``: x and y in photo pixels (may lie outside the photo), z in
            photo pixels TOWARD the camera relative to the middle of the hips, visibility in [0, 1].
        mask: how much each photo pixel belongs to the person, in [0, 1]; soft, true resolution about 256 px.
        score: the landmark net's certainty that its square holds a person, in [0, 1].
    """

    landmarks: Float[np.ndarray, "J 4"]
    mask: Float32[np.ndarray, "H W"]
    score: float


@dataclass(frozen=True)
class _Roi:
    """An upright square around a person: photo = centre + axes @ (square's right, down), all in photo pixels."""

    center: Float[np.ndarray, "2"]
    side: float
    axes: Float[np.ndarray, "2 2"]
    score: float

    @classmethod
    def from_points(cls, middle: Float[np.ndarray, "2"], top: Float[np.ndarray, "2"], score: float) -> "_Roi":
        """The square whose centre is ``middle`` and whose "up" and size are encoded by ``top`` (MediaPipe's rule)."""
        radius = max(float(np.linalg.norm(top - middle)), 1e-3)
        down = (middle - top) / radius
        return cls(middle, 2 * _ROI_MARGIN * radius, np.stack([[down[1], -down[0]], down], axis=1), score)

    def to_photo(self, points: Float[np.ndarray, "P 2"]) -> Float[np.ndarray, "P 2"]:
        """Points in [0, 1]^2 of the square to photo pixels."""
        return self.center + (points - 0.5) @ self.axes.T * self.side

    def is_far_from(self, other: "_Roi") -> bool:
        """True if a second look from ``other`` is worth its price (thresholds: our choice)."""
        shift = float(np.linalg.norm(self.center - other.center)) / other.side
        turn = float(np.sum(self.axes * other.axes)) / 2
        return shift > 0.06 or not 0.87 < self.side / other.side < 1.15 or turn < np.cos(np.deg2rad(12))


class PoseDetector:
    """Finds people; loads and compiles both nets once (about a second), then is cheap to call."""

    def __init__(self, threads: int = 0):
        """
        Args:
            threads: OpenVINO's inference threads; 0 lets OpenVINO choose.

        Raises:
            ValueError: a net's file is missing or damaged, or ``threads`` is negative.
        """
        if threads < 0:
            raise ValueError(f"PoseDetector: threads={threads}; give 0 (automatic) or a positive number")
        core = ov.Core()
        config: dict = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        if threads:
            config["INFERENCE_NUM_THREADS"] = threads
        detector, landmark = (core.compile_model(str(_verified(name)), "CPU", config) for name in _SHA256)
        self._detector, self._landmark = detector, landmark
        self._anchors = _anchors()

    def __call__(self, rgb: UInt8[np.ndarray, "H W 3"]) -> list[Pose]:
        """Everybody found, the main person first (see :meth:`best`)."""
        return [pose for roi in self._rank(self._search(rgb), rgb) if (pose := self._look(rgb, roi)) is not None]

    def best(self, rgb: UInt8[np.ndarray, "H W 3"]) -> Pose | None:
        """The main person: largest score x area x centrality, confirmed by the landmark net; ``None`` if nobody.

        Area is the square of the person's region side; centrality falls from 1 in the picture's middle to 0.61 at the
        middle of its border and 0.37 in its corners (our choice).
        """
        for roi in self._rank(self._search(rgb), rgb):
            pose = self._look(rgb, roi)
            if pose is not None:
                return pose
        return None

    @staticmethod
    def _rank(rois: list[_Roi], rgb: UInt8[np.ndarray, "H W 3"]) -> list[_Roi]:
        half = np.array(rgb.shape[1::-1]) / 2

        def weight(roi: _Roi) -> float:
            offset = (roi.center - half) / half
            return roi.score * roi.side**2 * float(np.exp(-0.5 * (offset**2).sum()))

        return sorted(rois, key=weight, reverse=True)

    def _search(self, rgb: UInt8[np.ndarray, "H W 3"]) -> list[_Roi]:
        """The whole picture first; only if that shows nobody, overlapping square tiles, large ones before small ones."""
        height, width = rgb.shape[:2]
        found = self._detect(rgb, (0, 0, width, height))
        for share in _TILE_SHARES:
            if found:
                break
            found = [roi for tile in _tiles(width, height, share) for roi in self._detect(rgb, tile)]
        return _suppress(found)

    def _detect(self, rgb: UInt8[np.ndarray, "H W 3"], window: tuple[int, int, int, int]) -> list[_Roi]:
        """Detections in the window (left, top, right, bottom) of the photo, letterboxed to a square."""
        left, top, right, bottom = window
        longest = max(right - left, bottom - top)
        scale = _DETECTOR_PX / longest
        size = (max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale)))
        offset = (_DETECTOR_PX - size[0]) // 2, (_DETECTOR_PX - size[1]) // 2
        square = Image.new("RGB", (_DETECTOR_PX, _DETECTOR_PX))
        square.paste(Image.fromarray(rgb[top:bottom, left:right]).resize(size, Image.Resampling.BILINEAR), offset)
        pixels = np.asarray(square, dtype=np.float32)[None] / 127.5 - 1
        raw = self._detector(pixels)
        scores = _sigmoid(raw[1][0, :, 0])
        keep = np.flatnonzero(scores > _MIN_SCORE)
        # Four numbers of the box (of the face), then the alignment points: middle of the hips, point that encodes size.
        points = raw[0][0, keep, 4:8].reshape(-1, 2, 2) / _DETECTOR_PX + self._anchors[keep, None]
        photo = (points * _DETECTOR_PX - np.array(offset)) / scale + np.array([left, top])
        rois = [_Roi.from_points(p[0], p[1], float(s)) for p, s in zip(photo, scores[keep], strict=True)]
        return _suppress(rois)

    def _look(self, rgb: UInt8[np.ndarray, "H W 3"], roi: _Roi) -> Pose | None:
        """Landmarks and mask in a region; looks twice when the first look shows that the region was off."""
        points, world, presence, mask = self._landmarks(rgb, roi)
        if presence < _MIN_PRESENCE / 2:
            return None
        tracked = _Roi.from_points(*points[_ROI_POINTS, :2], presence)
        if roi.is_far_from(tracked):
            roi = tracked
            points, world, presence, mask = self._landmarks(rgb, roi)
        if presence < _MIN_PRESENCE:
            return None
        return Pose(_ours(points, world), _unwarp(mask, roi, rgb.shape[:2]), presence)

    def _landmarks(self, rgb: UInt8[np.ndarray, "H W 3"], roi: _Roi):
        """Returns (39 x, y in photo pixels and visibility; 39 metric points in photo axes; presence; 256 px mask)."""
        raw = self._landmark(_warp(rgb, roi)[None])
        image = raw[0].reshape(39, 5)
        points = np.column_stack([roi.to_photo(image[:, :2] / _LANDMARK_PX), _sigmoid(image[:, 3])])
        world = raw[4].reshape(39, 3).astype(np.float64)
        world[:, :2] = world[:, :2] @ roi.axes.T
        return points, world, float(raw[1].reshape(())), _sigmoid(raw[2][0, :, :, 0])


def lift(pose: Pose, crop: SquareCrop) -> Float32[np.ndarray, "J 4"]:
    """The pose in box units of the sample frame (``frame.py``): x, y, z (+Z toward the camera), visibility in [0, 1].

    The detector's z is relative to the middle of the hips, the frame's z = 0 is the middle of what the mask shows: z is
    shifted by 0.7 of the mean z of shoulders and hips (our choice; the trial's measurement). x and y then follow from
    the pixels by the inverse of the canonical camera's perspective.
    """
    ndc = crop.to_ndc(pose.landmarks[:, :2])
    z = pose.landmarks[:, 2] * (VIEW_SPAN / crop.side_px)
    trunk = [INDEX[f"{side}_{part}"] for side in ("left", "right") for part in ("shoulder", "hip")]
    z = z - 0.7 * z[trunk].mean()
    xy = ndc * ((CAMERA_DISTANCE - z) / FOCAL)[:, None]
    return np.column_stack([xy, z, pose.landmarks[:, 3]]).astype(np.float32)


def _verified(name: str) -> Path:
    path = _FOLDER / name
    if not path.is_file():
        raise ValueError(f"detector file {path} is missing; reinstall humanlrm")
    if hashlib.sha256(path.read_bytes()).hexdigest() != _SHA256[name]:
        raise ValueError(f"detector file {path} is damaged (its SHA-256 is not {_SHA256[name]}); reinstall humanlrm")
    return path


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(x, -60, 60)))


def _anchors() -> Float32[np.ndarray, "2254 2"]:
    """Centres of MediaPipe's SSD anchors: 2 per cell at stride 8 and 16, 6 per cell at stride 32; all of unit size."""
    levels = []
    for stride, per_cell in ((8, 2), (16, 2), (32, 6)):
        side = _DETECTOR_PX // stride
        y, x = np.meshgrid(*[(np.arange(side) + 0.5) / side] * 2, indexing="ij")
        levels.append(np.repeat(np.stack([x, y], axis=-1).reshape(-1, 2), per_cell, axis=0))
    return np.concatenate(levels).astype(np.float32)


def _tiles(width: int, height: int, share: float) -> list[tuple[int, int, int, int]]:
    """Square windows of ``share`` x the longer side that cover the picture and overlap by half."""
    side = max(1, round(share * max(width, height)))

    def starts(length: int) -> list[int]:
        rest = max(0, length - side)
        return [round(s) for s in np.linspace(0, rest, int(np.ceil(2 * rest / side)) + 1)]

    return [(x, y, min(x + side, width), min(y + side, height)) for y in starts(height) for x in starts(width)]


def _suppress(rois: list[_Roi]) -> list[_Roi]:
    """Non-maximum suppression on the axis-aligned squares of the regions, certain ones first."""
    kept: list[_Roi] = []
    for roi in sorted(rois, key=lambda r: r.score, reverse=True):
        if all(_overlap(roi, other) < _MAX_OVERLAP for other in kept):
            kept.append(roi)
    return kept


def _overlap(a: _Roi, b: _Roi) -> float:
    low = np.maximum(a.center - a.side / 2, b.center - b.side / 2)
    high = np.minimum(a.center + a.side / 2, b.center + b.side / 2)
    shared = float(np.prod(np.clip(high - low, 0, None)))
    return shared / (a.side**2 + b.side**2 - shared)


def _warp(rgb: UInt8[np.ndarray, "H W 3"], roi: _Roi) -> Float32[np.ndarray, "256 256 3"]:
    """The region's pixels in [0, 1], bilinear after a box reduction; the photo's border is repeated outside."""
    step = max(1, int(roi.side / _LANDMARK_PX))
    photo = np.asarray(Image.fromarray(rgb).reduce(step) if step > 1 else rgb, dtype=np.float32) / 255
    axes_yx = roi.axes[::-1, ::-1] * (roi.side / _LANDMARK_PX / step)
    corner_yx = roi.center[::-1] / step + axes_yx @ np.full(2, 0.5 - _LANDMARK_PX / 2) - 0.5
    shape = (_LANDMARK_PX, _LANDMARK_PX)
    channels = [
        ndimage.affine_transform(photo[..., c], axes_yx, corner_yx, shape, order=1, mode="nearest") for c in range(3)
    ]
    return np.stack(channels, axis=-1)


def _unwarp(mask: Float32[np.ndarray, "256 256"], roi: _Roi, shape: tuple[int, ...]) -> Float32[np.ndarray, "H W"]:
    """The region's mask in photo pixels, bilinear, zero outside the region."""
    turn = roi.axes.T * (_LANDMARK_PX / roi.side)
    offset = _LANDMARK_PX / 2 - turn @ roi.center
    affine = (*turn[0], offset[0], *turn[1], offset[1])
    size = (shape[1], shape[0])
    image = Image.fromarray(np.ascontiguousarray(mask, dtype=np.float32))
    return np.asarray(image.transform(size, Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR), np.float32)


def _ours(points: Float[np.ndarray, "39 3"], world: Float[np.ndarray, "39 3"]) -> Float[np.ndarray, "J 4"]:
    """Our landmarks of BlazePose's: x, y px, z px toward the camera, visibility.

    Pixels per metre are the ratio of the summed image distances from the centroid to the same distances in metres over
    the 33 body points: one bad point moves a sum of distances little (our choice).
    """
    spread = [np.linalg.norm(p[:33, :2] - p[:33, :2].mean(0), axis=1).sum() for p in (points, world)]
    px_per_m = spread[0] / max(spread[1], 1e-6)
    blaze = np.column_stack([points[:, :2], -world[:, 2] * px_per_m, points[:, 2]])
    out = np.zeros((COUNT, 4))
    for side, shift in (("left", 0), ("right", 1)):
        for part, index in _BLAZE_SIDE.items():
            out[INDEX[f"{side}_{part}"]] = blaze[index + shift]
    ears, shoulders = blaze[_EARS].mean(0), blaze[_SHOULDERS].mean(0)
    out[INDEX["neck"]] = 0.75 * shoulders + 0.25 * ears
    out[INDEX["head"]] = ears + 0.15 * (ears - shoulders) * np.array([1, 1, 1, 0])
    out[INDEX["nose"]] = blaze[_NOSE]
    return out
