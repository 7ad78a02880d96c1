"""Colours: skin, face, cloth patterns and hair, painted on texels of the average body."""

import colorsys

import numpy as np
from jaxtyping import Float, UInt8

from humanlrm.people.sites import Sites

Colour = Float[np.ndarray, "3"]
Colours = Float[np.ndarray, "N 3"]

#: From very light to very dark (our choice).
SKIN_TONES = np.array([[0.95, 0.8, 0.7], [0.88, 0.68, 0.55], [0.74, 0.53, 0.4], [0.52, 0.35, 0.25], [0.33, 0.22, 0.16]])
HAIR_COLOURS = {
    "black": (0.06, 0.05, 0.045),
    "brown": (0.2, 0.13, 0.08),
    "light brown": (0.4, 0.27, 0.15),
    "blond": (0.75, 0.6, 0.38),
    "grey": (0.55, 0.54, 0.53),
    "red": (0.42, 0.17, 0.07),
}


def cloth_colour(rng: np.random.Generator) -> Colour:
    """Any hue; greys, blacks and whites are common, as in a wardrobe."""
    if rng.random() < 0.4:
        return np.full(3, rng.choice([0.06, 0.12, 0.25, 0.5, 0.75, 0.93])) * rng.uniform(0.9, 1.05, 3)
    return np.array(colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.2, 0.95), rng.uniform(0.12, 0.95)))


def skin_tone(rng: np.random.Generator) -> tuple[Colour, float]:
    """A tone and its place between lightest 0 and darkest 1."""
    shade = rng.beta(1.1, 1.3)
    at = shade * (len(SKIN_TONES) - 1.001)
    i = int(at)
    return (SKIN_TONES[i] * (i + 1 - at) + SKIN_TONES[i + 1] * (at - i)) * rng.uniform(0.94, 1.06, 3), float(shade)


def blot(
    sites: Sites, centre: tuple[float, float, float], radius: tuple[float, float, float]
) -> Float[np.ndarray, "N"]:
    """A soft spot on both sides of the face: 1 at the centre, 0.37 at the radius."""
    mirrored = np.abs(sites.position[:, 0]), sites.position[:, 1], sites.position[:, 2]
    return np.exp(-sum(((p - c) / r) ** 2 for p, c, r in zip(mirrored, centre, radius, strict=True)))


def mix(colours: Colours, other: Colours | Colour, amount: Float[np.ndarray, "N"]) -> Colours:
    """``other`` over ``colours`` with opacity ``amount``."""
    return colours + (np.asarray(other, np.float32) - colours) * amount[:, None].astype(np.float32)


def paint_skin(rng: np.random.Generator, sites: Sites, tone: Colour, hair: Colour, beard: float) -> Colours:
    """Skin with lips, cheeks, brows and eyes; ``beard`` is the opacity of one."""
    colours = np.tile(tone.astype(np.float32), (len(sites.position), 1))
    red = tone * (1.02, 0.72, 0.70)
    colours = mix(colours, red, 0.5 * blot(sites, (0.045, 1.54, 0.13), (0.022, 0.02, 0.04)))
    colours = mix(colours, red * 0.85, 0.9 * np.clip(2 * blot(sites, (0.0, 1.513, 0.155), (0.022, 0.008, 0.03)), 0, 1))
    if beard > 0:
        chin = np.clip(
            3 - 3 * np.hypot((sites.position[:, 1] - 1.47) / 0.07, (sites.position[:, 2] - 0.13) / 0.1), 0, 1
        )
        lips = blot(sites, (0.0, 1.513, 0.155), (0.022, 0.008, 0.03))
        colours = mix(colours, hair, beard * chin * (sites.head > 0.5) * (lips < 0.3))
    brow = np.clip(2.2 * blot(sites, (0.032, 1.607, 0.14), (0.020, 0.0045, 0.05)), 0, 1)
    colours = mix(colours, hair * 0.8, 0.85 * brow)
    return _paint_eyes(rng, sites, colours)


def _paint_eyes(rng: np.random.Generator, sites: Sites, colours: Colours) -> Colours:
    iris = np.array(
        colorsys.hsv_to_rgb(rng.choice([0.07, 0.08, 0.6, 0.3]), rng.uniform(0.3, 0.7), rng.uniform(0.15, 0.5))
    )
    ball = sites.eye > 0.5
    away = np.hypot(np.abs(sites.position[:, 0]) - 0.030, sites.position[:, 1] - 1.586)
    front = sites.position[:, 2] > 0.123
    colours = mix(colours, np.array([0.9, 0.88, 0.86]), ball * 1.0)
    colours = mix(colours, iris, np.clip((0.0062 - away) / 0.0008, 0, 1) * (ball & front))
    return mix(colours, np.full(3, 0.02), np.clip((0.0028 - away) / 0.0008, 0, 1) * (ball & front))


def paint_cloth(rng: np.random.Generator, position: Float[np.ndarray, "N 3"]) -> Colours:
    """A random pattern."""
    first, second = cloth_colour(rng), cloth_colour(rng)
    kind = rng.choice(
        ["plain", "stripes", "columns", "checks", "dots", "camouflage"], p=[0.5, 0.15, 0.08, 0.1, 0.07, 0.1]
    )
    x, y, z = position.T
    wave = rng.uniform(25, 160)
    if kind == "stripes":
        amount = (np.sin(y * wave) > rng.uniform(-0.5, 0.6)).astype(np.float32)
    elif kind == "columns":
        amount = (np.sin((x + z) * wave) > 0.4).astype(np.float32)
    elif kind == "checks":
        amount = 0.5 * (np.sin(x * wave) > 0) + 0.5 * (np.sin(y * wave) > 0)
    elif kind == "dots":
        amount = (np.sin(x * wave) * np.sin(y * wave) > 0.5).astype(np.float32)
    elif kind == "camouflage":
        amount = (sum(np.sin(position @ rng.normal(0, 18, 3) + rng.uniform(0, 6)) for _ in range(5)) > 0).astype(
            np.float32
        )
    else:
        amount = np.zeros(len(position), np.float32)
    return mix(np.tile(first.astype(np.float32), (len(position), 1)), second, amount)


def to_bytes(colours: Colours) -> UInt8[np.ndarray, "N 3"]:
    """sRGB in [0, 1] to bytes."""
    return (np.clip(colours, 0, 1) * 255 + 0.5).astype(np.uint8)
