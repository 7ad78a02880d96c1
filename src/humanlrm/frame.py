"""The frame of a sample: box units and the input camera, defined only by what the input view shows.

The world of a sample has glTF axes: +Y up, +Z toward the input camera, box [-1, 1]^3. The square crop of the input
view shows ``VIEW_SPAN`` units in the plane z = 0, of which the person's longest side takes ``SUBJECT_SPAN``; the camera
stands at (0, 0, CAMERA_DISTANCE) and looks along -Z. z = 0 is the mask average of (front + back depth)/2.
"""

from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from humanlrm.camera import Cameras

SUBJECT_SPAN = 1.8
VIEW_SPAN = 2.1
CAMERA_DISTANCE = 4.0
#: Side of the square around a head, in sides of the crop.
HEAD_SQUARE_SHARE = 0.25
#: Focal length in half image widths.
FOCAL = CAMERA_DISTANCE / (VIEW_SPAN / 2)


@dataclass(frozen=True)
class SquareCrop:
    """A square of a photo in photo pixels (it may reach beyond the photo's border).

    Attributes:
        center_px: (x, y) of its centre.
        side_px: its side, which spans ``VIEW_SPAN`` box units in the plane z = 0.
    """

    center_px: tuple[float, float]
    side_px: float

    def to_ndc(self, points_px: Float[np.ndarray, "*P 2"]) -> Float[np.ndarray, "*P 2"]:
        """Photo pixels to [-1, 1]^2 of the crop, x right, y UP."""
        centred = (np.asarray(points_px) - np.array(self.center_px)) * (2 / self.side_px)
        return centred * np.array([1.0, -1.0])

    def to_px(self, ndc: Float[np.ndarray, "*P 2"]) -> Float[np.ndarray, "*P 2"]:
        """Inverse of :meth:`to_ndc`."""
        return np.asarray(ndc) * np.array([1.0, -1.0]) * (self.side_px / 2) + np.array(self.center_px)


def square_crop(mask: Bool[np.ndarray, "H W"], points_px: Float[np.ndarray, "J 2"] | None = None) -> SquareCrop:
    """The crop of the union of the mask's and the landmarks' box, centred, longest side 1.8 units.

    Raises:
        ValueError: the mask is empty.
    """
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if len(rows) == 0:
        raise ValueError("square_crop: the person's mask is empty; there is nothing to reconstruct")
    low = np.array([columns[0], rows[0]], dtype=np.float64)
    high = np.array([columns[-1] + 1, rows[-1] + 1], dtype=np.float64)
    if points_px is not None and len(points_px):
        low, high = np.minimum(low, points_px.min(0)), np.maximum(high, points_px.max(0))
    center, longest = (low + high) / 2, float((high - low).max())
    return SquareCrop((float(center[0]), float(center[1])), longest * VIEW_SPAN / SUBJECT_SPAN)


def square_around(crop: SquareCrop, point: Float[np.ndarray, "3"], share: float = HEAD_SQUARE_SHARE) -> SquareCrop:
    """The square of the photo around a point (box units) that is ``share`` times as large as the crop."""
    middle = crop.to_px(project_ndc(torch.from_numpy(np.asarray(point, np.float64))).numpy())
    return SquareCrop((float(middle[0]), float(middle[1])), crop.side_px * share)


def canonical_camera(size_px: int) -> Cameras:
    """The input camera of every sample: at (0, 0, 4), looking along -Z, one square image of ``size_px``."""
    focal_px = FOCAL * size_px / 2
    K = torch.tensor([[focal_px, 0.0, size_px / 2], [0.0, focal_px, size_px / 2], [0.0, 0.0, 1.0]])
    w2c = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]))
    w2c[2, 3] = CAMERA_DISTANCE
    return Cameras(K, w2c, (size_px, size_px))


def crop_camera(camera: Cameras, crop: SquareCrop, size_px: int) -> Cameras:
    """The camera of a photograph's square crop, which may reach beyond the photograph."""
    scale = size_px / crop.side_px
    K = camera.K.clone()
    K[:2] *= scale
    K[:2, 2] -= scale * (torch.tensor(crop.center_px, dtype=K.dtype) - crop.side_px / 2)
    return Cameras(K, camera.w2c, (size_px, size_px))


def frame_axes(camera: Cameras, crop: SquareCrop) -> Float[np.ndarray, "3 3"]:
    """Right, up and backward (rows, subject coordinates) of a sample's frame: it looks along the crop's middle ray."""
    rotation = camera.c2w.numpy()[:3, :3]
    ray = np.array([*(np.array(crop.center_px) - camera.K[:2, 2].numpy()) / float(camera.K[0, 0]), 1.0])
    forward = rotation @ (ray / np.linalg.norm(ray))
    up = -rotation[:, 1] - forward * (-rotation[:, 1] @ forward)
    up /= np.linalg.norm(up)
    return np.stack([np.cross(forward, up), up, -forward])


def crop_frame(camera: Cameras, crop: SquareCrop, depth_m: float) -> Float[np.ndarray, "4 4"]:
    """Subject coordinates to a crop's frame (box units); its origin is ``depth_m`` along the crop's middle ray."""
    axes, eye, focal_px = frame_axes(camera, crop), camera.c2w.numpy()[:3, 3], float(camera.K[0, 0])
    ray = (np.array(crop.center_px) - camera.K[:2, 2].numpy()) / focal_px
    box_unit_m = crop.side_px * depth_m / (focal_px * np.hypot(1, np.linalg.norm(ray))) / VIEW_SPAN
    out = np.eye(4)
    out[:3, :3] = axes / box_unit_m
    out[:3, 3] = -out[:3, :3] @ (eye - depth_m * axes[2])
    return out


def project_ndc(points: Float[Tensor, "*P 3"]) -> Float[Tensor, "*P 2"]:
    """Box-unit points to [-1, 1]^2 of the input view, x right, y UP."""
    return points[..., :2] * (FOCAL / (CAMERA_DISTANCE - points[..., 2:]))


def unproject_ndc(ndc: Float[Tensor, "*P 2"], z: Float[Tensor, "*P"]) -> Float[Tensor, "*P 3"]:
    """Inverse of :func:`project_ndc` at height ``z`` toward the camera (box units)."""
    xy = ndc * ((CAMERA_DISTANCE - z) / FOCAL)[..., None]
    return torch.cat([xy, z[..., None]], dim=-1)


def sample_plane(plane: Float[Tensor, "B C H W"], places: Float[Tensor, "B P 2"]) -> Float[Tensor, "B P C"]:
    """Bilinear look-up at (right, up) in [-1, 1]; the first row is up = +1; the border value goes on outside."""
    grid = torch.stack([places[..., 0], -places[..., 1]], dim=-1)[:, :, None]
    values = nn.functional.grid_sample(plane, grid, align_corners=False, padding_mode="border")
    return rearrange(values, "B C P 1 -> B P C")
