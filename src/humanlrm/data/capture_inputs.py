"""Multi-view captures as training data: each photograph as the network gets it, and as a target of renderings.

Nobody knows the surface of a capture, so there are no points, depths or normals: photographs and masks are what a
rendering is compared with. Where in space the person is, the frames need to know roughly: the masks' visual hull says.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from einops import reduce
from jaxtyping import Float, UInt8
from PIL import Image
from scipy.ndimage import map_coordinates

from humanlrm.body.landmarks import COUNT
from humanlrm.data.records import DAMAGED, Entry, ShardError, image_bytes, npy_bytes, npz_bytes, read_files
from humanlrm.data.render.light import Light
from humanlrm.data.render.shoot import PointSamples, ViewRecord
from humanlrm.data.targets import TargetView
from humanlrm.frame import CAMERA_DISTANCE, SquareCrop, canonical_camera, crop_frame, frame_axes
from humanlrm.mesh.raycast import pixel_rays
from humanlrm.photo.blazepose import PoseDetector
from humanlrm.photo.calibrated import Capture, CaptureView
from humanlrm.photo.crop import assemble_crop
from humanlrm.photo.hull import middle_depth, project, visual_hull

#: File of a record that says it can be trained on.
INPUTS = "inputs.npz"
_ARRAYS = ("detected", "landmarks", "to_frame", "target_frame")
#: Rays of a target's pixel along each side.
_OVERSAMPLING = 3


@dataclass(frozen=True)
class CaptureInput:
    """One photograph of a capture.

    Attributes:
        inputs: what the network is shown; depth is unknown (NaN), and so are landmarks that were not triangulated.
        target: the photograph as a canonical camera at the same place sees it.
    """

    inputs: ViewRecord
    target: TargetView


def capture_inputs(
    capture: Capture, detector: PoseDetector, image_px: int = 256, depth_px: int = 128
) -> list[CaptureInput]:
    """All photographs of a capture, ready for training.

    Args:
        image_px: side of the input crop.
        depth_px: side of the targets.

    Raises:
        ValueError: the masks have no hull: cameras and masks do not belong together.
    """
    hull = visual_hull(capture)
    return [_input(capture, view, hull, detector, image_px, depth_px) for view in capture.views]


def _input(
    capture: Capture,
    view: CaptureView,
    hull: Float[np.ndarray, "N 3"],
    detector: PoseDetector,
    image_px: int,
    depth_px: int,
) -> CaptureInput:
    shown = assemble_crop(view.rgb, view.alpha / np.float32(255), detector.best(view.rgb), image_px)
    depth = middle_depth(view.camera, shown.crop, hull)
    to_frame = crop_frame(view.camera, shown.crop, depth)
    landmarks = np.full((COUNT, 3), np.nan) if capture.landmarks is None else capture.landmarks
    to_u8 = lambda x: (x.numpy() * 255 + 0.5).astype(np.uint8)  # noqa: E731
    inputs = ViewRecord(
        rgb=to_u8(shown.rgb.permute(1, 2, 0)),
        alpha=to_u8(shown.alpha[0]),
        known=to_u8(shown.known[0]),
        depth=np.full((2, depth_px, depth_px), np.nan, np.float16),
        detected=shown.landmarks.numpy().astype(np.float32),
        landmarks=(landmarks @ to_frame[:3, :3].T + to_frame[:3, 3]).astype(np.float32),
        to_frame=to_frame.astype(np.float32),
        light=_no_light(),
        detector_features=shown.detector_features.numpy().astype(np.float16),
    )
    return CaptureInput(inputs, _target(view, shown.crop, depth, depth_px))


def _no_light() -> Light:
    """Nothing is asked that would need one."""
    return Light(np.ones(3, np.float32), np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32))


def _target(view: CaptureView, crop: SquareCrop, depth: float, side_px: int) -> TargetView:
    """The photograph resampled by a canonical camera that stands where it was taken and looks at the crop's middle: a
    homography. Its field of view is fixed, so it may show less than the crop, or more."""
    axes, eye = frame_axes(view.camera, crop), view.camera.c2w.numpy()[:3, 3]
    to_frame = np.eye(4)
    to_frame[:3, :3] = axes * (CAMERA_DISTANCE / depth)
    to_frame[:3, 3] = -to_frame[:3, :3] @ (eye - depth * axes[2])
    _, rays = pixel_rays(canonical_camera(side_px * _OVERSAMPLING))
    pixel, _ = project(view.camera, eye + rays.reshape(-1, 3) @ axes)
    height, width = view.alpha.shape
    known = np.all((pixel >= 0) & (pixel <= np.array([width, height])), axis=1, keepdims=True)
    pictures = np.concatenate([view.rgb, view.alpha[..., None]], axis=-1).astype(np.float32)
    at = (pixel - 0.5).T[::-1]
    found = np.stack(
        [map_coordinates(channel, at, order=1, mode="nearest") for channel in pictures.transpose(2, 0, 1)], -1
    )
    # Colours of the background must not bleed in: they are weighted by alpha.
    weighted = np.concatenate([found[:, :3] * found[:, 3:] / 255, found[:, 3:], known * 255.0], axis=-1)
    full = weighted.reshape(side_px * _OVERSAMPLING, side_px * _OVERSAMPLING, 5)
    small: np.ndarray = reduce(full, "(h p) (w q) c -> h w c", "mean", p=_OVERSAMPLING, q=_OVERSAMPLING)
    rgb = small[..., :3] / np.maximum(small[..., 3:4] / 255, 1e-3)
    to_u8 = lambda x: (x.clip(0, 255) + 0.5).astype(np.uint8)  # noqa: E731
    alpha = np.where(small[..., 4] > 254, small[..., 3], np.nan) / 255
    nothing = np.full((side_px, side_px), np.nan, np.float32)
    return TargetView(to_frame.astype(np.float32), nothing, to_u8(rgb), None, alpha.astype(np.float32))


# ---- on disk


def encode_inputs(inputs: list[CaptureInput]) -> dict[str, bytes]:
    """Files that a capture's record holds beside its photographs."""
    files: dict[str, bytes] = {}
    for k, captured in enumerate(inputs):
        shown, target = captured.inputs, captured.target
        assert shown.detector_features is not None
        assert target.rgb is not None
        assert target.alpha is not None
        known = np.isfinite(target.alpha)
        outline = np.stack([np.nan_to_num(target.alpha) * 255 + 0.5, known * 255], axis=-1).astype(np.uint8)
        masks = np.stack([shown.alpha, shown.known], axis=-1)
        files[f"{k}.input.webp"] = image_bytes(shown.rgb, "WEBP", quality=90, method=2)
        files[f"{k}.input.png"] = image_bytes(masks, "PNG", compress_level=3)
        files[f"{k}.target.webp"] = image_bytes(target.rgb, "WEBP", quality=90, method=2)
        files[f"{k}.target.png"] = image_bytes(outline, "PNG", compress_level=3)
        files[f"{k}.clues.npy"] = npy_bytes(shown.detector_features)
    arrays = {name: np.stack([getattr(one.inputs, name) for one in inputs]) for name in _ARRAYS[:3]}
    files[INPUTS] = npz_bytes(**arrays, target_frame=np.stack([one.target.to_frame for one in inputs]))
    return files


def load_input(entry: Entry, view: int) -> tuple[ViewRecord, PointSamples]:
    """One photograph of a capture, and samples of a surface that nobody knows (NaN).

    Raises:
        ShardError: a file is missing or damaged; names shard and capture.
    """
    names = (f"{view}.input.webp", f"{view}.input.png", f"{view}.target.png", f"{view}.clues.npy", INPUTS)
    picture, mask, outline, detector_features, arrays = read_files(entry, *names)
    with _named(entry, view):
        rgb, masks = np.asarray(Image.open(picture)), np.asarray(Image.open(mask))
        side = Image.open(outline).size[0]
        truth = _finite(arrays)
        record = ViewRecord(
            rgb,
            masks[..., 0],
            masks[..., 1],
            np.full((2, side, side), np.nan, np.float16),
            light=_no_light(),
            detector_features=np.load(detector_features, allow_pickle=False),
            **{name: truth[name][view] for name in _ARRAYS[:3]},
        )
        return record, _unknown_samples()


def input_targets(entry: Entry, views: list[int]) -> list[TargetView]:
    """Some photographs of a capture as targets.

    Raises:
        ShardError: a file is missing or damaged; names shard and capture.
    """
    names = [f"{view}.target.{form}" for view in views for form in ("webp", "png")]
    arrays, *files = read_files(entry, INPUTS, *names)
    with _named(entry, views):
        frames, pixels = _finite(arrays)["target_frame"], [np.asarray(Image.open(file)) for file in files]
        return [
            _as_target(frames[view], rgb, outline)
            for view, rgb, outline in zip(views, pixels[::2], pixels[1::2], strict=True)
        ]


def input_landmarks(entry: Entry) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Detected landmarks, clues and triangulated landmarks of all photographs of a capture.

    Raises:
        ShardError: a file is missing or damaged; names shard and capture.
    """
    arrays, *detector_features = read_files(entry, INPUTS, *(f"{k}.clues.npy" for k in range(entry.views)))
    with _named(entry, "all"):
        truth = _finite(arrays)
        told = np.stack([np.load(file, allow_pickle=False) for file in detector_features])
        return truth["detected"], told, truth["landmarks"]


def _as_target(
    to_frame: Float[np.ndarray, "4 4"], rgb: UInt8[np.ndarray, "D D 3"], outline: UInt8[np.ndarray, "D D 2"]
) -> TargetView:
    alpha = np.where(outline[..., 1] > 0, outline[..., 0] / np.float32(255), np.float32(np.nan))
    return TargetView(to_frame, np.full(alpha.shape, np.nan, np.float32), rgb, None, alpha)


def _finite(file: io.BytesIO) -> dict[str, np.ndarray]:
    found = np.load(file, allow_pickle=False)
    arrays = {name: found[name] for name in _ARRAYS}
    if not all(np.isfinite(arrays[name]).all() for name in ("detected", "to_frame", "target_frame")):
        raise ValueError("its frames or landmarks are not finite")
    if np.isinf(arrays["landmarks"]).any():
        raise ValueError("its true landmarks are infinite; unknown ones are NaN")
    return arrays


@contextmanager
def _named(entry: Entry, view: object) -> Iterator[None]:
    """Whatever a damaged file raises becomes one error that names shard and capture."""
    try:
        yield
    except DAMAGED as error:
        raise ShardError(f"{entry.shard}: capture {entry.key}, view {view} is damaged ({error})") from error


def _unknown_samples() -> PointSamples:
    nowhere = np.full((3, 3), np.nan, np.float16)
    return PointSamples(nowhere, nowhere[:, 0], nowhere, np.zeros((3, 3), np.int8), np.zeros((3, 3), np.uint8))
