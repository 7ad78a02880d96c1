"""Other views of a subject as targets of renderings, in the frame of the input view."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int8, UInt8

from humanlrm.data.augment import Tone
from humanlrm.frame import canonical_camera
from humanlrm.views import Targets

_MIRROR = np.diag([-1.0, 1.0, 1.0, 1.0]).astype(np.float32)


@dataclass(frozen=True)
class TargetView:
    """One view as its canonical camera sees it.

    Attributes:
        to_frame: subject coordinates (metres) to the view's frame.
        depth: z in that frame where rays enter the person; NaN where they miss.
        rgb, normal: as in ``ViewRecord.target`` and ``ViewRecord.normal``; ``None`` if the shard lacks them.
        alpha: the silhouette in [0, 1], NaN where unknown. ``None``: pixels of known depth.
    """

    to_frame: Float[np.ndarray, "4 4"]
    depth: Float[np.ndarray, "D D"]
    rgb: UInt8[np.ndarray, "D D 3"] | None
    normal: Int8[np.ndarray, "3 D D"] | None
    alpha: Float[np.ndarray, "D D"] | None = None


def relative_camera(
    input_to_frame: Float[np.ndarray, "4 4"], target_to_frame: Float[np.ndarray, "4 4"]
) -> Float[np.ndarray, "4 4"]:
    """From the frame of the input view to the canonical camera of the target view: a similarity ("w2c" with scale)."""
    w2c = canonical_camera(1).w2c.double().numpy()
    return (w2c @ np.linalg.inv(to_input(input_to_frame, target_to_frame).astype(np.float64))).astype(np.float32)


def to_input(
    input_to_frame: Float[np.ndarray, "4 4"], target_to_frame: Float[np.ndarray, "4 4"]
) -> Float[np.ndarray, "4 4"]:
    """From the frame of the target view to the frame of the input view: a similarity."""
    back = np.linalg.inv(target_to_frame.astype(np.float64))
    return (input_to_frame.astype(np.float64) @ back).astype(np.float32)


def build_targets(
    input_to_frame: Float[np.ndarray, "4 4"],
    views: list[TargetView],
    mirrored: bool = False,
    tone: Tone | None = None,
) -> Targets:
    """Build the targets of one sample, without a batch axis.

    Args:
        mirrored: the sample is mirrored; mirror the pictures and the positions of the cameras, too.
        tone: tone curve of the sample's colors.
    """
    parts = [(*_maps(view, tone), to_input(input_to_frame, view.to_frame)) for view in views]
    rgb, alpha, normal, depth, pose = (np.stack(p) for p in zip(*parts, strict=True))
    if mirrored:
        pose = _MIRROR @ pose @ _MIRROR
        rgb, alpha, normal, depth = (a[..., ::-1] for a in (rgb, alpha, normal, depth))
        normal = normal * np.array([-1, 1, 1], np.float32)[:, None, None]
    tensor = lambda a: torch.from_numpy(np.ascontiguousarray(a, dtype=np.float32))  # noqa: E731
    return Targets(*map(tensor, (rgb, alpha, normal, depth, pose)))


def _maps(view: TargetView, tone: Tone | None) -> tuple[np.ndarray, ...]:
    """Colors, alpha, normals and depth of one view."""
    hit = np.isfinite(view.depth)
    alpha = hit.astype(np.float32) if view.alpha is None else view.alpha
    rgb, normal = np.full((2, 3, *hit.shape), np.nan, np.float32)
    if view.rgb is not None:
        pixels = view.rgb / np.float32(255)
        # Colors are unknown where alpha is.
        covered = np.where(np.isnan(alpha), np.nan, alpha > 0)
        rgb = (pixels if tone is None else tone(pixels)).transpose(2, 0, 1) * covered
    if view.normal is not None:
        normal = np.where(hit, view.normal / np.float32(127), np.nan)
        normal = normal / np.linalg.norm(normal, axis=0, keepdims=True).clip(1e-6)
    return rgb, alpha[None], normal, view.depth[None]
