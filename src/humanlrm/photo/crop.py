"""From a segmented photo to the network's input: cut the square of the sample frame."""

from dataclasses import dataclass, replace

import numpy as np
import scipy
import torch
from jaxtyping import Bool, Float, Float32, UInt8
from torch import Tensor

from humanlrm.body.landmarks import COUNT, DETECTOR_FEATURE_CHANNELS, INDEX
from humanlrm.frame import CAMERA_DISTANCE, FOCAL, VIEW_SPAN, SquareCrop, project_ndc, square_crop
from humanlrm.photo.blazepose import DetectedPose
from humanlrm.views import Inputs

#: Largest distance of landmarks from the mask's box, in its longer sides. Where the mask ends at the photo's border the
#: body goes on (a face alone needs this much for the legs); elsewhere something in front may hide a limb.
_ROOM_CUT, _ROOM_WHOLE = 3.0, 0.5
#: Depth from a border, in longer sides of the mask, at which whatever ends at the border is twice as wide as there
#: (``tests/photo/test_same_color.py``).
_TAPER_DEPTH = 0.02


@dataclass(frozen=True)
class SubjectCrop:
    """One person in the square of the sample frame (``frame.py``).

    Attributes:
        rgb: sRGB in [0, 1] with the background still in it; 0 where the square leaves the photo.
        alpha: the person's mask in [0, 1]; 0 where the square leaves the photo.
        known: 1 where the square shows the photo, 0 where it leaves it.
        landmarks: x, y, z in box units and visibility in [0, 1]; all 0 for points that were not found.
        detector_features: see :class:`DetectedPose`; 0 for points that were not found.
        crop: the square in pixels of ``photo_rgb``.
        photo_rgb: the whole photo, sRGB, for baking textures at its own resolution.
        photo_alpha: the person's mask in the photo, in [0, 1].
        truncated: the photo's borders that cut the person, of "left", "top", "right", "bottom"; empty if whole.
        inputs: the network's input, as a batch of one.
        photo_others: pixels of the photo that show other people, who may hide this one; ``None``: there are none.
    """

    rgb: Float[Tensor, "3 S S"]
    alpha: Float[Tensor, "1 S S"]
    known: Float[Tensor, "1 S S"]
    landmarks: Float[Tensor, "J 4"]
    detector_features: Float[Tensor, "J 2 C"]
    crop: SquareCrop
    photo_rgb: UInt8[np.ndarray, "H W 3"]
    photo_alpha: Float32[np.ndarray, "H W"]
    truncated: tuple[str, ...]
    photo_others: Bool[np.ndarray, "H W"] | None = None

    @property
    def inputs(self) -> Inputs:
        image = torch.cat([self.rgb, self.alpha, self.known])
        return Inputs(image[None], self.landmarks[None], self.detector_features[None])

    def expanded_to(self, points: Float[np.ndarray, "N 3"]) -> "SubjectCrop":
        """The same person in a larger square that also holds ``points`` (box units of this one)."""
        old, size_px = self.crop, self.rgb.shape[-1]
        marks = self.landmarks.numpy()
        detected, added = (
            old.to_px(project_ndc(torch.from_numpy(np.asarray(p, np.float32))).numpy()) for p in (marks[:, :3], points)
        )
        crop = square_crop(self.photo_alpha > 0.5, np.concatenate([detected, added]))
        # Lengths in the photo stay, box units grow.
        z = marks[:, 2] * (old.side_px / crop.side_px)
        xy = crop.to_ndc(detected) * ((CAMERA_DISTANCE - z) / FOCAL)[:, None]
        found = (marks[:, 3:] > 0) | marks[:, :3].any(1, keepdims=True)
        placed = np.column_stack([np.column_stack([xy, z]) * found, marks[:, 3]]).astype(np.float32)
        image = _image(self.photo_rgb, self.photo_alpha, crop, size_px)
        return replace(
            self, rgb=image[:3], alpha=image[3:4], known=image[4:], landmarks=torch.from_numpy(placed), crop=crop
        )

    @property
    def others(self) -> Bool[Tensor, "S S"]:
        """Pixels of the square that show other people."""
        if self.photo_others is None:
            return torch.zeros(self.rgb.shape[-2:], dtype=torch.bool)
        return _image(self.photo_rgb, self.photo_others.astype(np.float32), self.crop, self.rgb.shape[-1])[3] > 0.5

    def image_at(self, size_px: int) -> Float[Tensor, "5 {size_px} {size_px}"]:
        """RGB, alpha and known of the same square at another resolution, from the photo."""
        return self.image_of(self.crop, size_px)

    def image_of(self, square: SquareCrop, size_px: int) -> Float[Tensor, "5 {size_px} {size_px}"]:
        """RGB, alpha and known of any square of the photo."""
        return _image(self.photo_rgb, self.photo_alpha, square, size_px)


def assemble_crop(
    rgb: UInt8[np.ndarray, "H W 3"], alpha: Float32[np.ndarray, "H W"], pose: DetectedPose | None, size_px: int
) -> SubjectCrop:
    """Cut photo, mask and pose to the network's input. Pure; photos and training renders share this one path.

    Raises:
        ValueError: the mask is empty or of another size than the photo, or ``size_px`` is not positive.
    """
    if rgb.shape[:2] != alpha.shape or size_px < 1:
        raise ValueError(
            f"assemble_crop: photo {rgb.shape[:2]}, mask {alpha.shape}, size_px={size_px}; "
            "expected equal photo and mask sizes and a positive size_px"
        )
    mask = alpha > 0.5
    truncated = _cut_borders(mask)
    if pose is not None:
        pose = replace(pose, landmarks=_within_reach(pose.landmarks, mask, truncated))
    crop = square_crop(mask, None if pose is None else pose.landmarks[:, :2])
    landmarks = np.zeros((COUNT, 4), np.float32) if pose is None else lift_landmarks(pose, crop)
    detector_features = (
        np.zeros((COUNT, 2, DETECTOR_FEATURE_CHANNELS), np.float32) if pose is None else pose.detector_features
    )
    image = _image(rgb, alpha, crop, size_px)
    return SubjectCrop(
        image[:3],
        image[3:4],
        image[4:],
        torch.from_numpy(landmarks),
        torch.from_numpy(detector_features),
        crop,
        rgb,
        alpha,
        truncated,
    )


def _cut_borders(mask: Bool[np.ndarray, "H W"]) -> tuple[str, ...]:
    """Borders of the photo that cut the person: there the mask is nearly as wide as a little further in.

    A head, a foot or a hand that only touches the border of a tight crop tapers towards it.
    """
    depth = round(_TAPER_DEPTH * max(int(mask.any(0).sum()), int(mask.any(1).sum())))
    views = {"left": mask.T, "top": mask, "right": mask.T[::-1], "bottom": mask[::-1]}
    widths = {name: (rows[0].sum(), rows[min(depth, len(rows) - 1)].sum()) for name, rows in views.items()}
    return tuple(name for name, (edge, inner) in widths.items() if edge > max(1, inner / 2))


def _within_reach(
    landmarks: Float[np.ndarray, "J 4"], mask: Bool[np.ndarray, "H W"], truncated: tuple[str, ...]
) -> Float[np.ndarray, "J 4"]:
    """Put landmarks that leave the mask's box by more than ``_ROOM_*`` on that limit, with visibility 0."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if len(rows) == 0:
        return landmarks
    low, high = np.array([columns[0], rows[0]]), np.array([columns[-1] + 1, rows[-1] + 1])
    longest = (high - low).max()
    room = {n: longest * (_ROOM_CUT if n in truncated else _ROOM_WHOLE) for n in ("left", "top", "right", "bottom")}
    xy = landmarks[:, :2]
    near = np.clip(xy, low - np.array([room["left"], room["top"]]), high + np.array([room["right"], room["bottom"]]))
    visibility = np.where((near == xy).all(1), landmarks[:, 3], 0.0)
    return np.column_stack([near, landmarks[:, 2], visibility])


def _image(
    rgb: UInt8[np.ndarray, "H W 3"], alpha: Float32[np.ndarray, "H W"], crop: SquareCrop, size_px: int
) -> Float[Tensor, "5 {size_px} {size_px}"]:
    """RGB, alpha and known of a square of a photo, in [0, 1]."""
    pixels, known = _resample(np.dstack([rgb, alpha * np.float32(255)]), crop, size_px)
    planes = torch.from_numpy(pixels / np.float32(255)).permute(2, 0, 1).clamp(0, 1)
    return torch.cat([planes, torch.from_numpy(known)[None]])


def _resample(
    pixels: Float32[np.ndarray, "H W C"], crop: SquareCrop, size_px: int
) -> tuple[Float32[np.ndarray, "S S C"], Float32[np.ndarray, "S S"]]:
    """The crop at ``size_px`` by an area filter (linear where magnified), and 1 where it shows the photo."""
    height, width, channels = pixels.shape
    start = np.array(crop.center_px) - crop.side_px / 2
    across = _area_weights(start[0], crop.side_px / size_px, size_px, width)
    down = _area_weights(start[1], crop.side_px / size_px, size_px, height)
    rows = (down @ pixels.reshape(height, -1)).reshape(size_px, width, channels)
    out = across @ np.ascontiguousarray(rows.transpose(1, 0, 2)).reshape(width, -1)
    share = np.outer(down.sum(1), across.sum(1)).astype(np.float32)
    known = (share > 0.5).astype(np.float32)
    filled = out.reshape(size_px, size_px, channels).transpose(1, 0, 2) / np.maximum(share, 1e-6)[..., None]
    return np.ascontiguousarray(filled * known[..., None]), known


def _area_weights(start: float, step: float, size_px: int, length: int) -> "scipy.sparse.csr_matrix":
    """Shares of ``length`` photo pixels in ``size_px`` crop pixels of ``step`` photo pixels; rows sum to 1 inside.

    A crop pixel is a box at least one photo pixel wide; a box of exactly that width interpolates linearly.
    """
    middle, width = start + (np.arange(size_px) + 0.5) * step, max(step, 1.0)
    low, high = (middle - width / 2)[:, None], (middle + width / 2)[:, None]
    pixel = np.arange(length)
    overlap = np.clip(np.minimum(high, pixel + 1) - np.maximum(low, pixel), 0, None) / width
    return scipy.sparse.csr_matrix(overlap.astype(np.float32))


def lift_landmarks(pose: DetectedPose, crop: SquareCrop) -> Float32[np.ndarray, "J 4"]:
    """The pose in box units of the sample frame (``frame.py``): x, y, z (+Z toward the camera), visibility in [0, 1].

    The detector's z is relative to the middle of the hips, the frame's z = 0 is the middle of what the mask shows: z is
    shifted by 0.7 of the mean z of shoulders and hips, as measured. x and y then follow from the pixels by the inverse
    of the canonical camera's perspective.
    """
    ndc = crop.to_ndc(pose.landmarks[:, :2])
    z = pose.landmarks[:, 2] * (VIEW_SPAN / crop.side_px)
    trunk = [INDEX[f"{side}_{part}"] for side in ("left", "right") for part in ("shoulder", "hip")]
    z = z - 0.7 * z[trunk].mean()
    xy = ndc * ((CAMERA_DISTANCE - z) / FOCAL)[:, None]
    return np.column_stack([xy, z, pose.landmarks[:, 3]]).astype(np.float32)
