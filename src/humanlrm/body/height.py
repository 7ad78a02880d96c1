"""Standing height from the landmarks, and the crown of the head."""

import numpy as np
from jaxtyping import Bool, Float

from humanlrm.body.landmarks import INDEX

#: Standing height over the sum of shank, thigh, trunk (hip to neck) and neck-to-head: its median over people of all
#: kinds is printed by ``python -m benchmarks.stature --assets DIR``.
HEIGHT_PER_SEGMENTS = 1.094
#: Radius of the head above the middle of the skull, in lengths of the neck.
_CROWN_RADIUS = 1.3
#: Segments of both legs, side by side.
_SEGMENTS = [(f"{s}_{a}", f"{s}_{b}") for s in ("left", "right") for a, b in (("ankle", "knee"), ("knee", "hip"))]


def standing_height(landmarks: Float[np.ndarray, "J 3"]) -> float:
    """Standing height in box units from the lengths of the body's segments, whatever the pose.

    The longer of both shanks and of both thighs counts: bones that point along the rays are estimated too short.
    """
    first, second = (np.stack([landmarks[INDEX[name]] for name in names]) for names in zip(*_SEGMENTS, strict=True))
    left, right = np.linalg.norm(first - second, axis=1).reshape(2, -1)
    hips = (landmarks[INDEX["left_hip"]] + landmarks[INDEX["right_hip"]]) / 2
    neck, head = landmarks[INDEX["neck"]], landmarks[INDEX["head"]]
    upper = np.linalg.norm(neck - hips) + np.linalg.norm(head - neck)
    return HEIGHT_PER_SEGMENTS * float(np.maximum(left, right).sum() + upper)


def crown_mask(points: Float[np.ndarray, "P 3"], landmarks: Float[np.ndarray, "J 3"]) -> Bool[np.ndarray, "P"]:
    """True for points on the upper half of the head, or not far above it."""
    up = landmarks[INDEX["head"]] - landmarks[INDEX["neck"]]
    from_head = points - landmarks[INDEX["head"]]
    return (from_head @ up > 0) & (np.linalg.norm(from_head, axis=1) < _CROWN_RADIUS * np.linalg.norm(up))
