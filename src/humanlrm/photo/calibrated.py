"""Calibrated photographs: read, undistorted and cut to the person, with exact cameras."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import scipy
import torch
from jaxtyping import Float, UInt8
from PIL import Image

from humanlrm.camera import Cameras

#: Supported distortion coefficients of OpenCV, in OpenCV's order.
COEFFICIENTS = ("k1", "k2", "p1", "p2", "k3")
#: Margin of the cut around the mask, in longer sides of its box.
_CUT_MARGIN = 0.1


@dataclass(frozen=True)
class CaptureView:
    """One photograph with its mask and camera.

    Attributes:
        rgb: sRGB, undistorted.
        alpha: the person's mask.
        camera: one camera without batch axis, float64; its size is the photograph's. Views may differ in size.
    """

    rgb: UInt8[np.ndarray, "H W 3"]
    alpha: UInt8[np.ndarray, "H W"]
    camera: Cameras

    def __post_init__(self) -> None:
        if self.rgb.shape[:2] != self.alpha.shape or self.alpha.shape != tuple(self.camera.size_px):
            raise ValueError(
                f"capture view: photograph {self.rgb.shape[:2]}, mask {self.alpha.shape} and camera "
                f"{tuple(self.camera.size_px)} differ in size; give equal ones"
            )


@dataclass(frozen=True)
class Shot:
    """The files and the calibration of one photograph, as a data set or a cameras file lists them.

    Attributes:
        image: file of the photograph.
        mask: file of the person's mask; ``None``: the image's alpha channel is the mask.
        K: pixels, pixel centres at +0.5.
        w2c: rigid, world of the data set.
        distortion: OpenCV's k1, k2, p1, p2, k3.
        size_px: (height, width) that K belongs to; ``None``: the image's own.
        mask_threshold: mask values above this share of the mask's largest value are the person.
    """

    image: Path
    mask: Path | None
    K: Float[np.ndarray, "3 3"]
    w2c: Float[np.ndarray, "4 4"]
    distortion: Float[np.ndarray, "5"] = field(default_factory=lambda: np.zeros(5))
    size_px: tuple[int, int] | None = None
    mask_threshold: float = 0.0

    def read(
        self,
        world: Float[np.ndarray, "3 3"],
        scale: float = 1.0,
        find_mask: Callable[[UInt8[np.ndarray, "H W 3"]], UInt8[np.ndarray, "H W"]] | None = None,
    ) -> CaptureView:
        """Read and undistort the photograph and its mask.

        Args:
            world: rotation of the data set's world to +Y up.
            scale: metres per unit of the data set's world.
            find_mask: gives the mask of a photograph that has none.

        Raises:
            ValueError: a file is missing, damaged, or of another size than its camera; or there is no mask.
        """
        rgb, alpha = self._read_files()
        height, width = rgb.shape[:2]
        if self.size_px is not None and (height, width) != tuple(self.size_px):
            raise ValueError(f"{self.image} has {width} x {height} px, its camera says {self.size_px[::-1]}")
        if self.distortion.any():
            rgb = np.stack([undistort(rgb[..., c], self.K, self.distortion) for c in range(3)], axis=-1)
            alpha = None if alpha is None else undistort(alpha, self.K, self.distortion)
        if alpha is None:
            if find_mask is None:
                raise ValueError(
                    f"{self.image} has no mask; put one beside it (see docs/datasets.md) or give it as alpha"
                )
            alpha = find_mask(rgb)
        K, w2c = np.array(self.K, np.float64), self.w2c.copy()
        w2c[:3, :3] = self.w2c[:3, :3] @ world.T
        w2c[:3, 3] *= scale
        return CaptureView(rgb, alpha, Cameras(torch.from_numpy(K), torch.from_numpy(w2c), (height, width)))

    def _read_files(self) -> tuple[UInt8[np.ndarray, "H W 3"], UInt8[np.ndarray, "H W"] | None]:
        """Photograph and mask (0 or 255; an alpha channel stays soft). EXIF turns are ignored, as calibrations do."""
        image = open_picture(self.image)
        rgb = np.asarray(image.convert("RGB"))
        if self.mask is None:
            return rgb, np.asarray(image.convert("RGBA").getchannel("A")) if image.has_transparency_data else None
        mask = np.asarray(open_picture(self.mask))
        mask = mask if mask.ndim == 2 else mask[..., :3].max(-1)
        if mask.shape != rgb.shape[:2]:
            raise ValueError(f"{self.mask} has {mask.shape[::-1]} px, its photograph {rgb.shape[1::-1]}")
        return rgb, (mask > self.mask_threshold * mask.max()).astype(np.uint8) * np.uint8(255)


def read_shots(
    shots: Sequence[Shot], world: Float[np.ndarray, "3 3"], side_px: int, scale: float = 1.0
) -> tuple[CaptureView, ...]:
    """Read photographs with masks, undistorted and cut to the person; those with an empty mask are left out.

    Args:
        world, scale: see :meth:`Shot.read`.
        side_px: the longer side of the cuts, if the photographs have that many pixels.
    """
    views = (shot.read(world, scale) for shot in shots)
    return tuple(cut_to_person(view, side_px) for view in views if (view.alpha > 127).any())


def cut_to_person(view: CaptureView, side_px: int) -> CaptureView:
    """Cut a photograph to the person and reduce it to ``side_px``; its camera changes with it exactly."""
    rows, columns = np.flatnonzero((view.alpha > 127).any(1)), np.flatnonzero((view.alpha > 127).any(0))
    grow = round(_CUT_MARGIN * max(np.ptp(rows), np.ptp(columns)) + 1)
    top, left = max(0, rows[0] - grow), max(0, columns[0] - grow)
    bottom = min(view.alpha.shape[0], rows[-1] + 1 + grow)
    right = min(view.alpha.shape[1], columns[-1] + 1 + grow)
    scale = min(1.0, side_px / max(bottom - top, right - left))
    size = (max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale)))
    box = (int(left), int(top), int(right), int(bottom))
    rgb, alpha = (
        np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX, box=box))
        for pixels in (view.rgb, view.alpha)
    )
    to_cut = np.diag([size[0] / (right - left), size[1] / (bottom - top), 1.0])
    to_cut[:2, 2] = -to_cut[0, 0] * left, -to_cut[1, 1] * top
    K = torch.from_numpy(to_cut) @ view.camera.K
    return CaptureView(rgb, alpha, Cameras(K, view.camera.w2c, (size[1], size[0])))


def undistort(
    pixels: UInt8[np.ndarray, "H W"], K: Float[np.ndarray, "3 3"], distortion: Float[np.ndarray, "5"]
) -> UInt8[np.ndarray, "H W"]:
    """Resample a channel for a pinhole camera with the same ``K``; 0 beyond the photograph's border, bilinear."""
    height, width = pixels.shape
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    distorted = distort(np.stack([(x - K[0, 2]) / K[0, 0], (y - K[1, 2]) / K[1, 1]], axis=-1), distortion)
    column, row = distorted[..., 0] * K[0, 0] + K[0, 2] - 0.5, distorted[..., 1] * K[1, 1] + K[1, 2] - 0.5
    resampled = scipy.ndimage.map_coordinates(
        pixels.astype(np.float32), np.stack([row, column]), order=1, mode="constant"
    )
    return (resampled + 0.5).astype(np.uint8)


def distort(points: Float[np.ndarray, "*P 2"], distortion: Float[np.ndarray, "5"]) -> Float[np.ndarray, "*P 2"]:
    """Normalised image points of a pinhole to those of the lens (OpenCV's and COLMAP's model)."""
    k1, k2, p1, p2, k3 = distortion
    x, y = points[..., 0], points[..., 1]
    r2 = x**2 + y**2
    radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
    return np.stack(
        [x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x**2), y * radial + p1 * (r2 + 2 * y**2) + 2 * p2 * x * y], -1
    )


def level_rotation(w2cs: Sequence[Float[np.ndarray, "4 4"]]) -> Float[np.ndarray, "3 3"]:
    """The smallest rotation that turns the cameras' mean up direction to +Y.

    Cameras around a person are held upright; their pitch cancels around the circle.

    Raises:
        ValueError: the cameras have no common up.
    """
    up = -np.mean([w2c[1, :3] for w2c in w2cs], axis=0)
    if np.linalg.norm(up) < 0.5:
        raise ValueError("the cameras have no common up direction; state it with --up")
    up = up / np.linalg.norm(up)
    axis, cosine = np.cross(up, [0.0, 1.0, 0.0]), up[1]
    if cosine < -1 + 1e-9:
        return np.diag([1.0, -1.0, -1.0])
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + cross + cross @ cross / (1 + cosine)


def add_half_pixel(K: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "3 3"]:
    """Intrinsics of OpenCV, which counts pixels from the centre of the first one, to ours, from its corner."""
    out = np.array(K, dtype=np.float64)
    out[:2, 2] += 0.5
    return out


def rigid_matrix(rotation: np.ndarray, translation: np.ndarray, name: str) -> Float[np.ndarray, "4 4"]:
    """A rigid 4x4 matrix.

    Raises:
        ValueError: ``rotation`` is scaled, mirrored or damaged; the message begins with ``name``.
    """
    out = np.eye(4)
    out[:3, :3], out[:3, 3] = rotation, np.reshape(translation, 3)
    bad = np.abs(out[:3, :3] @ out[:3, :3].T - np.eye(3)).max() > 1e-3 or np.linalg.det(out[:3, :3]) < 0
    if not np.isfinite(out).all() or bad:
        raise ValueError(f"{name}: the camera's rotation is not a rotation matrix; give rigid, right-handed cameras")
    return out


def open_picture(path: Path) -> Image.Image:
    """Decode a picture.

    Raises:
        ValueError: missing or damaged.
    """
    try:
        with Image.open(path) as image:
            image.load()
            return image
    except FileNotFoundError as error:
        raise ValueError(f"{path} is missing") from error
    except Exception as error:
        raise ValueError(f"{path} is not a readable picture ({error})") from error
