"""Clothes, shoes and hair as regions of the average body, with thickness and folds.

``cover`` functions are signed: metres (roughly) inside the garment's border, negative outside.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from humanlrm.people.procedural.sites import Sites

Cover = Float[np.ndarray, "N"]


@dataclass(frozen=True)
class Top:
    """Garment of the trunk.

    Attributes:
        kind: its name; sleeve: end of the sleeve, 0 shoulder, 1 elbow, 2 wrist; negative for none.
        hem_m: height of the lower border on the average body (waist about 1.0, crotch 0.80).
        neck_m: radius of the neckline about the base of the neck.
        vee_m: depth of a V below the neckline.
        loose_m: distance of the cloth from the body.
    """

    kind: str
    sleeve: float
    hem_m: float
    neck_m: float
    vee_m: float
    loose_m: float


@dataclass(frozen=True)
class Bottom:
    """Garment of hips and legs: ``length`` is its end, 0 hip, 1 knee, 2 ankle; ``flare_m`` widens it there."""

    kind: str
    length: float
    waist_m: float
    loose_m: float
    flare_m: float


@dataclass(frozen=True)
class Shoes:
    """``height_m`` of the upper border above the ground on the average body; 0 for bare feet."""

    kind: str
    height_m: float
    thick_m: float


@dataclass(frozen=True)
class Hairstyle:
    """``volume_m`` of hair on the head; ``front_m`` and ``nape_m`` are the heights of the hairline there.

    ``kind`` is one of bald, short, medium, long, bun, tail, cap, hat, beanie; ``low_m`` the lower end of long hair.
    """

    kind: str
    volume_m: float
    front_m: float
    nape_m: float
    low_m: float = 1.47

    @property
    def is_hat(self) -> bool:
        return self.kind in ("cap", "hat", "beanie")


@dataclass(frozen=True)
class Tail:
    """The loose lower part of a skirt, a dress or a coat: from ``waist_m`` to the level ``length`` of the legs."""

    kind: str
    waist_m: float
    length: float
    flare_m: float


@dataclass(frozen=True)
class ProceduralOutfit:
    """Everything a person wears. ``tail`` is None for trousers alone; ``hood`` lies on the back of a hoodie."""

    top: Top
    bottom: Bottom
    shoes: Shoes
    hair: Hairstyle
    tail: Tail | None

    @property
    def hood(self) -> bool:
        return self.top.kind == "hoodie" and self.hair.kind in ("bald", "short", "bun", "cap", "beanie")


def sample_outfit(rng: np.random.Generator, sex: str, stride_deg: float, knee_deg: float) -> ProceduralOutfit:
    """Random clothes that the pose allows.

    Args:
        sex: "female" or "male"; changes the odds of skirts and long hair.
        stride_deg: angle between the thighs; nobody wears a tube of cloth beyond 65 degrees.
        knee_deg: the stronger knee's angle; a long skirt does not go with a strongly bent knee.
    """
    top, bottom = _sample_top(rng), _sample_bottom(rng)
    shoes, hair = _sample_shoes(rng), _sample_hair(rng, sex)
    dice, tail = rng.random(), None
    length = rng.uniform(0.45, 1.0) if knee_deg > 50 or rng.random() < 0.55 else rng.uniform(1.0, 1.8)
    flare = rng.uniform(0.0, 0.1) + 0.08 * rng.random() ** 2
    if stride_deg < 65 and dice < (0.36 if sex == "female" else 0.02):
        kind = "dress" if dice < 0.16 and sex == "female" else "skirt"
        waist = float(rng.uniform(1.0, 1.06))
        tail = Tail(kind, waist, float(length), float(flare))
        top = replace(top, kind="dress" if kind == "dress" else top.kind, hem_m=waist - 0.05, loose_m=top.loose_m * 0.4)
        bottom = Bottom(kind, 1.95 if rng.random() < 0.3 else 0.1, waist, 0.0, 0.0)
    elif top.kind == "coat" and stride_deg < 65:
        tail = Tail("coat", 1.02, float(min(length + 0.1, 1.3)), float(0.015 + 0.3 * flare))
        top = replace(top, hem_m=0.94)
    return ProceduralOutfit(top, bottom, shoes, hair, tail)


def _sample_top(rng: np.random.Generator) -> Top:
    kinds = ("t-shirt", "long-sleeve", "tank", "jacket", "coat", "hoodie", "turtleneck", "shirt")
    kind = str(rng.choice(kinds, p=[0.27, 0.19, 0.08, 0.14, 0.07, 0.1, 0.05, 0.1]))
    sleeve = rng.uniform(0.45, 0.95) if kind == "t-shirt" else rng.uniform(1.8, 1.95)
    if kind == "shirt" and rng.random() < 0.3:
        sleeve = rng.uniform(0.6, 1.5)
    sleeve = -0.12 if kind == "tank" else sleeve
    loose = {"jacket": (0.008, 0.032), "coat": (0.012, 0.036), "hoodie": (0.012, 0.036)}.get(kind, (0.002, 0.026))
    hem = rng.uniform(0.80, 0.98)
    neck = 0.02 if kind == "turtleneck" else rng.uniform(0.07, 0.10)
    vee = rng.uniform(0.05, 0.2) if kind not in ("turtleneck", "hoodie") and rng.random() < 0.3 else 0.0
    return Top(kind, sleeve, hem, neck, vee, rng.uniform(*loose))


def _sample_bottom(rng: np.random.Generator) -> Bottom:
    kind = str(rng.choice(["trousers", "shorts"], p=[0.78, 0.22]))
    length = rng.uniform(1.78, 1.97) if kind == "trousers" else rng.uniform(0.45, 1.1)
    flare = rng.uniform(0.0, 0.035) if rng.random() < 0.5 else 0.0
    return Bottom(kind, length, rng.uniform(0.97, 1.05), rng.uniform(0.002, 0.02), flare)


def _sample_shoes(rng: np.random.Generator) -> Shoes:
    kind = str(rng.choice(["shoes", "sneakers", "boots", "barefoot"], p=[0.35, 0.37, 0.17, 0.11]))
    low, high = {"shoes": (0.06, 0.085), "sneakers": (0.075, 0.11), "boots": (0.16, 0.42)}.get(kind, (-0.1, -0.05))
    return Shoes(kind, rng.uniform(low, high), rng.uniform(0.006, 0.011))


def _sample_hair(rng: np.random.Generator, sex: str) -> Hairstyle:
    kinds = ("bald", "short", "medium", "long", "bun", "tail", "cap", "hat", "beanie")
    female = (0.01, 0.14, 0.16, 0.36, 0.09, 0.14, 0.04, 0.03, 0.03)
    male = (0.1, 0.54, 0.13, 0.04, 0.01, 0.02, 0.08, 0.03, 0.05)
    kind = str(rng.choice(kinds, p=female if sex == "female" else male))
    volume = {"short": (0.004, 0.03), "bald": (0.0, 0.0), "bun": (0.005, 0.014), "tail": (0.005, 0.014)}
    volume |= {"cap": (0.016, 0.028), "hat": (0.022, 0.042), "beanie": (0.012, 0.03)}
    nape = {"short": rng.uniform(1.485, 1.52), "cap": 1.585, "hat": 1.6, "beanie": 1.545}.get(kind, 1.48)
    front = 1.63 if kind in ("cap", "hat", "beanie") else rng.uniform(1.628, 1.658)
    low = rng.uniform(1.22, 1.45) if kind == "long" else rng.uniform(1.44, 1.5)
    return Hairstyle(kind, rng.uniform(*volume.get(kind, (0.012, 0.04))), front, nape, low)


def top_cover(top: Top, sites: Sites) -> Cover:
    """Trunk between neckline and hem, and the arms down to the sleeve's end."""
    x, y, z = sites.position.T
    around = np.hypot(x, z - 0.02)
    neckline = np.minimum(np.maximum(around - top.neck_m, 1.43 - y), 1.475 - y - np.maximum(z - 0.09, 0))
    if top.kind == "turtleneck":
        neckline = 1.485 - y - 0.25 * np.clip(z - 0.05, 0, 1)
    if top.vee_m > 0:
        neckline = np.where(z > 0.03, np.minimum(neckline, np.abs(x) - 0.55 * (y - 1.42 + top.vee_m)), neckline)
    trunk = np.minimum(neckline, y - top.hem_m)
    sleeve = (top.sleeve - sites.along_arm) * 0.26
    if top.sleeve < 0:
        return np.where(sites.arm > 0.5, -0.1, np.minimum(trunk, np.maximum(0.128 - np.abs(x), 1.26 - y)))
    return np.where((sites.arm > 0.5) & (np.abs(x) > 0.14), np.minimum(sleeve, 0.1), trunk)


def bottom_cover(bottom: Bottom, sites: Sites) -> Cover:
    """From the waist to the end of the legs."""
    end = (bottom.length - sites.along_leg) * 0.41
    below = np.where(sites.position[:, 1] < 0.86, end, 0.1)
    return np.where(sites.arm > 0.5, -0.1, np.minimum(bottom.waist_m - sites.position[:, 1], below))


def shoes_cover(shoes: Shoes, sites: Sites) -> Cover:
    """Everything below the shoe's upper border."""
    return np.where(sites.leg > 0.5, shoes.height_m - sites.position[:, 1], -0.1)


def hair_cover(hair: Hairstyle, sites: Sites) -> Cover:
    """Above a plane from the front hairline to the nape, corners receding at the temples."""
    x, y, z = sites.position.T
    if hair.kind == "bald":
        return np.full(len(x), -0.1)
    ahead = np.clip((z + 0.03) / 0.17, 0, 1)
    line = hair.nape_m + (hair.front_m - hair.nape_m) * ahead**0.55
    return np.where((sites.head > 0.5) & (sites.eye < 0.5), y - line, -0.1)


def soft(cover: Cover, width_m: float = 0.02) -> Float[np.ndarray, "N"]:
    """0 outside, 1 deeper than ``width_m`` inside, smooth between."""
    t = np.clip(cover / width_m, 0, 1)
    return t * t * (3 - 2 * t)


def folds(rng: np.random.Generator, sites: Sites) -> Float[np.ndarray, "N"]:
    """Folds in [0, 1]: waves about 10 to 40 cm long that bend each other, mostly across limbs and trunk."""
    total = np.zeros(len(sites.cloth), np.float32)
    for _ in range(6):
        wave = (rng.normal(0, 1, 3) * (14, 30, 14)).astype(np.float32)
        total += np.sin(sites.cloth @ wave + np.float32(rng.uniform(0, 6.28)) + np.float32(0.6) * total)
    return 0.5 + 0.5 * np.tanh(total / 2)
