"""The person's mask: refined to the photo's edges, without islands and pin-holes."""

import numpy as np
import scipy
from jaxtyping import Float, Float32, UInt8
from PIL import Image

_GUIDE_PX, _GUIDE_EPS = 640, 1e-4


def refine_mask(rgb: UInt8[np.ndarray, "H W 3"], mask: Float32[np.ndarray, "H W"]) -> Float32[np.ndarray, "H W"]:
    """The soft mask pulled to the photo's own edges, in [0, 1].

    The fast guided filter (He and Sun, arXiv 1505.00996) with the colour photo as guide, radius 2% of the mask's box,
    then a contrast stretch of [0.15, 0.85] to [0, 1] against halos.

    Raises:
        ValueError: photo and mask differ in size.
    """
    if rgb.shape[:2] != mask.shape:
        raise ValueError(f"refine_mask: photo {rgb.shape[:2]} and mask {mask.shape} differ in size; give equal ones")
    top, bottom, left, right = _box(mask > 0.1, margin=0.1)
    guide, coarse = rgb[top:bottom, left:right], mask[top:bottom, left:right]
    size = (right - left, bottom - top)
    scale = min(1.0, _GUIDE_PX / max(size))
    small = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
    small_guide = np.asarray(Image.fromarray(guide).resize(small, Image.Resampling.BOX), dtype=np.float32) / 255
    small_mask = np.asarray(Image.fromarray(coarse).resize(small, Image.Resampling.BOX))
    linear = _guided_coefficients(small_guide, small_mask, radius=max(2, round(0.02 * max(small))))
    grown = [np.asarray(Image.fromarray(c).resize(size, Image.Resampling.BILINEAR)) for c in linear]
    sharp = sum(c * (guide[..., i] / np.float32(255)) for i, c in enumerate(grown[:3])) + grown[3]
    out = np.zeros_like(mask)
    out[top:bottom, left:right] = np.clip((sharp - 0.15) / 0.7, 0, 1)
    return out


def _guided_coefficients(guide: Float32[np.ndarray, "h w 3"], mask: Float32[np.ndarray, "h w"], radius: int):
    """Four images (a_r, a_g, a_b, b): the filtered mask is a . guide + b (He et al., 2013, equations 19-21)."""

    def mean(x: np.ndarray) -> np.ndarray:
        return scipy.ndimage.uniform_filter(x, 2 * radius + 1, mode="nearest", axes=(0, 1))

    mean_guide, mean_mask = mean(guide), mean(mask)
    covariance = {
        (i, j): mean(guide[..., i] * guide[..., j]) - mean_guide[..., i] * mean_guide[..., j] + _GUIDE_EPS * (i == j)
        for i in range(3)
        for j in range(i, 3)
    }
    shared = mean(guide * mask[..., None]) - mean_guide * mean_mask[..., None]
    a = _solve(covariance, shared)
    b = mean_mask - np.einsum("hwc,hwc->hw", a, mean_guide)
    return [np.ascontiguousarray(x, dtype=np.float32) for x in (*np.moveaxis(mean(a), -1, 0), mean(b))]


def _solve(matrix: dict[tuple[int, int], np.ndarray], right: Float[np.ndarray, "h w 3"]) -> np.ndarray:
    """x of ``matrix x = right`` per pixel, for symmetric positive 3 x 3 matrices given by their upper triangle.

    Elimination of all pixels at once (L D L^T); numpy's solver takes them one by one.
    """
    first, rest = matrix[0, 0], right[..., 0]
    low_1, low_2 = matrix[0, 1] / first, matrix[0, 2] / first
    second, between = matrix[1, 1] - low_1 * matrix[0, 1], matrix[1, 2] - low_1 * matrix[0, 2]
    low_3 = between / second
    third = matrix[2, 2] - low_2 * matrix[0, 2] - low_3 * between
    rest_1 = right[..., 1] - low_1 * rest
    z = (right[..., 2] - low_2 * rest - low_3 * rest_1) / third
    y = rest_1 / second - low_3 * z
    x = rest / first - low_1 * y - low_2 * z
    return np.stack([x, y, z], axis=-1)


def keep_main_part(mask: Float32[np.ndarray, "H W"]) -> Float32[np.ndarray, "H W"]:
    """Remove islands and pin-holes from a mask.

    Kept: the largest connected part above 0.5 and every part of at least 3% of its area whose box is nearer than 15% of
    the largest part's longer side. Filled: holes below 0.05% of that area (larger ones, as between arm and trunk, are
    real). The soft rim of kept parts survives. An empty mask comes back empty.
    """
    out = np.zeros_like(mask)
    if (mask > 0.5).any():
        top, bottom, left, right = _box(mask > 0.5, margin=0.05)
        out[top:bottom, left:right] = _clean(mask[top:bottom, left:right])
    return out


def _clean(mask: Float32[np.ndarray, "H W"]) -> Float32[np.ndarray, "H W"]:
    labels, count = _label(mask > 0.5)
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    areas[0] = 0
    boxes = np.array([[s.start, s.stop] for pair in scipy.ndimage.find_objects(labels) for s in pair]).reshape(-1, 2, 2)
    main = int(areas.argmax())
    low, high = boxes[main - 1, :, 0], boxes[main - 1, :, 1]
    gaps = np.maximum(boxes[:, :, 0] - high, low - boxes[:, :, 1]).max(1)
    keep = np.concatenate([[False], (areas[1:] >= 0.03 * areas[main]) & (gaps < 0.15 * (high - low).max())])
    keep[main] = True
    rim = 1 + round(0.01 * (high - low).max())
    near_kept = np.asarray(scipy.ndimage.maximum_filter(keep[labels], 2 * rim + 1), dtype=bool)
    kept = near_kept & ~((labels > 0) & ~keep[labels])
    cleaned = np.where(kept, mask, np.float32(0))
    holes, _ = _label(cleaned <= 0.5)
    small = np.bincount(holes.ravel()) < 0.0005 * areas[main]
    small[0] = False
    return np.where(small[holes], np.float32(1), cleaned)


def _label(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """Connected parts (corners connect), numbered from 1, and their count."""
    labels = np.zeros(mask.shape, np.int32)
    return labels, int(scipy.ndimage.label(mask, np.ones((3, 3)), output=labels))  # pyright: ignore[reportArgumentType]


def _box(mask: np.ndarray, margin: float) -> tuple[int, int, int, int]:
    """(top, bottom, left, right) of the true pixels, grown by ``margin`` of the longer side; everything if none."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if len(rows) == 0:
        return 0, mask.shape[0], 0, mask.shape[1]
    grow = int(np.ceil(margin * max(np.ptp(rows), np.ptp(columns)) + 1))
    top, left = max(0, rows[0] - grow), max(0, columns[0] - grow)
    bottom, right = min(mask.shape[0], rows[-1] + 1 + grow), min(mask.shape[1], columns[-1] + 1 + grow)
    return int(top), int(bottom), int(left), int(right)
