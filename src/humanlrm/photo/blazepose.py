"""Find people in a photo: body points and a person mask, by BlazePose (tflite files in ``detector/``, run by OpenVINO).

Source: Bazarevsky et al., "BlazePose: On-device Real-time Body Pose tracking" (arXiv 2006.10204), and the public
MediaPipe graphs ``pose_detection`` and ``pose_landmark`` for anchors, regions of interest and activations.

Two nets: the *detector* sees the whole picture at 224 px and answers with boxes and alignment points; the *landmark*
net sees an upright square around one person at 256 px and answers with 39 points, 39 metric points and a mask.
"""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import scipy
from jaxtyping import Float, Float32, UInt8
from PIL import Image

from humanlrm.body.landmarks import COUNT, DETECTOR_FEATURE_CHANNELS, INDEX, MIRROR
from humanlrm.cache import cache_folder

if TYPE_CHECKING:
    import openvino

_FOLDER = Path(__file__).parent / "detector"
_SHA256 = {
    "pose_detection.tflite": "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
    "pose_landmark_heavy.tflite": "59e42d71bcd44cbdbabc419f0ff76686595fd265419566bd4009ef703ea8e1fe",
}
_DETECTOR_PX, _LANDMARK_PX = 224, 256
_MIN_SCORE, _MIN_PRESENCE = 0.5, 0.5
#: The mean of a person's mask where it is over one half (people: 0.95, in heavy blur 0.74; a moon: 0.6), and the share
#: of the photo that nobody fills (our choice).
_LEAST_SURE, _EVERYWHERE = 0.7, 0.95
_ROI_MARGIN = 1.25
#: Two detections are the same person if their heads are closer than this share of the smaller region's side.
_HEAD_DISTANCE = 0.15
#: Side of the square tiles that are searched when the whole picture shows nobody, as a share of the longer side.
_TILE_SHARES = (0.6, 0.35)
#: BlazePose's index of each of our landmarks (its "left" is the person's left, as ours); neck and head are mixtures.
_BLAZE_SIDE = {"shoulder": 11, "elbow": 13, "wrist": 15, "hand": 19, "hip": 23, "knee": 25, "ankle": 27, "toe": 31}
_EARS, _SHOULDERS, _NOSE, _ROI_POINTS = [7, 8], [11, 12], 0, [33, 34]
#: Shapes of the landmark net's inner maps that are read at the landmarks: the last of each size before its heads.
_FEATURE_MAPS = ((1, 192, 16, 16), (1, 288, 8, 8))
assert sum(shape[1] for shape in _FEATURE_MAPS) == DETECTOR_FEATURE_CHANNELS


#: Scales and turns (degrees) of the squares of further careful looks (our choice).
_VARIATIONS = ((1.12, 10.0), (1.12, -10.0), (0.95, 15.0), (0.95, -15.0))


@dataclass(frozen=True)
class DetectedPose:
    """One person as the detector sees it.

    Attributes:
        landmarks: per landmark of ``landmarks.LANDMARKS``: x and y in photo pixels (may lie outside the photo), z in
            photo pixels TOWARD the camera relative to the middle of the hips, visibility in [0, 1].
        mask: how much each photo pixel belongs to the person, in [0, 1]; soft, true resolution about 256 px.
        score: the landmark net's certainty that its square holds a person, in [0, 1].
        detector_features: the landmark net's features at each landmark, in the photo and in its mirror image. They
            tell more of depth than the 3D points that the net reads off them (our choice; measured in
            docs/decisions.md).
    """

    landmarks: Float[np.ndarray, "J 4"]
    mask: Float32[np.ndarray, "H W"]
    score: float
    detector_features: Float32[np.ndarray, "J 2 C"]


@dataclass(frozen=True)
class _Reading:
    """What the landmark net says of a square: 39 points (photo x, y px, visibility), the same in metres (photo axes),
    presence, 256 px mask, features at our landmarks."""

    points: Float[np.ndarray, "39 3"]
    world: Float[np.ndarray, "39 3"]
    presence: float
    mask: Float32[np.ndarray, "256 256"]
    detector_features: Float32[np.ndarray, "J C"]


@dataclass(frozen=True)
class _Roi:
    """An upright square around a person: photo = centre + axes @ (square's right, down), all in photo pixels.

    ``head`` (photo pixels) is the detector's box centre; its box always has the same size and tells nothing else.
    """

    center: Float[np.ndarray, "2"]
    side: float
    axes: Float[np.ndarray, "2 2"]
    score: float
    head: Float[np.ndarray, "2"]

    @classmethod
    def from_points(cls, middle: np.ndarray, top: np.ndarray, head: np.ndarray, score: float) -> "_Roi":
        """The square whose centre is ``middle`` and whose "up" and size are encoded by ``top`` (MediaPipe's rule)."""
        radius = max(float(np.linalg.norm(top - middle)), 1e-3)
        down = (middle - top) / radius
        return cls(middle, 2 * _ROI_MARGIN * radius, np.stack([[down[1], -down[0]], down], axis=1), score, head)

    def varied(self, scale: float, turn_deg: float) -> "_Roi":
        """Larger by a factor, and turned."""
        c, s = np.cos(np.deg2rad(turn_deg)), np.sin(np.deg2rad(turn_deg))
        return replace(self, side=self.side * scale, axes=np.array([[c, -s], [s, c]]) @ self.axes)

    def to_photo(self, points: Float[np.ndarray, "P 2"]) -> Float[np.ndarray, "P 2"]:
        """Points in [0, 1]^2 of the square to photo pixels."""
        return self.center + (points - 0.5) @ self.axes.T * self.side

    def is_far_from(self, other: "_Roi") -> bool:
        """True if a second look from ``other`` is worth its price (thresholds: our choice)."""
        shift = float(np.linalg.norm(self.center - other.center)) / other.side
        turn = float(np.sum(self.axes * other.axes)) / 2
        return bool(shift > 0.06 or not 0.87 < self.side / other.side < 1.15 or turn < np.cos(np.deg2rad(12)))


class PoseDetector:
    """Finds people; loads both nets once, then takes 60 ms per photo and thread.

    Compiled nets are kept in the user's cache folder, so that only the first start compiles them.

    A small person in a large photo needs no special path: the landmark net reads its square from the full photo.
    Not thread-safe: one detector per thread.
    """

    def __init__(self, threads: int = 0, careful: bool = False):
        """
        Args:
            threads: OpenVINO's inference threads; 0 lets OpenVINO choose.
            careful: everybody is looked at in five squares, and the landmarks are averaged: errors shrink by 4%, at
                four times the price (``benchmarks/careful_looks.py``).

        Raises:
            ValueError: a net's file is missing or damaged, or ``threads`` is negative.
        """
        if threads < 0:
            raise ValueError(f"PoseDetector: threads={threads}; give 0 (automatic) or a positive number")
        import openvino as ov  # late: half of the import of the front door

        core = ov.Core()
        config: dict = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        if (cache := cache_folder("openvino")) is not None:  # OpenVINO names its files by network, settings and version
            config["CACHE_DIR"] = str(cache)
        if threads:
            config["INFERENCE_NUM_THREADS"] = threads
        detector, landmark = (core.read_model(str(_verified(name))) for name in _SHA256)
        landmark.add_outputs(_inner_maps(landmark))
        self._detector, self._landmark = (core.compile_model(net, "CPU", config) for net in (detector, landmark))
        self._anchors, self._careful = _anchors(), careful

    def __call__(self, rgb: UInt8[np.ndarray, "H W 3"]) -> list[DetectedPose]:
        """Everybody found, the main person first (see :meth:`best`)."""
        return [pose for roi in self._rank(self._search(rgb), rgb) if (pose := self._look(rgb, roi)) is not None]

    def best(self, rgb: UInt8[np.ndarray, "H W 3"]) -> DetectedPose | None:
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
        """The whole picture first; if that shows nobody, overlapping square tiles, large ones before small ones."""
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
        # Centre and size of a box, then the alignment points: middle of the hips, point that encodes size and rotation.
        points = raw[0][0, keep, :8].reshape(-1, 4, 2) / _DETECTOR_PX + self._anchors[keep, None]
        points = (points * _DETECTOR_PX - np.array(offset)) / scale + np.array([left, top])
        return _suppress(
            [_Roi.from_points(p[2], p[3], p[0], float(s)) for p, s in zip(points, scores[keep], strict=True)]
        )

    def _look(self, rgb: UInt8[np.ndarray, "H W 3"], roi: _Roi) -> DetectedPose | None:
        """Landmarks and mask in a region; looks twice when the first look shows that the region was off.

        The last look is repeated in the mirror and both are averaged: the net's errors in depth are not symmetric (the
        right hand comes out 12 cm too near, the left one does not).
        """
        patch = _warp(rgb, roi)
        reading = self._read(patch, roi)
        if reading.presence < _MIN_PRESENCE / 2:
            return None
        hips, top = reading.points[_ROI_POINTS, :2]
        tracked = _Roi.from_points(hips, top, roi.head, reading.presence)
        if roi.is_far_from(tracked):
            roi = tracked
            patch = _warp(rgb, roi)
            reading = self._read(patch, roi)
        if reading.presence < _MIN_PRESENCE:
            return None
        other = self._read(patch[:, ::-1], roi, mirrored=True)
        mask = _unwarp((reading.mask + other.mask) / 2, roi, rgb.shape[:2])
        if not _is_somebody(mask):
            return None
        looks = [_both(reading, other)]
        for variation in _VARIATIONS if self._careful else ():
            varied = roi.varied(*variation)
            patch = _warp(rgb, varied)
            pair = self._read(patch, varied), self._read(patch[:, ::-1], varied, mirrored=True)
            if min(pair[0].presence, pair[1].presence) > _MIN_PRESENCE:
                looks.append(_both(*pair))
        landmarks, detector_features = (np.mean(parts, axis=0) for parts in zip(*looks, strict=True))
        return DetectedPose(landmarks, mask, reading.presence, detector_features.astype(np.float32))

    def _read(self, patch: Float32[np.ndarray, "256 256 3"], roi: _Roi, mirrored: bool = False) -> _Reading:
        """What the net says of a square; of a mirrored patch, too, in the photo's own coordinates (but its own names:
        the net takes a left hand in the mirror for a right one)."""
        raw = self._landmark(np.ascontiguousarray(patch)[None])
        image = raw[0].reshape(39, 5).astype(np.float64)
        world = raw[4].reshape(39, 3).astype(np.float64)
        mask = _sigmoid(raw[2][0, :, :, 0])
        detector_features = _detector_features(image[:, :2] / _LANDMARK_PX, [raw[5][0], raw[6][0]])
        if mirrored:
            image[:, 0] = _LANDMARK_PX - image[:, 0]
            world[:, 0] *= -1
            mask = mask[:, ::-1]
        points = np.column_stack([roi.to_photo(image[:, :2] / _LANDMARK_PX), _sigmoid(image[:, 3])])
        world[:, :2] = world[:, :2] @ roi.axes.T
        return _Reading(points, world, float(raw[1].reshape(())), mask, detector_features)


def _is_somebody(mask: Float32[np.ndarray, "H W"]) -> bool:
    """Whether a mask is a person's: moons and cats have presence, too, but their masks are unsure, or everywhere."""
    sure = mask > 0.5
    return bool(sure.any() and float(mask[sure].mean()) > _LEAST_SURE and float(sure.mean()) < _EVERYWHERE)


def _both(reading: _Reading, other: _Reading) -> tuple[Float[np.ndarray, "J 4"], Float32[np.ndarray, "J 2 C"]]:
    """Mean landmarks of a square and its mirror image, and the clues of both."""
    landmarks = (_ours(reading.points, reading.world) + _ours(other.points, other.world)[MIRROR]) / 2
    return landmarks, np.stack([reading.detector_features, other.detector_features[MIRROR]], axis=1)


def _inner_maps(net: "openvino.Model") -> "list[openvino.Output]":
    """The last inner map of each shape of ``_FEATURE_MAPS``."""
    last: dict[tuple[int, ...], openvino.Output] = {}
    for node in net.get_ordered_ops():
        if node.get_type_name() in ("Add", "Clamp"):
            last[tuple(node.output(0).shape)] = node.output(0)
    return [last[shape] for shape in _FEATURE_MAPS]


def _detector_features(points: Float[np.ndarray, "39 2"], maps: list[np.ndarray]) -> Float32[np.ndarray, "J C"]:
    """Features of all maps (channels, side, side) at our landmarks; points in [0, 1]^2 of the square; bilinear."""
    at = _named(np.column_stack([points, np.zeros((len(points), 2))]))[:, :2]
    found = []
    for values in maps:
        cell = np.clip(at * values.shape[-1] - 0.5, 0, values.shape[-1] - 1)
        low = np.minimum(cell.astype(int), values.shape[-1] - 2)
        (x, y), (i, j) = (cell - low).T, low.T
        upper = values[:, j, i] * (1 - x) + values[:, j, i + 1] * x
        lower = values[:, j + 1, i] * (1 - x) + values[:, j + 1, i + 1] * x
        found.append((upper * (1 - y) + lower * y).T)
    return np.concatenate(found, axis=1).astype(np.float32)


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
    """One region per head, certain ones first; neighbours' regions overlap too much for the usual IoU (our choice)."""
    kept: list[_Roi] = []
    for roi in sorted(rois, key=lambda r: r.score, reverse=True):
        if all(np.linalg.norm(roi.head - k.head) > _HEAD_DISTANCE * min(roi.side, k.side) for k in kept):
            kept.append(roi)
    return kept


def _warp(rgb: UInt8[np.ndarray, "H W 3"], roi: _Roi) -> Float32[np.ndarray, "256 256 3"]:
    """The region's pixels in [0, 1], bilinear after a box reduction; the photo's border is repeated outside."""
    step = max(1, int(roi.side / _LANDMARK_PX))
    photo = np.asarray(Image.fromarray(rgb).reduce(step) if step > 1 else rgb, dtype=np.float32) / 255
    axes_yx = roi.axes[::-1, ::-1] * (roi.side / _LANDMARK_PX / step)
    corner_yx = roi.center[::-1] / step + axes_yx @ np.full(2, 0.5 - _LANDMARK_PX / 2) - 0.5
    # scipy's types know only scalar offsets.
    place: dict = {"offset": corner_yx, "output_shape": (_LANDMARK_PX, _LANDMARK_PX)}
    channels = [
        scipy.ndimage.affine_transform(photo[..., c], axes_yx, order=1, mode="nearest", **place) for c in range(3)
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
    return _named(np.column_stack([points[:, :2], -world[:, 2] * px_per_m, points[:, 2]]))


def _named(blaze: Float[np.ndarray, "39 4"]) -> Float[np.ndarray, "J 4"]:
    """Our landmarks among BlazePose's, or as mixtures of them."""
    out = np.zeros((COUNT, 4))
    for side, shift in (("left", 0), ("right", 1)):
        for part, index in _BLAZE_SIDE.items():
            out[INDEX[f"{side}_{part}"]] = blaze[index + shift]
    ears, shoulders = blaze[_EARS].mean(0), blaze[_SHOULDERS].mean(0)
    out[INDEX["neck"]] = 0.75 * shoulders + 0.25 * ears
    out[INDEX["head"]] = ears + 0.15 * (ears - shoulders) * np.array([1, 1, 1, 0])
    out[INDEX["nose"]] = blaze[_NOSE]
    return out
