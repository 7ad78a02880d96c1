"""Clothes, shoes and hair as regions of the average body: where they lie, how thick they are, how they fold.

``cover`` functions are signed: metres (roughly) inside the garment's border, negative outside. All cuts are our choice.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from humanlrm.people.sites import Sites

Cover = Float[np.ndarray, "N"]


@dataclass(frozen=True)
class Top:
    """What covers the trunk.

    Attributes:
        kind: its name.
        sleeve: end of the sleeve, 0 shoulder, 1 elbow, 2 wrist; negative for none.
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
    """What covers hips and legs: ``length`` is its end, 0 hip, 1 knee, 2 ankle; ``flare_m`` widens it there."""

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
class Hair:
    """``volume_m`` of hair on the head; ``front_m`` and ``nape_m`` are the heights of the hairline there."""

    kind: str
    volume_m: float
    front_m: float
    nape_m: float


def sample_top(rng: np.random.Generator) -> Top:
    """A random top."""
    kinds = ("t-shirt", "long-sleeve", "tank", "jacket", "coat", "hoodie", "turtleneck", "shirt", "dress")
    kind = str(rng.choice(kinds, p=[0.26, 0.2, 0.08, 0.13, 0.06, 0.1, 0.05, 0.12, 0.0]))
    sleeve = rng.uniform(0.45, 0.95) if kind == "t-shirt" else rng.uniform(1.8, 1.95)
    sleeve = -0.12 if kind == "tank" else rng.uniform(1.1, 1.5) if kind == "shirt" and rng.random() < 0.3 else sleeve
    low, high = {"jacket": (0.006, 0.03), "coat": (0.012, 0.035), "hoodie": (0.012, 0.035)}.get(kind, (0.002, 0.022))
    hem = rng.uniform(0.5, 0.7) if kind == "coat" else rng.uniform(0.80, 0.98)
    neck = 0.02 if kind == "turtleneck" else rng.uniform(0.075, 0.10)
    vee = rng.uniform(0.05, 0.2) if kind != "turtleneck" and rng.random() < 0.3 else 0.0
    return Top(kind, float(sleeve), float(hem), float(neck), float(vee), float(rng.uniform(low, high)))


def sample_bottom(rng: np.random.Generator) -> Bottom:
    """Random trousers or shorts."""
    kind = str(rng.choice(["trousers", "shorts"], p=[0.78, 0.22]))
    length = rng.uniform(1.78, 1.97) if kind == "trousers" else rng.uniform(0.45, 1.1)
    flare = rng.uniform(0.0, 0.03) if rng.random() < 0.5 else 0.0
    return Bottom(kind, float(length), float(rng.uniform(0.97, 1.05)), float(rng.uniform(0.002, 0.018)), float(flare))


def sample_shoes(rng: np.random.Generator) -> Shoes:
    """Random shoes; 12% bare feet."""
    kind = str(rng.choice(["shoes", "sneakers", "boots", "barefoot"], p=[0.35, 0.36, 0.17, 0.12]))
    low, high = {"shoes": (0.06, 0.085), "sneakers": (0.075, 0.11), "boots": (0.16, 0.42)}.get(kind, (0.0, 1e-6))
    return Shoes(kind, float(rng.uniform(low, high)), float(rng.uniform(0.006, 0.011)))


def sample_hair(rng: np.random.Generator, sex: str) -> Hair:
    """Random hair, longer for women on average."""
    odds = [0.02, 0.18, 0.2, 0.42, 0.1, 0.08] if sex == "female" else [0.1, 0.55, 0.18, 0.05, 0.02, 0.1]
    kind = str(rng.choice(["bald", "short", "medium", "long", "bun", "hat"], p=odds))
    low, high = {"short": (0.004, 0.03), "bald": (0.0, 1e-6), "hat": (0.018, 0.03)}.get(kind, (0.012, 0.045))
    nape = {"short": rng.uniform(1.49, 1.52), "hat": 1.60}.get(kind, 1.47)
    return Hair(kind, float(rng.uniform(low, high)), float(rng.uniform(1.625, 1.655)), float(nape))


def top_cover(top: Top, sites: Sites) -> Cover:
    """Trunk between neckline and hem, and the arms down to the sleeve's end."""
    x, y, z = sites.position.T
    around = np.hypot(x, z - 0.02)
    neckline = np.minimum(np.maximum(around - top.neck_m, 1.43 - y), 1.475 - y)
    if top.kind == "turtleneck":
        neckline = 1.485 - y - 0.25 * np.clip(z - 0.05, 0, 1)
    if top.vee_m > 0:
        neckline = np.where(z > 0.03, np.minimum(neckline, np.abs(x) - 0.55 * (y - 1.42 + top.vee_m)), neckline)
    trunk = np.minimum(neckline, y - top.hem_m)
    sleeve = (top.sleeve - sites.along_arm) * 0.26
    armless = np.minimum(trunk, sleeve) if top.sleeve < 0.2 else trunk
    return np.where((sites.arm > 0.5) & (np.abs(x) > 0.14), np.minimum(sleeve, 0.1), armless)


def bottom_cover(bottom: Bottom, sites: Sites) -> Cover:
    """From the waist to the end of the legs."""
    end = (bottom.length - sites.along_leg) * 0.41
    below = np.where(sites.position[:, 1] < 0.86, end, 0.1)
    return np.where(sites.arm > 0.5, -0.1, np.minimum(bottom.waist_m - sites.position[:, 1], below))


def shoes_cover(shoes: Shoes, sites: Sites) -> Cover:
    """Everything below the shoe's upper border."""
    return np.where(sites.leg > 0.5, shoes.height_m - sites.position[:, 1], -0.1)


def hair_cover(hair: Hair, sites: Sites) -> Cover:
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
    """Low-frequency folds in [0, 1], mostly around limbs and trunk rather than along them."""
    total = np.zeros(len(sites.position))
    for _ in range(7):
        wave = rng.normal(0, 1, 3) * (9, 20, 9)
        total += np.sin(sites.position @ wave + rng.uniform(0, 6.28))
    return 0.5 + 0.5 * np.tanh(total / 2.5)
