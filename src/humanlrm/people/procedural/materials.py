"""Skin, face and hair, painted on texels of the average body."""

import colorsys

import numpy as np
from jaxtyping import Float

from humanlrm.people.dye import color_between
from humanlrm.people.procedural.cloth import Color, Colors, edge, grain, mix, ripple
from humanlrm.people.procedural.sites import Sites

#: From very light to very dark.
SKIN_TONES = np.array([[0.95, 0.8, 0.7], [0.88, 0.68, 0.55], [0.74, 0.53, 0.4], [0.52, 0.35, 0.25], [0.33, 0.22, 0.16]])
HAIR_COLORS = {
    "black": (0.06, 0.05, 0.045),
    "brown": (0.2, 0.13, 0.08),
    "light brown": (0.4, 0.27, 0.15),
    "blond": (0.75, 0.6, 0.38),
    "grey": (0.55, 0.54, 0.53),
    "red": (0.42, 0.17, 0.07),
}


def skin_tone(rng: np.random.Generator) -> tuple[Color, float]:
    """A tone and its place between lightest 0 and darkest 1."""
    shade = rng.beta(1.1, 1.3)
    tone = color_between(SKIN_TONES, shade * (len(SKIN_TONES) - 1.001))
    return tone * rng.uniform(0.94, 1.06, 3), float(shade)


def blot(
    sites: Sites, centre: tuple[float, float, float], radius: tuple[float, float, float]
) -> Float[np.ndarray, "N"]:
    """A soft spot on both sides of the face: 1 at the centre, 0.37 at the radius."""
    mirrored = np.abs(sites.position[:, 0]), sites.position[:, 1], sites.position[:, 2]
    return np.exp(-sum(((p - c) / r) ** 2 for p, c, r in zip(mirrored, centre, radius, strict=True)))


def paint_skin(
    rng: np.random.Generator, sites: Sites, tone: Color, hair: Color, beard: float, lipstick: bool
) -> Colors:
    """Skin with lips, cheeks, brows and eyes; ``beard`` is the opacity of one."""
    seed = int(rng.integers(1 << 30))
    shade = 1 + 0.035 * ripple(sites.position, seed, 0.07) + 0.012 * grain(len(sites.eye), seed)
    colors = tone.astype(np.float32) * shade[:, None]
    red = tone * (1.0, 0.74, 0.7)
    colors = mix(colors, red, rng.uniform(0.1, 0.5) * blot(sites, (0.045, 1.54, 0.13), (0.022, 0.02, 0.04)))
    colors = mix(colors, red, 0.3 * blot(sites, (0.0, 1.55, 0.16), (0.012, 0.012, 0.02)))
    colors = mix(colors, red, 0.25 * np.clip(sites.hand - 0.5, 0, 1) * (1 + ripple(sites.position, seed + 1, 0.03)))
    lips = np.clip(2 * blot(sites, (0.0, 1.513, 0.155), (0.022, 0.008, 0.03)), 0, 1)
    mouth = np.array([0.6, 0.1, 0.15]) if lipstick else red * 0.85
    if beard > 0:
        colors = mix(colors, hair, _beard(sites, seed) * beard * (lips < 0.3))
    colors = mix(colors, mouth, 0.85 * lips)
    brow = np.clip(2.2 * blot(sites, (0.032, 1.607 + rng.uniform(-0.002, 0.003), 0.14), (0.019, 0.004, 0.05)), 0, 1)
    colors = mix(colors, hair * 0.8, rng.uniform(0.5, 0.9) * brow)
    return _paint_eyes(rng, sites, colors)


def _beard(sites: Sites, seed: int) -> Float[np.ndarray, "N"]:
    """Jaw, chin and upper lip, with a ragged border."""
    x, y, z = sites.position.T
    jaw = 1.525 - 0.25 * np.clip(0.12 - z, 0, 1) - y + 0.25 * np.clip(np.abs(x) - 0.03, 0, 1)
    inside = edge(jaw + 0.003 * ripple(sites.position, seed + 2, 0.012), 0.004) * edge(y - 1.462, 0.008)
    return inside * edge(z - 0.055, 0.006) * (sites.head > 0.5) * np.clip(0.85 + 0.15 * grain(len(x), seed + 3), 0, 1)


def paint_hair(position: Float[np.ndarray, "N 3"], color: Color, seed: int) -> Colors:
    """Strands: noise stretched from the crown downwards."""
    strands = (
        ripple(position * np.array([1, 0.18, 1], np.float32), seed, 0.010) * 0.16
        + ripple(position, seed + 1, 0.05) * 0.1
    )
    tips = 1 + 0.25 * np.clip((1.5 - position[:, 1]) / 0.25, 0, 1)
    shade = (1 + strands) * tips + 0.06 * grain(len(position), seed)
    return (np.asarray(color, np.float32) * shade[:, None]).astype(np.float32)


def hair_color(rng: np.random.Generator, shade: float, age: float) -> tuple[str, Color]:
    """A name and a colour; dark skin goes with dark hair, age 0.85 and more with grey."""
    odds = np.array([0.3 + 3 * shade, 0.4 + shade, 0.22, 0.2, 0.03, 0.05])
    odds[2:] *= max(0.05, 1 - 1.3 * shade)
    odds[4] = 1.5 if age > 0.85 else odds[4]
    name = str(rng.choice(list(HAIR_COLORS), p=odds / odds.sum()))
    return name, np.array(HAIR_COLORS[name]) * rng.uniform(0.8, 1.2)


def _paint_eyes(rng: np.random.Generator, sites: Sites, colors: Colors) -> Colors:
    hue, value = rng.choice([0.07, 0.08, 0.6, 0.3]), rng.uniform(0.15, 0.5)
    iris = np.array(colorsys.hsv_to_rgb(hue, rng.uniform(0.3, 0.7), value))
    ball, index = sites.where(sites.eye > 0.5)
    away = np.hypot(np.abs(ball.position[:, 0]) - 0.030, ball.position[:, 1] - 1.586)
    front = ball.position[:, 2] > 0.123
    painted = np.tile(np.array([0.9, 0.88, 0.86], np.float32), (len(index), 1))
    painted = mix(painted, iris, edge(0.0062 - away, 0.0005) * front)
    colors[index] = mix(painted, np.full(3, 0.02), edge(0.0028 - away, 0.0005) * front)
    return colors
