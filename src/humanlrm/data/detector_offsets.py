"""Offsets between the detector's landmarks and ours: they define a joint differently, by centimetres.

BlazePose was trained on points that people clicked on photographs; ours are joints of a parametric body. The offset is
a linear combination of a few lengths of the body itself, so it holds in any pose and for any size. It was fitted to
procedural people.
"""

import numpy as np
from jaxtyping import Float

from humanlrm.body.landmarks import INDEX, LANDMARKS

#: The two landmarks whose offsets from a landmark span its limb.
_NEIGHBOURS = {
    "shoulder": ("neck", "elbow"),
    "elbow": ("shoulder", "wrist"),
    "wrist": ("elbow", "hand"),
    "hand": ("elbow", "wrist"),
    "hip": ("shoulder", "knee"),
    "knee": ("hip", "ankle"),
    "ankle": ("knee", "toe"),
    "toe": ("knee", "ankle"),
    "neck": ("head", "nose"),
    "head": ("neck", "nose"),
    "nose": ("neck", "head"),
}
#: Shares of the trunk's width (outward), its length upward and forward, and of the offsets to the two neighbours.
#: Left and right share a row. Printed by
#: ``python -m benchmarks.landmarks --people 44 --first-seed 100 --fit``.
OFFSETS: dict[str, tuple[float, float, float, float, float]] = {
    "shoulder": (0.036, -0.074, -0.008, -0.021, -0.019),
    "elbow": (0.047, 0.035, -0.004, -0.095, -0.019),
    "wrist": (0.057, 0.036, -0.016, 0.001, -0.022),
    "hand": (0.014, 0.035, 0.015, -0.049, -0.048),
    "hip": (0.089, -0.041, -0.028, -0.02, -0.102),
    "knee": (0.024, 0.026, 0.018, -0.006, -0.027),
    "ankle": (0.005, 0.065, 0.006, -0.119, -0.089),
    "toe": (-0.075, 0.051, -0.02, -0.018, -0.023),
    "neck": (0.0, 0.026, -0.047, 0.001, -0.013),
    "head": (0.0, 0.021, -0.054, -0.005, -0.031),
    "nose": (0.0, -0.037, 0.006, -0.006, -0.023),
}


def limb_vectors(points: Float[np.ndarray, "J 3"]) -> Float[np.ndarray, "J 5 3"]:
    """The five vectors per landmark that ``OFFSETS`` scales; NaN where a point that they need is NaN."""
    at = {name: points[index] for name, index in INDEX.items()}
    hips, shoulders = ((at[f"left_{part}"] + at[f"right_{part}"]) / 2 for part in ("hip", "shoulder"))
    leftward = sum(at[f"left_{part}"] - at[f"right_{part}"] for part in ("hip", "shoulder")) / 2
    up = shoulders - hips
    forward = np.cross(leftward, up)
    forward = forward * (np.linalg.norm(up) / np.maximum(np.linalg.norm(forward), 1e-12))
    out = np.empty((len(LANDMARKS), 5, 3))
    for name, index in INDEX.items():
        side, _, part = name.rpartition("_")
        first, second = (at[f"{side}_{n}" if f"{side}_{n}" in at else n] for n in _NEIGHBOURS[part])
        outward = {"left": leftward, "right": -leftward, "": np.zeros(3)}[side]
        out[index] = outward, up, forward, first - at[name], second - at[name]
    return out


def correct_offsets(points: Float[np.ndarray, "J 3"]) -> Float[np.ndarray, "J 3"]:
    """Move landmarks (any unit) from the detector's definition to that of ``landmarks.LANDMARKS``.

    A landmark whose neighbors or trunk are unknown keeps its position.
    """
    shares = np.array([OFFSETS[name.rpartition("_")[2]] for name in LANDMARKS])
    return points + np.nan_to_num(np.einsum("jk,jkc->jc", shares, limb_vectors(points)))


def fit_offsets(
    triangulated: Float[np.ndarray, "N J 3"], true: Float[np.ndarray, "N J 3"]
) -> dict[str, tuple[float, float, float, float, float]]:
    """Fit ``OFFSETS`` by robust ridge regression from triangulated to true landmarks (metres) of N people."""
    vectors = np.stack([limb_vectors(points) for points in triangulated])
    table = {}
    for part in _NEIGHBOURS:
        rows = [index for name, index in INDEX.items() if name.rpartition("_")[2] == part]
        left = vectors[:, rows].transpose(0, 1, 3, 2).reshape(-1, 5)
        right = (true - triangulated)[:, rows].reshape(-1)
        known = np.isfinite(left).all(1) & np.isfinite(right)
        left, right, weight = left[known], right[known], np.ones(int(known.sum()))
        shares = np.zeros(5)
        for _ in range(5):
            shares = np.linalg.solve(left.T @ (left * weight[:, None]) + 0.1 * np.eye(5), left.T @ (right * weight))
            weight = 1 / (1 + ((right - left @ shares) / 0.02) ** 2)
        table[part] = tuple(float(round(share, 3)) + 0.0 for share in shares)
    return table
