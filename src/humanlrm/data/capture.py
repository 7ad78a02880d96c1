"""Multi-view captures as training data: calibrated photographs and masks of one person at one moment, and no mesh.

The surface is unknown, so there are no points, depths or normals: renderings are compared with photographs and masks.
The frames need the rough position of the person: the visual hull of the masks gives it. On disk a capture is a
webdataset record beside rendered subjects (``shards.py``), with ``"kind": "capture"`` in its json.
"""

import json
from dataclasses import dataclass, field

import numpy as np
from einops import reduce
from jaxtyping import Float, UInt8
from PIL import Image
from scipy.ndimage import map_coordinates

from humanlrm.body.landmarks import COUNT
from humanlrm.data.records import (
    CAPTURE,
    Entry,
    check_finite,
    encode_image,
    encode_npy,
    encode_npz,
    name_damage,
    read_detector_features,
    read_files,
)
from humanlrm.data.render.light import Light
from humanlrm.data.subject import PointSamples, ViewRecord, crop_arrays
from humanlrm.data.targets import TargetView
from humanlrm.frame import CAMERA_DISTANCE, SquareCrop, canonical_camera, crop_frame, frame_axes
from humanlrm.mesh.raycast import pixel_rays
from humanlrm.photo.blazepose import PoseDetector
from humanlrm.photo.calibrated import CaptureView
from humanlrm.photo.crop import assemble_crop
from humanlrm.photo.hull import middle_depth, project_points, visual_hull

#: The file that makes a capture's record ready for training, and the arrays in it.
INPUTS = "inputs.npz"
_INPUT_ARRAYS = ("detected", "landmarks", "to_frame")
#: Rays of a target's pixel along each side.
_OVERSAMPLING = 3


@dataclass(frozen=True)
class Capture:
    """One person, photographed by V cameras at once.

    Attributes:
        views: at least two; the world is +Y up.
        id, source, licence, tags: as in :class:`humanlrm.data.scan.Scan`; ``Adapter.load`` fills in the first three.
            ``tags["unit"]`` is "m" where the cameras' positions are metric, else "unknown"; ``tags["up"]`` is the
            source of +Y up.
        landmarks: triangulated from the views, world units; NaN where unknown.
    """

    views: tuple[CaptureView, ...]
    id: str = ""
    source: str = ""
    licence: str = ""
    landmarks: Float[np.ndarray, "J 3"] | None = None
    tags: dict[str, str | float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.views) < 2:
            raise ValueError(f"{len(self.views)} views with a person in them; a capture needs at least 2")


@dataclass(frozen=True)
class CaptureInput:
    """One photograph of a capture.

    Attributes:
        inputs: the network's crop; depth is unknown (NaN), and so are landmarks that were not triangulated.
        target: the photograph resampled by a canonical camera at the same place.
    """

    inputs: ViewRecord
    target: TargetView


def prepare_inputs(
    capture: Capture, detector: PoseDetector, image_px: int = 256, depth_px: int = 128
) -> list[CaptureInput]:
    """Prepare all photographs of a capture for training.

    Args:
        image_px: side of the input crop.
        depth_px: side of the targets.

    Raises:
        ValueError: the masks have no hull: cameras and masks do not belong together.
    """
    hull = visual_hull(capture.views, f"capture {capture.id}")
    landmarks = np.full((COUNT, 3), np.nan) if capture.landmarks is None else capture.landmarks
    inputs = []
    for view in capture.views:
        crop = assemble_crop(view.rgb, view.alpha / np.float32(255), detector.best(view.rgb), image_px)
        depth_m = middle_depth(view.camera, crop.crop, hull)
        to_frame = crop_frame(view.camera, crop.crop, depth_m)
        record = ViewRecord(
            **crop_arrays(crop),
            depth=np.full((2, depth_px, depth_px), np.nan, np.float16),
            landmarks=(landmarks @ to_frame[:3, :3].T + to_frame[:3, 3]).astype(np.float32),
            to_frame=to_frame.astype(np.float32),
            light=_no_light(),
        )
        inputs.append(CaptureInput(record, _resample_target(view, crop.crop, depth_m, depth_px)))
    return inputs


def _no_light() -> Light:
    """White ambient light: the surface samples that it would light are unknown."""
    return Light(np.ones(3, np.float32), np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32))


def _resample_target(view: CaptureView, crop: SquareCrop, depth: float, side_px: int) -> TargetView:
    """Resample the photograph by a canonical camera at its place that looks at the crop's middle: a homography.

    The canonical field of view is fixed, so the target may show less than the crop, or more.
    """
    axes, eye = frame_axes(view.camera, crop), view.camera.c2w.numpy()[:3, 3]
    to_frame = np.eye(4)
    to_frame[:3, :3] = axes * (CAMERA_DISTANCE / depth)
    to_frame[:3, 3] = -to_frame[:3, :3] @ (eye - depth * axes[2])
    _, rays = pixel_rays(canonical_camera(side_px * _OVERSAMPLING))
    pixel, _ = project_points(view.camera, eye + rays.reshape(-1, 3) @ axes)
    height, width = view.alpha.shape
    known = np.all((pixel >= 0) & (pixel <= np.array([width, height])), axis=1, keepdims=True)
    channels = np.concatenate([view.rgb, view.alpha[..., None]], axis=-1).astype(np.float32).transpose(2, 0, 1)
    at = (pixel - 0.5).T[::-1]
    rgba = np.stack([map_coordinates(channel, at, order=1, mode="nearest") for channel in channels], -1)
    # Colors of the background must not bleed in: they are weighted by alpha.
    weighted = np.concatenate([rgba[:, :3] * rgba[:, 3:] / 255, rgba[:, 3:], known * 255.0], axis=-1)
    full = weighted.reshape(side_px * _OVERSAMPLING, side_px * _OVERSAMPLING, 5)
    small: np.ndarray = reduce(full, "(h p) (w q) c -> h w c", "mean", p=_OVERSAMPLING, q=_OVERSAMPLING)
    rgb = small[..., :3] / np.maximum(small[..., 3:4] / 255, 1e-3)
    alpha = np.where(small[..., 4] > 254, small[..., 3], np.nan) / 255
    return _as_target(to_frame.astype(np.float32), (rgb.clip(0, 255) + 0.5).astype(np.uint8), alpha.astype(np.float32))


def _as_target(
    to_frame: Float[np.ndarray, "4 4"], rgb: UInt8[np.ndarray, "D D 3"], alpha: Float[np.ndarray, "D D"]
) -> TargetView:
    return TargetView(to_frame, np.full(alpha.shape, np.nan, np.float32), rgb, None, alpha)


# ---- on disk


def encode_capture(capture: Capture, key: str) -> dict[str, str | bytes]:
    """Encode a capture as the files of one webdataset sample. ``key`` must not contain a dot."""
    about = {name: getattr(capture, name) for name in ("id", "source", "licence", "tags")}
    record: dict[str, str | bytes] = {"__key__": key}
    record["json"] = json.dumps(about | {"kind": CAPTURE, "views": len(capture.views)}).encode()
    for k, view in enumerate(capture.views):
        record[f"{k}.webp"] = encode_image(view.rgb, "WEBP", quality=90, method=2)
        record[f"{k}.mask.png"] = encode_image(view.alpha, "PNG", compress_level=3)
    cameras = {name: np.stack([getattr(v.camera, name).numpy() for v in capture.views]) for name in ("K", "w2c")}
    landmarks = {} if capture.landmarks is None else {"landmarks": capture.landmarks}
    record["views.npz"] = encode_npz(**cameras, **landmarks)
    return record


def encode_inputs(inputs: list[CaptureInput]) -> dict[str, bytes]:
    """Encode the files that make a capture's record ready for training."""
    files: dict[str, bytes] = {}
    for k, view in enumerate(inputs):
        shown, target = view.inputs, view.target
        assert shown.detector_features is not None
        assert target.rgb is not None
        assert target.alpha is not None
        known = np.isfinite(target.alpha)
        outline = np.stack([np.nan_to_num(target.alpha) * 255 + 0.5, known * 255], axis=-1).astype(np.uint8)
        masks = np.stack([shown.alpha, shown.known], axis=-1)
        files[f"{k}.input.webp"] = encode_image(shown.rgb, "WEBP", quality=90, method=2)
        files[f"{k}.input.png"] = encode_image(masks, "PNG", compress_level=3)
        files[f"{k}.target.webp"] = encode_image(target.rgb, "WEBP", quality=90, method=2)
        files[f"{k}.target.png"] = encode_image(outline, "PNG", compress_level=3)
        files[f"{k}.clues.npy"] = encode_npy(shown.detector_features)
    arrays = {name: np.stack([getattr(view.inputs, name) for view in inputs]) for name in _INPUT_ARRAYS}
    files[INPUTS] = encode_npz(**arrays, target_frame=np.stack([view.target.to_frame for view in inputs]))
    return files


def load_input(entry: Entry, view: int) -> tuple[ViewRecord, PointSamples]:
    """Load one photograph of a capture, with samples of its unknown surface (NaN).

    Raises:
        ShardError: a file is missing or damaged; names shard and capture.
    """
    picture, mask, outline = read_files(
        entry, *(f"{view}.{name}" for name in ("input.webp", "input.png", "target.png"))
    )
    arrays = load_input_arrays(entry)
    with name_damage(entry, f"view {view}"):
        rgb, masks = np.asarray(Image.open(picture)), np.asarray(Image.open(mask))
        side = Image.open(outline).size[0]
        record = ViewRecord(
            rgb,
            masks[..., 0],
            masks[..., 1],
            np.full((2, side, side), np.nan, np.float16),
            light=_no_light(),
            detector_features=read_detector_features(entry, view),
            **{name: arrays[name][view] for name in _INPUT_ARRAYS},
        )
        unknown = np.full((3, 3), np.nan, np.float16)
        nothing = np.zeros((3, 3), np.int8)
        return record, PointSamples(unknown, unknown[:, 0], unknown, nothing, nothing.astype(np.uint8))


def load_input_targets(entry: Entry, views: list[int]) -> list[TargetView]:
    """Load some photographs of a capture as targets.

    Raises:
        ShardError: a file is missing or damaged; names shard and capture.
    """
    files = read_files(entry, *(f"{view}.target.{form}" for view in views for form in ("webp", "png")))
    frames, targets = load_input_arrays(entry)["target_frame"], []
    with name_damage(entry, f"views {views}"):
        pixels = [np.asarray(Image.open(file)) for file in files]
        for view, rgb, outline in zip(views, pixels[::2], pixels[1::2], strict=True):
            alpha = np.where(outline[..., 1] > 0, outline[..., 0] / np.float32(255), np.float32(np.nan))
            targets.append(_as_target(frames[view], rgb, alpha))
        return targets


def load_input_arrays(entry: Entry) -> dict[str, np.ndarray]:
    """Load detected and triangulated landmarks and the frames of all photographs of a capture.

    Raises:
        ShardError: the file is missing or damaged; names shard and capture.
    """
    (file,) = read_files(entry, INPUTS)
    with name_damage(entry, INPUTS):
        stored = np.load(file, allow_pickle=False)
        arrays = {name: stored[name] for name in (*_INPUT_ARRAYS, "target_frame")}
        check_finite(arrays, "detected", "to_frame", "target_frame")
        return arrays
