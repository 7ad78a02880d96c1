"""Printed cloth for garments without a texture worth keeping: plain, striped, checked, dotted, mottled (our choice)."""

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from humanlrm.people.avatar_colour import cloth_colour

_KINDS = ("plain", "stripes", "checks", "plaid", "dots", "mottle")
_SHARES = (0.5, 0.15, 0.08, 0.1, 0.07, 0.1)


def printed(texture: UInt8[np.ndarray, "H H 3"], rng: np.random.Generator) -> UInt8[np.ndarray, "H H 3"]:
    """The garment's shading with a random print instead of its colours."""
    size = len(texture)
    luma = texture.astype(np.float32).mean(axis=2, keepdims=True)
    shading = np.clip((luma + 25) / (float(np.median(luma)) + 25), 0.35, 1.35)
    share = _pattern(str(rng.choice(_KINDS, p=_SHARES)), size, rng)[..., None]
    colour = cloth_colour(rng) * (1 - share) + cloth_colour(rng) * share
    return np.clip(colour * shading, 0, 255).astype(np.uint8)


def _pattern(kind: str, size: int, rng: np.random.Generator) -> Float[np.ndarray, "size size"]:
    """How much of the second colour each texel takes, 0..1."""
    y, x = np.mgrid[:size, :size].astype(np.float32) / size
    if rng.random() < 0.5:
        x, y = y, x
    waves = float(np.exp(rng.uniform(np.log(8), np.log(50))))
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
        coarse = rng.random((int(waves) + 4, int(waves) + 4)).astype(np.float32)
        noise = np.asarray(Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC))
        return np.clip((noise - 0.5) * 6 + 0.5, 0, 1)
    return np.zeros((size, size), np.float32)
