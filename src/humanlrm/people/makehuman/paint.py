"""Textures of dressed people: skin tones, hair colours, and printed cloth for pieces without a texture of their own."""

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from humanlrm.people.dye import cloth_color, color_between, redye, tint
from humanlrm.people.makehuman.assets import SLOT_OF, GarmentOutfit, GarmentPiece, MakeHumanAssets
from humanlrm.people.makehuman.atlas import ATLAS_PX, SLOTS
from humanlrm.people.procedural.materials import SKIN_TONES


def paint_atlas(
    assets: MakeHumanAssets, outfit: GarmentOutfit, pieces: list[GarmentPiece], rng: np.random.Generator
) -> UInt8[np.ndarray, "H W 3"]:
    """The common texture: skin, iris and every piece in new colours on its tile."""
    atlas = np.full((*ATLAS_PX, 3), 128, np.uint8)
    SLOTS["skin"].paste(atlas, _skin_toned(assets.image(outfit.skin)[..., :3], "darkskinned" in outfit.skin, rng))
    SLOTS["eyes"].paste(atlas, assets.iris(outfit.iris))
    hair_color = rng.random() * (0.35 if "darkskinned" in outfit.skin else 1.0)
    grey = rng.random() < {"skin_old": 0.75, "skin_mid": 0.12}.get(outfit.skin[:8], 0.0)
    for piece in pieces:
        slot = SLOT_OF[piece.kind]
        if piece.kind in ("hair", "eyebrows"):
            image = _hair_colored(piece.texture, hair_color, grey=grey)
        elif piece.kind == "eyes":
            continue
        elif piece.plain or rng.random() < _PRINTED.get(piece.kind, 0.2):
            image = print_cloth(piece.texture, rng, slot)
        else:
            image = redye(piece.texture, piece.dye, rng, strength=float(rng.random() < 0.7))
        SLOTS[slot].paste(atlas, image)
    return atlas


def _skin_toned(skin: UInt8[np.ndarray, "H W 3"], dark: bool, rng: np.random.Generator) -> UInt8[np.ndarray, "H W 3"]:
    """The skin moved toward a random tone: the pack has light and dark skins only, and hardly any between them."""
    tones = np.array(SKIN_TONES, dtype=float) * 255
    shade = rng.beta(1.3, 1.1) * 0.75 + 0.25 if dark else rng.beta(1.1, 1.6) * 0.75
    target = color_between(tones, shade * (len(tones) - 1.001))
    gain = (target / np.median(skin[::16, ::16].reshape(-1, 3), axis=0)) ** 0.8
    table = np.clip(np.arange(256)[:, None] * gain, 0, 255).astype(np.uint8)
    return np.stack([table[:, c][skin[..., c]] for c in range(3)], axis=-1)


#: How often a piece with a texture of its own gets another pattern; a fifth of those not named.
_PRINTED = {"suit": 0.06, "shoes": 0.0, "glasses": 0.0, "hat": 0.1, "coat": 0.1}

#: Natural hair colours from black over brown and red to blond, sRGB.
_HAIR_RANGE = np.array(
    [(24, 20, 18), (46, 32, 24), (78, 52, 34), (112, 76, 48), (120, 58, 34), (168, 128, 84), (204, 172, 122)]
)


def _hair_colored(texture: UInt8[np.ndarray, "H W 3"], place: float, *, grey: bool) -> UInt8[np.ndarray, "H W 3"]:
    """Hair of a natural colour; ``place`` in [0, 1) runs from black to blond, ``grey`` hair is mostly grey."""
    color = color_between(_HAIR_RANGE, place * (len(_HAIR_RANGE) - 1))
    if grey:
        color = 0.25 * color + 0.75 * np.array([168, 166, 162])
    return tint(texture.astype(np.float32), color, brightest=1.8)


#: Shares of the patterns by slot.
_PATTERN_SHARES: dict[str, dict[str, float]] = {
    "upper": {"plain": 0.42, "stripes": 0.15, "checks": 0.06, "plaid": 0.1, "dots": 0.05, "mottle": 0.05,
              "camouflage": 0.03, "flowers": 0.07, "blocks": 0.07},
    "lower": {"plain": 0.52, "denim": 0.26, "stripes": 0.05, "plaid": 0.05, "mottle": 0.04, "camouflage": 0.05,
              "flowers": 0.03},
    "shoes": {"plain": 1.0},
}  # fmt: skip


def print_cloth(
    texture: UInt8[np.ndarray, "H H 3"], rng: np.random.Generator, worn: str = "upper"
) -> UInt8[np.ndarray, "H H 3"]:
    """The garment's shading with a random print instead of its colours.

    Args:
        worn: "upper", "lower" or "shoes"; other words count as upper.
    """
    size, shares = len(texture), _PATTERN_SHARES.get(worn, _PATTERN_SHARES["upper"])
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
    """Share of the second colour in each texel, 0..1."""
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
