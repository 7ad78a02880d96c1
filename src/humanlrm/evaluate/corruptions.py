"""What is done to photographs and landmarks on purpose: the occlusion, robustness and landmark protocols."""

import io
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL import Image
from scipy.ndimage import binary_dilation, binary_erosion, gaussian_filter
from scipy.spatial import KDTree
from torch import Tensor

from humanlrm.body.landmarks import BONE_RADII, BONES, INDEX
from humanlrm.evaluate.renderer import EvalPhoto, EvalRenderer, Viewpoint, camera_at, random_lamps
from humanlrm.people.procedural.person import make_person


@dataclass(frozen=True)
class Corruption:
    """One disturbance: which protocol, of what kind, how strong (the kind's name holds the unit)."""

    protocol: str = "plain"
    kind: str = "clean"
    level: float = 0.0

    @property
    def name(self) -> str:
        return f"{self.protocol}/{self.kind}/{self.level:g}"


#: Levels of every kind, weakest first. "clean" is the undisturbed photograph from the same side; in the landmark
#: protocol it comes with exact landmarks, so that errors that are injected into them are the only ones.
PROTOCOLS: dict[str, dict[str, tuple[float, ...]]] = {
    "plain": {"clean": (0,)},
    "occlusion": {
        "clean": (0,),
        "cut at the bottom, share of height": (0.15, 0.3, 0.5),
        "cut at the side, share of mask": (0.25, 0.5),
        "box, share of mask": (0.1, 0.2, 0.4),
        "person in front, share of mask": (0.1, 0.25, 0.5),
    },
    "robustness": {
        "clean": (0,),
        "blur px": (1, 2, 4),
        "noise": (0.03, 0.06, 0.12),
        "jpeg quality": (50, 20, 10),
        "darkness": (0.5, 0.75, 0.9),
        "mask eroded px": (2, 4, 8),
        "mask dilated px": (2, 4, 8),
        "small and off-centre, widths": (0, 0.1, 0.22),
        "camera from below deg": (10, 20),
        "camera from above deg": (10, 20, 40),
        "field of view deg": (15, 45, 60, 75),
    },
    "landmarks": {
        "clean": (0,),
        "detected": (0,),
        "missing, share": (0.25, 0.5, 1),
        "depth flipped": (1,),
        "limb moved cm": (5, 10, 20),
    },
}
_BOTTOM, _SIDE, _BOX, _PERSON = tuple(PROTOCOLS["occlusion"])[1:]
_SMALL = "small and off-centre, widths"
_LIMBS = {f"{s} {limb}": tuple(f"{s}_{p}" for p in parts) for s in ("left", "right") for limb, parts in
          {"arm": ("elbow", "wrist", "hand"), "leg": ("knee", "ankle", "toe")}.items()}  # fmt: skip


def conditions(protocol: str) -> list[Corruption]:
    """All of a protocol.

    Raises:
        ValueError: there is no such protocol.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"unknown protocol {protocol!r}; there are {', '.join(PROTOCOLS)}")
    return [Corruption(protocol, kind, level) for kind, levels in PROTOCOLS[protocol].items() for level in levels]


def viewpoint(condition: Corruption, view: Viewpoint) -> Viewpoint:
    """Where the photograph is taken from."""
    level = condition.level
    changes = {
        "camera from below deg": {"pitch_deg": -level},
        "camera from above deg": {"pitch_deg": level},
        "field of view deg": {"fov_deg": level},
        _SMALL: {"shift": level, "share": 0.5},
    }
    return replace(view, **changes.get(condition.kind, {}))


def photograph(condition: Corruption, photo: EvalPhoto, rng: np.random.Generator) -> EvalPhoto:
    """The photograph after something stood before the person, or after a bad camera."""
    kind, level = condition.kind, condition.level
    pixels = photo.rgb.astype(np.float32)
    if kind == _BOTTOM:
        rows = np.flatnonzero((photo.alpha > 0.5).any(1))
        return _cut(photo, np.s_[: round(rows[-1] + 1 - level * np.ptp(rows))])
    if kind == _SIDE:
        columns = np.sort(np.nonzero(photo.alpha > 0.5)[1])
        return _cut(photo, np.s_[:, : int(columns[round((1 - level) * (len(columns) - 1))])])
    if kind == _BOX:
        return _behind(
            photo, _box(photo.alpha > 0.5, level, rng), rng.uniform(0, 255, 3) + rng.normal(0, 12, pixels.shape)
        )
    if kind == _PERSON:
        front, cover = _somebody(photo.alpha > 0.5, level, rng)
        return _behind(photo, cover, front)
    if kind == "blur px":
        pixels = gaussian_filter(pixels, (level, level, 0))
    elif kind == "noise":
        pixels = pixels + rng.normal(0, 255 * level, pixels.shape)
    elif kind == "darkness":
        pixels = 255 * (pixels / 255) * (1 - level)
    elif kind == "jpeg quality":
        stream = io.BytesIO()
        Image.fromarray(photo.rgb).save(stream, "JPEG", quality=int(level))
        pixels = np.asarray(Image.open(stream), np.float32)
    else:
        return photo
    return replace(photo, rgb=pixels.clip(0, 255).round().astype(np.uint8))


def mask(condition: Corruption, alpha: Float[np.ndarray, "H W"]) -> Float[np.ndarray, "H W"]:
    """The mask that the method gets."""
    change = {"mask eroded px": binary_erosion, "mask dilated px": binary_dilation}.get(condition.kind)
    if change is None:
        return alpha
    return change(alpha > 0.5, iterations=int(condition.level)).astype(np.float32)


def _cut(photo: EvalPhoto, part: slice | tuple[slice, ...]) -> EvalPhoto:
    """Only rows or columns from the first on: the camera's ``K`` stays."""
    rgb, alpha, where = (np.ascontiguousarray(a[part]) for a in (photo.rgb, photo.alpha, photo.where))
    camera = replace(photo.camera, size_px=alpha.shape)
    return replace(photo, rgb=rgb, alpha=alpha, where=where, camera=camera)


def _behind(photo: EvalPhoto, cover: Bool[np.ndarray, "H W"], front: np.ndarray) -> EvalPhoto:
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
) -> tuple[Float[np.ndarray, "H W 3"], Bool[np.ndarray, "H W"]]:
    """A procedural person who comes in from the right until ``share`` of the person is hidden."""
    other = EvalRenderer(make_person(int(rng.integers(1 << 20))))
    shot = other.photograph(camera_at(other, Viewpoint(float(rng.uniform(-60, 60)))), random_lamps(rng), rng)
    height, width = person.shape
    front, cover = np.zeros((*person.shape, 3), np.float32), np.zeros_like(person)
    for shift in range(width, -1, -4):
        front[:], cover[:] = 0, False
        front[:, shift:], cover[:, shift:] = (
            shot.rgb[:height, : width - shift],
            shot.alpha[:height, : width - shift] > 0.5,
        )
        if (cover & person).sum() >= share * person.sum():
            break
    return front, cover


# ---- landmarks


@dataclass(frozen=True)
class LandmarkChange:
    """Landmarks after a disturbance, and which limb was (or would have been) moved by what step (box units)."""

    landmarks: Float[Tensor, "J 4"]
    limb: tuple[str, ...]
    step: Float[np.ndarray, "3"]


def exact(truth: Float[np.ndarray, "J 3"]) -> Float[Tensor, "J 4"]:
    """True landmarks as if detected; unknown ones are missing."""
    known = np.asarray(np.isfinite(truth).all(1))
    return torch.from_numpy(np.column_stack([np.where(known[:, None], truth, 0), known]).astype(np.float32))


def landmarks(
    condition: Corruption,
    found: Float[Tensor, "J 4"],
    truth: Float[np.ndarray, "J 3"] | None,
    cm_per_unit: float,
    rng: np.random.Generator,
    limb_seed: int,
) -> LandmarkChange:
    """True landmarks, or detected ones, or true ones of which some are missing, depth is mirrored or a limb is moved.

    Raises:
        ValueError: the scan's landmarks are not known.
    """
    if truth is None:
        raise ValueError("the landmark protocol needs true landmarks, this scan has none; leave the protocol out")
    # The limb and the direction are the subject's, whatever the kind and level.
    dice = np.random.default_rng([limb_seed, 5])
    limb = _LIMBS[str(dice.choice(list(_LIMBS)))]
    step = dice.normal(size=3)
    step *= (condition.level if condition.kind == "limb moved cm" else 10.0) / cm_per_unit / np.linalg.norm(step)
    out = found.clone() if condition.kind == "detected" else exact(truth)
    if condition.kind == "missing, share":
        out[torch.from_numpy(rng.permutation(len(out))[: round(condition.level * len(out))])] = 0
    elif condition.kind == "depth flipped":
        out[:, 2] = -out[:, 2]
    elif condition.kind == "limb moved cm":
        moved = [INDEX[name] for name in limb]
        out[moved, :3] += torch.from_numpy(step.astype(np.float32)) * (out[moved, 3:] > 0)
    return LandmarkChange(out, limb, step)


def limb_samples(
    change: LandmarkChange, truth: Float[np.ndarray, "J 3"] | None, points: Float[np.ndarray, "Q 3"], cm_per_unit: float
) -> tuple[Bool[np.ndarray, "Q"], float]:
    """Which surface samples belong to the limb, and the mean distance (cm) from them to themselves moved by the step:
    how far the surface is off if it follows its landmarks."""
    assert truth is not None
    ends = truth[BONES]
    along = ends[:, 1] - ends[:, 0]
    best, owner = np.full(len(points), np.inf), np.zeros(len(points), int)
    for bone, (start, direction, radius) in enumerate(zip(ends[:, 0], along, BONE_RADII, strict=True)):
        share = np.clip((points - start) @ direction / max(float(direction @ direction), 1e-12), 0, 1)
        away = np.linalg.norm(points - start - share[:, None] * direction, axis=1) - radius
        closer = away < best
        best[closer], owner[closer] = away[closer], bone
    mine = np.asarray(np.isin(BONES[:, 1], [INDEX[name] for name in change.limb]))
    limb = mine[owner]
    if not limb.any():
        return limb, float("nan")
    bound = KDTree(points[limb] + change.step).query(points[limb])[0].mean()
    return limb, float(bound * cm_per_unit)
