"""Outlines that a file brings (alpha), compared with what the detector sees."""

from typing import Literal

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from skimage.morphology import convex_hull_image

from humanlrm.photo.blazepose import PoseDetector

#: Least IoU of an outline with the detector's mask of the person in it.
_LEAST_AGREEMENT = 0.5
#: Fewer opaque pixels are a speck.
_LEAST_AREA_PX = 400
#: Share of its convex hull that a circle, a frame or a vignette fills, and the least IoU of such an outline.
_CONVEX, _LEAST_CONVEX_AGREEMENT = 0.96, 0.85
#: Share of the person outside of the outline from which on it shows all but the person.
_INVERTED = 0.6

#: "person": believe it; "frame": it holds more than the person; "inverted": the person is outside; "nobody".
Verdict = Literal["person", "frame", "inverted", "nobody"]


def judge_outline(
    rgb: UInt8[np.ndarray, "H W 3"],
    alpha: Float32[np.ndarray, "H W"],
    seen: Bool[np.ndarray, "H W"] | None,
    detector: PoseDetector,
) -> Verdict:
    """Compare an outline with what is seen.

    Args:
        seen: pixels of the people who are seen in the opaque part alone; ``None``: nobody is.
    """
    opaque = alpha > 0.5
    if opaque.sum() < _LEAST_AREA_PX:
        return "nobody"
    if seen is not None:
        agreement = _iou(opaque, seen)
        if agreement >= _LEAST_CONVEX_AGREEMENT or (agreement >= _LEAST_AGREEMENT and not _is_convex(opaque)):
            return "person"
    bare = detector.best(rgb)
    if bare is not None:
        own = bare.mask > 0.5
        if (own & ~opaque).sum() > _INVERTED * own.sum():
            return "inverted"
        return "frame"
    return "nobody" if seen is None else "frame"


def _is_convex(opaque: Bool[np.ndarray, "H W"]) -> bool:
    step = max(1, max(opaque.shape) // 256)
    small = opaque[::step, ::step]
    return bool(small.any()) and float(small.sum() / convex_hull_image(small).sum()) > _CONVEX


def _iou(a: Bool[np.ndarray, "H W"], b: Bool[np.ndarray, "H W"]) -> float:
    return float((a & b).sum() / max((a | b).sum(), 1))
