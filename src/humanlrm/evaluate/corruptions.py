"""Corruptions of photographs, masks and landmarks: the occlusion, robustness and landmark protocols."""

import io
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from PIL import Image
from scipy.ndimage import binary_dilation, binary_erosion, gaussian_filter
from scipy.spatial import KDTree
from torch import Tensor

from humanlrm.body.landmarks import BONE_RADII, BONES, INDEX
from humanlrm.evaluate.plan import PROTOCOLS, Corruption
from humanlrm.evaluate.renderer import EvalPhoto, EvalRenderer, Viewpoint, camera_at, random_lamps
from humanlrm.people.procedural.person import make_person

_BOTTOM, _SIDE, _BOX, _PERSON = tuple(PROTOCOLS["occlusion"])[1:]
_MOVED_LIMBS = {
    f"{side} {limb}": tuple(f"{side}_{part}" for part in parts)
    for side in ("left", "right")
    for limb, parts in {"arm": ("elbow", "wrist", "hand"), "leg": ("knee", "ankle", "toe")}.items()
}


def corrupt_viewpoint(condition: Corruption, view: Viewpoint) -> Viewpoint:
    """The viewpoint under a condition; most conditions keep it."""
    changes = {
        "camera from below deg": {"pitch_deg": -condition.level},
        "camera from above deg": {"pitch_deg": condition.level},
        "field of view deg": {"fov_deg": condition.level},
        "small and off-centre, widths": {"shift": condition.level, "share": 0.5},
    }
    return replace(view, **changes.get(condition.kind, {}))


def corrupt_photo(condition: Corruption, photo: EvalPhoto, rng: np.random.Generator) -> EvalPhoto:
    """Cut or cover the person, or spoil the picture as a bad camera does. Other conditions keep the photograph."""
    kind, level, person = condition.kind, condition.level, photo.alpha > 0.5
    if kind == _BOTTOM:
        rows = np.flatnonzero(person.any(1))
        return _cut(photo, np.s_[: round(rows[-1] + 1 - level * np.ptp(rows))])
    if kind == _SIDE:
        columns = np.sort(np.nonzero(person)[1])
        return _cut(photo, np.s_[:, : int(columns[round((1 - level) * (len(columns) - 1))])])
    if kind == _BOX:
        cover = _box(person, level, rng)
        return _cover(photo, cover, rng.uniform(0, 255, 3) + rng.normal(0, 12, photo.rgb.shape))
    if kind == _PERSON:
        return _cover(photo, *_somebody(person, level, rng))
    pixels = _spoil(photo.rgb, kind, level, rng)
    return photo if pixels is None else replace(photo, rgb=pixels.clip(0, 255).round().astype(np.uint8))


def _spoil(rgb: UInt8[np.ndarray, "H W 3"], kind: str, level: float, rng: np.random.Generator) -> np.ndarray | None:
    pixels = rgb.astype(np.float32)
    if kind == "blur px":
        return gaussian_filter(pixels, (level, level, 0))
    if kind == "noise":
        return pixels + rng.normal(0, 255 * level, pixels.shape)
    if kind == "darkness":
        return 255 * (pixels / 255) * (1 - level)
    if kind == "jpeg quality":
        stream = io.BytesIO()
        Image.fromarray(rgb).save(stream, "JPEG", quality=int(level))
        return np.asarray(Image.open(stream), np.float32)
    return None


def corrupt_mask(condition: Corruption, alpha: Float[np.ndarray, "H W"]) -> Float[np.ndarray, "H W"]:
    """The mask that a method gets."""
    change = {"mask eroded px": binary_erosion, "mask dilated px": binary_dilation}.get(condition.kind)
    if change is None:
        return alpha
    return change(alpha > 0.5, iterations=int(condition.level)).astype(np.float32)


def _cut(photo: EvalPhoto, part: slice | tuple[slice, ...]) -> EvalPhoto:
    """Cut rows or columns at the end, so that the camera's ``K`` stays."""
    rgb, alpha, where = (np.ascontiguousarray(a[part]) for a in (photo.rgb, photo.alpha, photo.where))
    camera = replace(photo.camera, size_px=alpha.shape)
    return replace(photo, rgb=rgb, alpha=alpha, where=where, camera=camera)


def _cover(photo: EvalPhoto, cover: Bool[np.ndarray, "H W"], front: np.ndarray) -> EvalPhoto:
    rgb = np.where(cover[..., None], front.clip(0, 255), photo.rgb).astype(np.uint8)
    return replace(photo, rgb=rgb, alpha=np.where(cover, np.float32(0), photo.alpha))


def _box(person: Bool[np.ndarray, "H W"], share: float, rng: np.random.Generator) -> Bool[np.ndarray, "H W"]:
    """A rectangle around a point of the person that hides ``share`` of the person."""
    row, column = rng.permutation(np.argwhere(person))[0]
    aspect = np.exp(rng.uniform(-0.7, 0.7))
    cover = np.zeros_like(person)
    for half in range(1, max(person.shape)):
        tall, wide = round(half * aspect), round(half / aspect)
        cover[max(0, row - tall) : row + tall + 1, max(0, column - wide) : column + wide + 1] = True
        if (cover & person).sum() >= share * person.sum():
            break
    return cover


def _somebody(
    person: Bool[np.ndarray, "H W"], share: float, rng: np.random.Generator
) -> tuple[Bool[np.ndarray, "H W"], Float[np.ndarray, "H W 3"]]:
    """A procedural person who comes in from the right until ``share`` of the person is hidden: cover and pixels."""
    renderer = EvalRenderer(make_person(int(rng.integers(1 << 20))))
    view = Viewpoint(float(rng.uniform(-60, 60)))
    other = renderer.photograph(camera_at(renderer, view), random_lamps(rng), rng)
    height, width = person.shape
    front, cover = np.zeros((*person.shape, 3), np.float32), np.zeros_like(person)
    for shift in range(width, -1, -4):
        front[:], cover[:] = 0, False
        front[:, shift:] = other.rgb[:height, : width - shift]
        cover[:, shift:] = other.alpha[:height, : width - shift] > 0.5
        if (cover & person).sum() >= share * person.sum():
            break
    return cover, front


@dataclass(frozen=True)
class LandmarkChange:
    """Corrupted landmarks, and the limb that was (or would have been) moved by a step (box units)."""

    landmarks: Float[Tensor, "J 4"]
    limb: tuple[str, ...]
    step: Float[np.ndarray, "3"]


def exact_landmarks(truth: Float[np.ndarray, "J 3"]) -> Float[Tensor, "J 4"]:
    """True landmarks as if detected; unknown ones are missing."""
    is_known = np.asarray(np.isfinite(truth).all(1))
    return torch.from_numpy(np.column_stack([np.where(is_known[:, None], truth, 0), is_known]).astype(np.float32))


def corrupt_landmarks(
    condition: Corruption,
    detected: Float[Tensor, "J 4"],
    truth: Float[np.ndarray, "J 3"] | None,
    cm_per_unit: float,
    rng: np.random.Generator,
    limb_seed: int,
) -> LandmarkChange:
    """Detected landmarks, or true ones: whole, some missing, mirrored in depth, or with a limb moved.

    Args:
        limb_seed: decides the limb and the direction of its step, whatever the kind and level.

    Raises:
        ValueError: the scan's landmarks are not known.
    """
    if truth is None:
        raise ValueError("the landmark protocol needs true landmarks, this scan has none; leave the protocol out")
    kind, level = condition.kind, condition.level
    limb_rng = np.random.default_rng([limb_seed, 5])
    limb = _MOVED_LIMBS[str(limb_rng.choice(list(_MOVED_LIMBS)))]
    step = limb_rng.normal(size=3)
    step *= (level if kind == "limb moved cm" else 10.0) / cm_per_unit / np.linalg.norm(step)
    out = detected.clone() if kind == "detected" else exact_landmarks(truth)
    if kind == "missing, share":
        out[torch.from_numpy(rng.permutation(len(out))[: round(level * len(out))])] = 0
    elif kind == "depth flipped":
        out[:, 2] = -out[:, 2]
    elif kind == "limb moved cm":
        moved = [INDEX[name] for name in limb]
        out[moved, :3] += torch.from_numpy(step.astype(np.float32)) * (out[moved, 3:] > 0)
    return LandmarkChange(out, limb, step)


def limb_samples(
    change: LandmarkChange, truth: Float[np.ndarray, "J 3"], points: Float[np.ndarray, "Q 3"], cm_per_unit: float
) -> tuple[Bool[np.ndarray, "Q"], float]:
    """Surface samples that belong to the limb, and their mean distance (cm) to themselves moved by the step.

    The distance is the error of a surface that follows its landmarks; NaN if no sample belongs to the limb.
    """
    gaps = []
    for (start, end), radius in zip(truth[BONES], BONE_RADII, strict=True):
        direction = end - start
        share = np.clip((points - start) @ direction / max(float(direction @ direction), 1e-12), 0, 1)
        gaps.append(np.linalg.norm(points - start - share[:, None] * direction, axis=1) - radius)
    in_limb = np.asarray(np.isin(BONES[:, 1], [INDEX[name] for name in change.limb]))
    limb = in_limb[np.argmin(gaps, axis=0)]
    if not limb.any():
        return limb, float("nan")
    bound = KDTree(points[limb] + change.step).query(points[limb])[0].mean()
    return limb, float(bound * cm_per_unit)
