"""Square regions of a photo around people: where they are, their pixels, and back."""

from dataclasses import dataclass, replace

import numpy as np
import scipy
from jaxtyping import Float, Float32, UInt8
from PIL import Image

#: Side of a region's pixels as the landmark net sees them.
PATCH_PX = 256
_ROI_MARGIN = 1.25
#: Two detections are the same person if their heads are closer than this share of the smaller region's side.
_HEAD_DISTANCE = 0.15
#: Sides of the square tiles that are searched when the whole picture shows nobody, as shares of the longer side. Where
#: they show nobody either, tiles follow that are not reduced: in a photo of 2048 px these find people of 60 px.
_TILE_SHARES = (0.6, 0.35, 0.18)


@dataclass(frozen=True)
class Region:
    """An upright square: photo = centre + axes @ (square's right, down), in px; ``head``: the detected box centre."""

    center: Float[np.ndarray, "2"]
    side: float
    axes: Float[np.ndarray, "2 2"]
    score: float
    head: Float[np.ndarray, "2"]

    @classmethod
    def from_points(cls, middle: np.ndarray, top: np.ndarray, head: np.ndarray, score: float) -> "Region":
        """The square whose centre is ``middle`` and whose "up" and size are encoded by ``top`` (MediaPipe's rule)."""
        radius = max(float(np.linalg.norm(top - middle)), 1e-3)
        down = (middle - top) / radius
        return cls(middle, 2 * _ROI_MARGIN * radius, np.stack([[down[1], -down[0]], down], axis=1), score, head)

    def varied(self, scale: float, turn_deg: float) -> "Region":
        """Larger by a factor, and turned."""
        c, s = np.cos(np.deg2rad(turn_deg)), np.sin(np.deg2rad(turn_deg))
        return replace(self, side=self.side * scale, axes=np.array([[c, -s], [s, c]]) @ self.axes)

    def to_photo(self, points: Float[np.ndarray, "P 2"]) -> Float[np.ndarray, "P 2"]:
        """Points in [0, 1]^2 of the square to photo pixels."""
        return self.center + (points - 0.5) @ self.axes.T * self.side

    def is_same_head(self, other: "Region") -> bool:
        """True if both are of one person."""
        return bool(np.linalg.norm(self.head - other.head) <= _HEAD_DISTANCE * min(self.side, other.side))

    def is_far_from(self, other: "Region") -> bool:
        """True if a second look from ``other`` is worth its price."""
        shift = float(np.linalg.norm(self.center - other.center)) / other.side
        turn = float(np.sum(self.axes * other.axes)) / 2
        return bool(shift > 0.06 or not 0.87 < self.side / other.side < 1.15 or turn < np.cos(np.deg2rad(12)))


def tile_sides(longest_px: int, detector_px: int) -> list[int]:
    """Sides of the tiles, large first; small ones are left out where the detector would see them magnified."""
    *coarse, fine = (max(1, round(share * longest_px)) for share in _TILE_SHARES)
    return [*coarse, *sorted({side for side in (fine, detector_px) if detector_px <= side <= fine}, reverse=True)]


def tiles(width: int, height: int, side: int) -> list[tuple[int, int, int, int]]:
    """Square windows of a side that cover the picture and overlap by half."""

    def starts(length: int) -> list[int]:
        rest = max(0, length - side)
        return [round(s) for s in np.linspace(0, rest, int(np.ceil(2 * rest / side)) + 1)]

    return [(x, y, min(x + side, width), min(y + side, height)) for y in starts(height) for x in starts(width)]


def suppress(rois: list[Region]) -> list[Region]:
    """One region per head, certain ones first; neighbours' regions overlap too much for the usual IoU."""
    return _first_of_each(sorted(rois, key=lambda roi: roi.score, reverse=True))


def unite(*looks: list[Region]) -> list[Region]:
    """One region per head that any look has found: the one of largest score x area, with the mean score of all looks.

    Area decides between looks that are equally sure: half a person has a large region, or a small one of the head.
    """
    regions = [roi for look in looks for roi in suppress(look)]
    united = []
    for roi in _first_of_each(sorted(regions, key=lambda roi: roi.score * roi.side**2, reverse=True)):
        scores = [max((r.score for r in look if r.is_same_head(roi)), default=0.0) for look in looks]
        united.append(replace(roi, score=sum(scores) / len(looks)))
    return united


def _first_of_each(rois: list[Region]) -> list[Region]:
    kept: list[Region] = []
    for roi in rois:
        if not any(roi.is_same_head(other) for other in kept):
            kept.append(roi)
    return kept


def warp(rgb: UInt8[np.ndarray, "H W 3"], roi: Region) -> Float32[np.ndarray, "256 256 3"]:
    """The region's pixels in [0, 1], bilinear after a box reduction; the photo's border is repeated outside.

    The reduced pixels tile the photo exactly, so that a mirrored photo is reduced to the mirror image.
    """
    step = max(1, int(roi.side / PATCH_PX))
    size = np.ceil(np.array(rgb.shape[:2]) / step).astype(int)
    image = Image.fromarray(rgb).resize((int(size[1]), int(size[0])), Image.Resampling.BOX) if step > 1 else rgb
    photo = np.asarray(image, dtype=np.float32) / 255
    step_yx = np.array(rgb.shape[:2]) / size
    axes_yx = roi.axes[::-1, ::-1] * (roi.side / PATCH_PX) / step_yx[:, None]
    corner_yx = roi.center[::-1] / step_yx + axes_yx @ np.full(2, 0.5 - PATCH_PX / 2) - 0.5
    # scipy's types know only scalar offsets.
    place: dict = {"offset": corner_yx, "output_shape": (PATCH_PX, PATCH_PX)}
    warp = lambda channel: scipy.ndimage.affine_transform(channel, axes_yx, order=1, mode="nearest", **place)  # noqa: E731
    return np.stack([warp(photo[..., c]) for c in range(3)], axis=-1)


def unwarp(mask: Float32[np.ndarray, "256 256"], roi: Region, shape: tuple[int, ...]) -> Float32[np.ndarray, "H W"]:
    """The region's mask in photo pixels, bilinear, zero outside the region."""
    turn = roi.axes.T * (PATCH_PX / roi.side)
    offset = PATCH_PX / 2 - turn @ roi.center
    affine, size = (*turn[0], offset[0], *turn[1], offset[1]), (shape[1], shape[0])
    image = Image.fromarray(np.ascontiguousarray(mask, dtype=np.float32))
    return np.asarray(image.transform(size, Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR), np.float32)
