"""Printed cloth for garments without a texture worth keeping: plain, striped, checked,
dotted, mottled, denim, camouflage, flowers, blocks of colour (our choice)."""

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from humanlrm.people.avatars.color import cloth_color

#: Shares of the patterns by what is worn (our choice).
_SHARES: dict[str, dict[str, float]] = {
    "upper": {"plain": 0.42, "stripes": 0.15, "checks": 0.06, "plaid": 0.1, "dots": 0.05, "mottle": 0.05,
              "camouflage": 0.03, "flowers": 0.07, "blocks": 0.07},
    "lower": {"plain": 0.52, "denim": 0.26, "stripes": 0.05, "plaid": 0.05, "mottle": 0.04, "camouflage": 0.05,
              "flowers": 0.03},
    "shoes": {"plain": 1.0},
}  # fmt: skip


def printed(
    texture: UInt8[np.ndarray, "H H 3"], rng: np.random.Generator, worn: str = "upper"
) -> UInt8[np.ndarray, "H H 3"]:
    """The garment's shading with a random print instead of its colours.

    Args:
        worn: "upper", "lower" or "shoes"; other words count as upper.
    """
    size, shares = len(texture), _SHARES.get(worn, _SHARES["upper"])
    luma = texture.astype(np.float32).mean(axis=2, keepdims=True)
    shading = np.clip((luma + 25) / (float(np.median(luma)) + 25), 0.35, 1.35)
    odds = np.array(list(shares.values()))
    kind = str(rng.choice(list(shares), p=odds / odds.sum()))
    staple = 1.0 if kind == "camouflage" else 0.55
    first, second = cloth_color(rng, staple=staple), cloth_color(rng, staple=staple)
    if kind == "denim":
        first = np.array([62, 84, 122]) * rng.uniform(0.4, 1.35)
        second = first * 0.5 + 110
    color = first + (second - first) * _pattern(kind, size, rng)[..., None]
    if kind in ("camouflage", "flowers"):
        third = _noise(size, rng.uniform(16, 34), rng) > rng.uniform(0.55, 0.62)
        color = np.where(third[..., None], cloth_color(rng, staple=staple), color)
    return np.clip(color * shading, 0, 255).astype(np.uint8)


def _pattern(kind: str, size: int, rng: np.random.Generator) -> Float[np.ndarray, "size size"]:
    """How much of the second colour each texel takes, 0..1."""
    y, x = np.mgrid[:size, :size].astype(np.float32) / size
    if rng.random() < 0.5:
        x, y = y, x
    waves = float(np.exp(rng.uniform(np.log(14), np.log(60))))
    across, along = np.sin(2 * np.pi * waves * x), np.sin(2 * np.pi * waves * y)
    width = rng.uniform(-0.6, 0.6)
    if kind == "stripes":
        return (across > width).astype(np.float32)
    if kind == "checks":
        return ((across > 0) ^ (along > 0)).astype(np.float32)
    if kind == "plaid":
        return 0.5 * (across > width) + 0.5 * (along > width)
    if kind == "dots":
        return (across * along > rng.uniform(0.5, 0.8)).astype(np.float32)
    if kind == "mottle":
        return np.clip((_noise(size, waves, rng) - 0.5) * 6 + 0.5, 0, 1)
    if kind == "denim":
        worn = np.clip((_noise(size, 5, rng) - 0.45) * 2, 0, 0.6) * rng.random()
        return worn + 0.25 * rng.random((size, size)).astype(np.float32)
    if kind == "camouflage":
        return (_noise(size, rng.uniform(16, 34), rng) > 0.5).astype(np.float32)
    if kind == "flowers":
        return (_noise(size, rng.uniform(16, 40), rng) > rng.uniform(0.55, 0.7)).astype(np.float32)
    if kind == "blocks":
        return (y > rng.uniform(0.2, 0.8)).astype(np.float32)
    return np.zeros((size, size), np.float32)


def _noise(size: int, cells: float, rng: np.random.Generator) -> Float[np.ndarray, "size size"]:
    """Smooth noise in about 0..1 with so many cells along a side."""
    coarse = rng.random((int(cells) + 4, int(cells) + 4)).astype(np.float32)
    return np.asarray(Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC))
