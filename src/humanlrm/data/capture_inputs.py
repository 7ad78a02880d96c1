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
from humanlrm.camera import Cameras
from humanlrm.data.capture import Capture, CaptureView
from humanlrm.data.records import DAMAGED, Entry, ShardError, image_bytes, npy_bytes, npz_bytes, read_files
from humanlrm.data.render.camera_sampling import crop_frame, frame_axes
from humanlrm.data.render.light import Light
from humanlrm.data.render.shoot import PointSamples, ViewRecord
from humanlrm.data.targets import TargetView
from humanlrm.frame import CAMERA_DISTANCE, SquareCrop, canonical_camera
from humanlrm.mesh.raycast import pixel_rays
from humanlrm.photo.blazepose import PoseDetector
from humanlrm.photo.crop import assemble_crop

#: File of a record that says it can be trained on.
INPUTS = "inputs.npz"
_ARRAYS = ("detected", "landmarks", "to_frame", "target_frame")
#: Lattice of the visual hull, and its side in sizes of the person.
_LATTICE, _ROOM = 48, 1.4
#: Weight of "people have one size" against "all rays meet", which decides where they do.
_ALIKE = 0.1
#: Half of a person's thickness where no two cameras tell it, in sizes of the person, and how much it may be more until
#: two at a right angle bound it.
_THICK, _BOUND = 0.2, 1.6
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


def visual_hull(capture: Capture) -> Float[np.ndarray, "N 3"]:
    """Lattice points that no mask excludes (world units). Places beyond a photograph's border are excluded, too, unless
    the mask is cut off there.

    Raises:
        ValueError: there are none.
    """
    eyes, rays, angles = (np.stack(part) for part in zip(*map(_mask_ray, capture.views), strict=True))
    middle, depths = _middle(eyes, rays, angles)
    size = (depths * angles).max()
    steps = (np.arange(_LATTICE) + 0.5) / _LATTICE - 0.5
    points = middle + size * _ROOM * np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    # Cameras that face each other see a hull that reaches from one to the other, most of it near the nearer camera.
    told, axes = np.linalg.eigh(np.eye(3) - rays.T @ rays / len(rays))
    points = points[np.abs((points - middle) @ axes[:, 0]) < size * (_THICK + _BOUND * told[0])]
    for view in capture.views:
        pixel, z = _project(view.camera, points)
        # One pixel all around the photograph says whether the person goes on beyond the nearest border pixel.
        around = np.pad(view.alpha > 127, 1, mode="edge")
        column, row = (np.floor(pixel).astype(int) + 1).T.clip(0, np.array(around.shape)[::-1, None] - 1)
        points = points[around[row, column] & (z > 0)]
    if len(points) == 0:
        raise ValueError(f"capture {capture.id}: no place lies in all masks; are cameras and masks of the same views?")
    return points


def _middle(
    eyes: Float[np.ndarray, "V 3"], rays: Float[np.ndarray, "V 3"], angles: Float[np.ndarray, "V"]
) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "V"]]:
    """The point nearest to all rays, and how far along each it lies.

    Rays of two cameras that face each other meet nowhere in particular: there it decides that a person has about one
    size, so that who looks half as large is twice as far away.
    """
    count = len(eyes)
    # Unknown: the point, the depth along each ray, and the size.
    meet = np.zeros((3 * count, 4 + count))
    alike = np.zeros((count, 4 + count))
    for k in range(count):
        meet[3 * k : 3 * k + 3, :3] = -np.eye(3)
        meet[3 * k : 3 * k + 3, 3 + k] = rays[k]
        alike[k, 3 + k], alike[k, -1] = _ALIKE, -_ALIKE / angles[k]
    wanted = np.concatenate([-eyes.ravel(), np.zeros(count)])
    found = np.linalg.lstsq(np.concatenate([meet, alike]), wanted, rcond=None)[0]
    return found[:3], found[3:-1]


def _mask_ray(view: CaptureView) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3"], np.floating]:
    """Where the camera stands, the direction of the mask's middle, and the angle that its longer side takes."""
    rows, columns = np.nonzero(view.alpha > 127)
    c2w, K = view.camera.c2w.numpy(), view.camera.K.numpy()
    ray = np.linalg.inv(K) @ np.array([columns.mean() + 0.5, rows.mean() + 0.5, 1.0])
    ray = c2w[:3, :3] @ ray
    side_px = max(np.ptp(rows), np.ptp(columns)) + 1
    return c2w[:3, 3], ray / np.linalg.norm(ray), side_px / K[0, 0]


def _project(
    camera: Cameras, points: Float[np.ndarray, "N 3"]
) -> tuple[Float[np.ndarray, "N 2"], Float[np.ndarray, "N"]]:
    """Pixels and depths."""
    w2c = camera.w2c.numpy()
    seen = (points @ w2c[:3, :3].T + w2c[:3, 3]) @ camera.K.numpy().T
    return seen[:, :2] / np.where(seen[:, 2:] > 0, seen[:, 2:], 1), seen[:, 2]


def middle_depth(camera: Cameras, crop: SquareCrop, hull: Float[np.ndarray, "N 3"]) -> float:
    """Depth along the crop's middle ray of the hull: (front + back) / 2, averaged over the pixels it covers."""
    pixel, _ = _project(camera, hull)
    forward = -frame_axes(camera, crop)[2]
    depth = (hull - camera.c2w.numpy()[:3, 3]) @ forward
    # Cells of a few lattice steps: each holds points of all depths.
    cell: np.ndarray = np.floor(crop.to_ndc(pixel) * _LATTICE / 4).astype(int)
    _, cells = np.unique(cell, axis=0, return_inverse=True)
    cells = cells.ravel()
    front, back = np.full(cells.max() + 1, np.inf), np.full(cells.max() + 1, -np.inf)
    np.minimum.at(front, cells, depth)
    np.maximum.at(back, cells, depth)
    return float(((front + back) / 2).mean())


def _target(view: CaptureView, crop: SquareCrop, depth: float, side_px: int) -> TargetView:
    """The photograph resampled by a canonical camera that stands where it was taken and looks at the crop's middle: a
    homography. Its field of view is fixed, so it may show less than the crop, or more."""
    axes, eye = frame_axes(view.camera, crop), view.camera.c2w.numpy()[:3, 3]
    to_frame = np.eye(4)
    to_frame[:3, :3] = axes * (CAMERA_DISTANCE / depth)
    to_frame[:3, 3] = -to_frame[:3, :3] @ (eye - depth * axes[2])
    _, rays = pixel_rays(canonical_camera(side_px * _OVERSAMPLING))
    pixel, _ = _project(view.camera, eye + rays.reshape(-1, 3) @ axes)
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
