"""Person detection by BlazePose: body points and a person mask (tflite files in ``detector/``, run by OpenVINO).

Source: Bazarevsky et al., "BlazePose: On-device Real-time Body Pose tracking" (arXiv 2006.10204), and the public
MediaPipe graphs ``pose_detection`` and ``pose_landmark`` for anchors, regions of interest and activations.

The *detector* net sees the whole picture at 224 px; it outputs boxes and alignment points. The *landmark* net sees an
upright square around one person at 256 px; it outputs 39 points, the same in metres, and a mask.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Float32, UInt8
from PIL import Image

from humanlrm.body.landmarks import DETECTOR_FEATURE_CHANNELS, MIRROR, select_blazepose
from humanlrm.cache import cache_folder
from humanlrm.photo.region import PATCH_PX, Region, suppress, tile_sides, tiles, unite, unwarp, warp

if TYPE_CHECKING:
    import openvino

_FOLDER = Path(__file__).parent / "detector"
_SHA256 = {
    "pose_detection.tflite": "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
    "pose_landmark_heavy.tflite": "59e42d71bcd44cbdbabc419f0ff76686595fd265419566bd4009ef703ea8e1fe",
}
_DETECTOR_PX = 224
#: Height from which on people are found in a photo of working size.
LEAST_HEIGHT_PX = 60
_MIN_SCORE, _MIN_PRESENCE, _SURE_PRESENCE, _FAINT_SCORE = 0.5, 0.5, 0.9, 0.05
#: Least mean of a person's mask where it is over one half (people: 0.95, in heavy blur 0.74; a moon: 0.6), and largest
#: share of the photo that one person fills.
_LEAST_CERTAINTY, _MOST_COVERAGE = 0.7, 0.95
_ROI_POINTS = [33, 34]
#: Shapes of the landmark net's inner maps that are sampled at the landmarks: the last of each size before its heads.
_FEATURE_MAPS = ((1, 192, 16, 16), (1, 288, 8, 8))
assert sum(shape[1] for shape in _FEATURE_MAPS) == DETECTOR_FEATURE_CHANNELS
#: Scales and turns (degrees) of the squares of further careful looks.
_VARIATIONS = ((1.12, 10.0), (1.12, -10.0), (0.95, 15.0), (0.95, -15.0))


@dataclass(frozen=True)
class DetectedPose:
    """One person as the detector sees it.

    Attributes:
        landmarks: per landmark of ``landmarks.LANDMARKS``: x and y in photo pixels (may lie outside the photo), z in
            photo pixels TOWARD the camera relative to the middle of the hips, visibility in [0, 1].
        mask: membership of each photo pixel in the person, in [0, 1]; soft, true resolution about 256 px.
        score: the landmark net's certainty that its square, or its mirror image, holds a person, in [0, 1].
        detector_features: the landmark net's features at each landmark, in the photo and in its mirror image. They
            hold more about depth than the net's own 3D points (docs/log/decisions-2026-11.md).
        region: the square that the landmark net looked at; ``None`` for poses that are not from the detector.
    """

    landmarks: Float[np.ndarray, "J 4"]
    mask: Float32[np.ndarray, "H W"]
    score: float
    detector_features: Float32[np.ndarray, "J 2 C"]
    region: Region | None = None


@dataclass(frozen=True)
class _LandmarkOutput:
    """Output of the landmark net: points (photo x, y px, visibility), the same in metres, presence, mask, features."""

    points: Float[np.ndarray, "39 3"]
    world: Float[np.ndarray, "39 3"]
    presence: float
    mask: Float32[np.ndarray, "256 256"]
    detector_features: Float32[np.ndarray, "J C"]


class PoseDetector:
    """Detector of people; loads both nets once, then takes 60 ms per photo. Not thread-safe: one per thread.

    Compiled nets are shared by the process's detectors and kept in the user's cache folder. A small person in a large
    photo needs no special path: the landmark net gets its square from the full photo.
    """

    def __init__(self, threads: int = 0, careful: bool = False):
        """
        Args:
            threads: OpenVINO's inference threads; 0 lets OpenVINO choose.
            careful: average the landmarks of five squares per person: errors shrink by 4%, at four times the price
                (``benchmarks/careful_looks.py``).

        Raises:
            ValueError: a net's file is missing or damaged, or ``threads`` is negative.
        """
        if threads < 0:
            raise ValueError(f"PoseDetector: threads={threads}; give 0 (automatic) or a positive number")
        self._detector, self._landmark = (net.create_infer_request().infer for net in _compiled_nets(_FOLDER, threads))
        self._anchors, self._careful = _anchors(), careful

    def __call__(self, rgb: UInt8[np.ndarray, "H W 3"]) -> list[DetectedPose]:
        """All people, the main person first (see :meth:`best`)."""
        return [self.look_closely(rgb, pose) for pose in self.survey(rgb)]

    def survey(
        self, rgb: UInt8[np.ndarray, "H W 3"], windows: Sequence[tuple[int, int, int, int]] | None = None
    ) -> list[DetectedPose]:
        """All people at one look each, the main person first (see :meth:`best`).

        Args:
            windows: parts of the photo to search (left, top, right, bottom); ``None``: the whole, and smaller parts if
                the whole shows nobody.
        """
        return [pose for roi in self._search(rgb, windows) if (pose := self._look(rgb, roi)) is not None]

    def best(self, rgb: UInt8[np.ndarray, "H W 3"]) -> DetectedPose | None:
        """The main person: largest score x area x centrality, confirmed by the landmark net; ``None`` if nobody.

        Centrality falls from 1 in the picture's middle to 0.61 at the middle of its border and 0.37 in its corners.
        """
        poses = (pose for roi in self._search(rgb) if (pose := self._look(rgb, roi)) is not None)
        return next((self.look_closely(rgb, pose) for pose in poses), None)

    def look_again(self, rgb: UInt8[np.ndarray, "H W 3"], pose: DetectedPose) -> DetectedPose | None:
        """The person of a pose in another version of the same photo; ``None``: nobody is seen there."""
        return None if pose.region is None else self._look(rgb, pose.region)

    def look_closely(self, rgb: UInt8[np.ndarray, "H W 3"], pose: DetectedPose) -> DetectedPose:
        """The pose, averaged over further squares around the same person, if this detector is careful."""
        if not self._careful or pose.region is None:
            return pose
        looks = [(pose.landmarks, pose.detector_features), *self._varied_looks(rgb, pose.region)]
        landmarks, features = (np.mean(parts, axis=0) for parts in zip(*looks, strict=True))
        return replace(pose, landmarks=landmarks, detector_features=features.astype(np.float32))

    def search_score(self, rgb: UInt8[np.ndarray, "H W 3"], pose: DetectedPose) -> float:
        """Score of the search in a window around the pose's region, in [0, 1]; 0: nobody is seen there."""
        if pose.region is None:
            return 0.0
        reach = 0.75 * pose.region.side
        left, top = np.maximum(pose.region.center - reach, 0).astype(int)
        right, low = np.minimum(pose.region.center + reach, rgb.shape[1::-1]).astype(int)
        if right - left < 1 or low - top < 1:
            return 0.0
        regions = self._detect(rgb, (int(left), int(top), int(right), int(low)), _FAINT_SCORE)
        return max((region.score for region in regions if region.is_same_head(pose.region)), default=0.0)

    def _varied_looks(
        self, rgb: UInt8[np.ndarray, "H W 3"], region: Region
    ) -> list[tuple[Float[np.ndarray, "J 4"], np.ndarray]]:
        """Landmarks and features in the squares of ``_VARIATIONS`` that show a person."""
        looks = []
        for variation in _VARIATIONS:
            varied = region.varied(*variation)
            pair = self._run_both(rgb, varied)
            if min(pair[0].presence, pair[1].presence) > _MIN_PRESENCE:
                looks.append(_average(*pair))
        return looks

    def _search(
        self, rgb: UInt8[np.ndarray, "H W 3"], windows: Sequence[tuple[int, int, int, int]] | None = None
    ) -> list[Region]:
        """People in the windows or the whole picture, else in overlapping tiles, large first; the main one first."""
        height, width = rgb.shape[:2]
        rois = [roi for window in windows or [(0, 0, width, height)] for roi in self._detect(rgb, window)]
        for side_px in tile_sides(max(width, height), _DETECTOR_PX) if windows is None else ():
            if rois:
                break
            rois = [roi for tile in tiles(width, height, side_px) for roi in self._detect(rgb, tile)]
        return sorted(suppress(rois), key=lambda roi: _prominence(roi, rgb.shape[:2]), reverse=True)

    def _detect(
        self, rgb: UInt8[np.ndarray, "H W 3"], window: tuple[int, int, int, int], least_score: float = _MIN_SCORE
    ) -> list[Region]:
        """Detections in the window (left, top, right, bottom) of the photo, letterboxed to a square.

        The square's mirror image is searched, too, and scores are the mean of both: who is found, and in which order,
        is the same in a photo and its mirror image.
        """
        extent, corner = np.array(window[2:]) - window[:2], np.array(window[:2])
        size = 2 * np.maximum(1, np.round(extent * _DETECTOR_PX / extent.max() / 2)).astype(int)
        offset = (_DETECTOR_PX - size) // 2
        square = Image.new("RGB", (_DETECTOR_PX, _DETECTOR_PX))
        part = Image.fromarray(rgb[window[1] : window[3], window[0] : window[2]])
        square.paste(part.resize((int(size[0]), int(size[1])), Image.Resampling.BILINEAR), tuple(offset.tolist()))
        pixels = np.asarray(square, dtype=np.float32)[None] / 127.5 - 1
        pair = []
        for flip in (1, -1):
            raw = self._detector(np.ascontiguousarray(pixels[:, :, ::flip]))
            scores = _sigmoid(raw[1][0, :, 0])
            keep = np.flatnonzero(scores > least_score)
            # Centre and size of a box, then the alignment points: middle of the hips, point of size and rotation.
            points = raw[0][0, keep, :8].reshape(-1, 4, 2) / _DETECTOR_PX + self._anchors[keep, None] - 0.5
            points = corner + extent * (0.5 + points * [flip, 1] * _DETECTOR_PX / size)
            pair.append(
                [Region.from_points(p[2], p[3], p[0], float(s)) for p, s in zip(points, scores[keep], strict=True)]
            )
        return unite(*pair)

    def _look(self, rgb: UInt8[np.ndarray, "H W 3"], roi: Region) -> DetectedPose | None:
        """Landmarks and mask in a region; a second look follows when the first shows that the region was off.

        An unsure look is repeated, too. Each is also taken in the mirror, and both are averaged: the net's errors in
        depth are not symmetric (the right hand comes out 12 cm too near, the left one does not).
        """
        pair = self._run_both(rgb, roi)
        surer = max(pair, key=lambda run: run.presence)
        if surer.presence < _MIN_PRESENCE / 2:
            return None
        hips, top = surer.points[_ROI_POINTS, :2]
        tracked = Region.from_points(hips, top, roi.head, roi.score)
        if roi.is_far_from(tracked) or surer.presence < _SURE_PRESENCE:
            roi = tracked
            pair = self._run_both(rgb, roi)
        presence = max(run.presence for run in pair)
        if presence < _MIN_PRESENCE:
            return None
        mask = unwarp((pair[0].mask + pair[1].mask) / 2, roi, rgb.shape[:2])
        if not _is_person(mask):
            return None
        landmarks, detector_features = _average(*pair)
        return DetectedPose(landmarks, mask, presence, detector_features.astype(np.float32), roi)

    def _run_both(self, rgb: UInt8[np.ndarray, "H W 3"], roi: Region) -> tuple[_LandmarkOutput, _LandmarkOutput]:
        """Run the landmark net on a square and on its mirror image."""
        patch = warp(rgb, roi)
        return self._run(patch, roi), self._run(patch[:, ::-1], roi, mirrored=True)

    def _run(self, patch: Float32[np.ndarray, "256 256 3"], roi: Region, mirrored: bool = False) -> _LandmarkOutput:
        """Run the landmark net on a square; a mirrored patch's output is in the photo's place, with sides swapped."""
        raw = self._landmark(np.ascontiguousarray(patch)[None])
        image = raw[0].reshape(39, 5).astype(np.float64)
        world = raw[4].reshape(39, 3).astype(np.float64)
        mask = _sigmoid(raw[2][0, :, :, 0])
        detector_features = _detector_features(image[:, :2] / PATCH_PX, [raw[5][0], raw[6][0]])
        if mirrored:
            image[:, 0] = PATCH_PX - image[:, 0]
            world[:, 0] *= -1
            mask = mask[:, ::-1]
        points = np.column_stack([roi.to_photo(image[:, :2] / PATCH_PX), _sigmoid(image[:, 3])])
        world[:, :2] = world[:, :2] @ roi.axes.T
        return _LandmarkOutput(points, world, float(raw[1].reshape(())), mask, detector_features)


def _prominence(roi: Region, shape: tuple[int, int]) -> float:
    """Score x area x centrality, see :meth:`PoseDetector.best`."""
    half = np.array([shape[1], shape[0]]) / 2
    centrality = float(np.exp(-0.5 * (((roi.center - half) / half) ** 2).sum()))
    return roi.score * roi.side**2 * centrality


def _is_person(mask: Float32[np.ndarray, "H W"]) -> bool:
    """False for masks of moons and cats, which have presence, too, but are uncertain or cover the photo."""
    inside = mask > 0.5
    share = float(inside.mean())
    return 0 < share < _MOST_COVERAGE and float(mask[inside].mean()) > _LEAST_CERTAINTY


def _average(direct: _LandmarkOutput, mirrored: _LandmarkOutput) -> tuple[Float[np.ndarray, "J 4"], np.ndarray]:
    """Mean landmarks of a square and its mirror image, and the features (J, 2, C) of both."""
    landmarks = (_our_landmarks(direct) + _our_landmarks(mirrored)[MIRROR]) / 2
    return landmarks, np.stack([direct.detector_features, mirrored.detector_features[MIRROR]], axis=1)


def _inner_maps(net: "openvino.Model") -> "list[openvino.Output]":
    """The last inner map of each shape of ``_FEATURE_MAPS``."""
    last: dict[tuple[int, ...], openvino.Output] = {}
    for node in net.get_ordered_ops():
        if node.get_type_name() in ("Add", "Clamp"):
            last[tuple(node.output(0).shape)] = node.output(0)
    return [last[shape] for shape in _FEATURE_MAPS]


def _detector_features(points: Float[np.ndarray, "39 2"], maps: list[np.ndarray]) -> Float32[np.ndarray, "J C"]:
    """Features of all maps (channels, side, side) at our landmarks; points in [0, 1]^2 of the square; bilinear."""
    landmarks = select_blazepose(np.column_stack([points, np.zeros((len(points), 2))]))[:, :2]
    features = []
    for values in maps:
        cell = np.clip(landmarks * values.shape[-1] - 0.5, 0, values.shape[-1] - 1)
        low = np.minimum(cell.astype(int), values.shape[-1] - 2)
        (x, y), (i, j) = (cell - low).T, low.T
        upper = values[:, j, i] * (1 - x) + values[:, j, i + 1] * x
        lower = values[:, j + 1, i] * (1 - x) + values[:, j + 1, i + 1] * x
        features.append((upper * (1 - y) + lower * y).T)
    return np.concatenate(features, axis=1).astype(np.float32)


@cache
def _compiled_nets(folder: Path, threads: int) -> "list[openvino.CompiledModel]":
    """Detector and landmark net."""
    import openvino as ov  # late: half of the import of the front door

    core, config = ov.Core(), {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    if (user_cache := cache_folder("openvino")) is not None:  # OpenVINO names files by network, settings and version
        config["CACHE_DIR"] = str(user_cache)
    if threads:
        config["INFERENCE_NUM_THREADS"] = str(threads)
    nets = [core.read_model(str(_verified(folder / name))) for name in _SHA256]
    nets[1].add_outputs(_inner_maps(nets[1]))
    return [core.compile_model(net, "CPU", config) for net in nets]


def _verified(path: Path) -> Path:
    if not path.is_file():
        raise ValueError(f"detector file {path} is missing; reinstall humanlrm")
    if hashlib.sha256(path.read_bytes()).hexdigest() != _SHA256[path.name]:
        raise ValueError(
            f"detector file {path} is damaged (its SHA-256 is not {_SHA256[path.name]}); reinstall humanlrm"
        )
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


def _our_landmarks(output: _LandmarkOutput) -> Float[np.ndarray, "J 4"]:
    """Our landmarks from BlazePose's: x, y px, z px toward the camera, visibility.

    Pixels per metre are the ratio of the summed image distances from the centroid to the same distances in metres over
    the 33 body points: one bad point moves a sum of distances little.
    """
    points, world = output.points, output.world
    spread = [np.linalg.norm(p[:33, :2] - p[:33, :2].mean(0), axis=1).sum() for p in (points, world)]
    px_per_m = spread[0] / max(spread[1], 1e-6)
    return select_blazepose(np.column_stack([points[:, :2], -world[:, 2] * px_per_m, points[:, 2]]))
