"""Cloth: random colours and patterns, and the details sewn on (seams, buttons, belts, prints)."""

import colorsys
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

Color = Float[np.ndarray, "3"]
Colors = Float[np.ndarray, "N 3"]
Amount = Float[np.ndarray, "N"]

#: Probability of each pattern.
PATTERNS = {"plain": 0.42, "heather": 0.08, "denim": 0.06, "stripes": 0.1, "pinstripes": 0.04, "checks": 0.04,
            "plaid": 0.06, "dots": 0.04, "camouflage": 0.05, "floral": 0.05, "gradient": 0.03,
            "block": 0.03}  # fmt: skip
#: Common colours of clothes: navy, denim, beige, olive, wine.
_COMMON = np.array([[0.13, 0.17, 0.3], [0.28, 0.36, 0.5], [0.66, 0.57, 0.43], [0.35, 0.34, 0.22], [0.35, 0.12, 0.14]])


def fabric_color(rng: np.random.Generator) -> Color:
    """Any hue; greys, blacks, whites and navy are common, as in a wardrobe."""
    kind = rng.random()
    if kind < 0.38:
        grey = np.full(3, rng.choice([0.07, 0.12, 0.25, 0.5, 0.75, 0.92]))
        return np.clip(grey * rng.uniform(0.9, 1.08, 3), 0, 1).astype(np.float32)
    if kind < 0.52:
        return np.clip(rng.choice(_COMMON) * rng.uniform(0.8, 1.2, 3), 0, 1).astype(np.float32)
    vivid = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.15, 0.9), rng.uniform(0.15, 0.95))
    return np.array(vivid, np.float32)


def mix(colors: Colors, other: Colors | Color, amount: Amount) -> Colors:
    """``other`` over ``colors`` with opacity ``amount``."""
    touched = np.flatnonzero(amount)
    mixed, other = colors.copy(), np.asarray(other, np.float32)
    below, above = colors[touched], other if other.ndim == 1 else other[touched]
    mixed[touched] = below + (above - below) * amount[touched, None]
    return mixed


def edge(signed: Amount, width: float) -> Amount:
    """0 below ``-width``, 1 above ``width``: a border without jagged texels."""
    return np.clip(0.5 + signed / (2 * width), 0, 1)


def ripple(position: Float[np.ndarray, "N 3"], seed: int, size_m: float, waves: int = 4) -> Amount:
    """Smooth noise in about [-1, 1] with blobs of ``size_m``: a few random plane waves, bent by each other."""
    rng = np.random.default_rng(seed)
    total = np.zeros(len(position), np.float32)
    for _ in range(waves):
        wave = (rng.normal(0, 2.2 / size_m, 3)).astype(np.float32)
        total = total + np.sin(position @ wave + np.float32(rng.uniform(0, 6.28)) + np.float32(0.8) * total)
    return total / np.float32(0.75 * waves**0.5 * 1.4)


def grain(count: int, seed: int) -> Amount:
    """White noise with deviation 1."""
    return np.random.default_rng(seed).standard_normal(count, dtype=np.float32)


def _unrolled(position: Float[np.ndarray, "N 3"], axis: Amount | float) -> Float[np.ndarray, "N 3"]:
    """``position`` with x replaced by the arc around the axis of the limb, 0 in front."""
    x, y, z = position.T
    arc = (0.15 - 0.5 * np.abs(axis)) * np.arctan2(x - axis, z - np.float32(0.01))
    return np.stack([arc.astype(np.float32), y, z], axis=1)


@dataclass(frozen=True)
class Cloth:
    """A fabric that paints any place; equal places get equal colours, on body and skirt alike.

    Attributes:
        kind: one of ``PATTERNS``.
        colors: ground and two others.
        wave: spatial frequency, radians per metre.
        phase: shift of the pattern.
        seed: of its noise.
        worn: strength of stains, folds' shade and grain.
    """

    kind: str
    colors: tuple[Color, Color, Color]
    wave: float
    phase: float
    seed: int
    worn: float

    def paint(self, position: Float[np.ndarray, "N 3"], axis: Amount | float = 0.0) -> Colors:
        """Colours at places of the average body with hanging arms, metres; ``axis`` as in ``Sites``.

        Patterns with columns run around the limb or trunk, so that they do not smear on its sides.
        """
        painted, unrolled = np.tile(self.colors[0], (len(position), 1)), _unrolled(position, axis)
        if self.kind != "plain":
            painted = mix(painted, self.colors[1], self._amount(unrolled))
        if self.kind == "plaid":
            x, y, _ = unrolled.T
            lines = (edge(np.sin(place * self.wave + 1) - 0.93, 0.03) for place in (x, y))
            painted = mix(painted, self.colors[2], 0.8 * np.maximum(*lines))
        if self.kind in ("camouflage", "floral"):
            painted = mix(painted, self.colors[2], edge(ripple(position, self.seed + 1, 3 / self.wave) - 0.45, 0.08))
        shade = 1 + self.worn * (0.06 * ripple(position, self.seed + 2, 0.09) + 0.025 * grain(len(position), self.seed))
        return painted * shade[:, None]

    def _amount(self, position: Float[np.ndarray, "N 3"]) -> Amount:
        """Opacity of the second colour."""
        x, y, z = position.T
        wave, phase, soft = np.float32(self.wave), np.float32(self.phase), self.wave * 0.003
        if self.kind == "stripes":
            return edge(np.sin(y * wave + phase) - np.sin(3 * phase), soft)
        if self.kind == "pinstripes":
            return 0.8 * edge(np.sin(x * (60 + wave) + phase) - 0.85, 0.15)
        if self.kind == "checks":
            return edge(np.sin(x * wave) * np.sin(y * wave + phase), soft)
        if self.kind == "plaid":
            return 0.5 * edge(np.sin(x * wave) - 0.2, soft) + 0.5 * edge(np.sin(y * wave + phase) - 0.2, soft)
        if self.kind == "dots":
            return edge(np.sin(x * wave) * np.sin(y * wave + phase) - 0.55, soft)
        if self.kind in ("camouflage", "floral"):
            return edge(ripple(position, self.seed, 3 / self.wave) - 0.1, 0.06)
        if self.kind == "gradient":
            return np.clip((y - 0.75) / 0.7, 0, 1) ** (1 + abs(np.sin(phase)))
        if self.kind == "block":
            return edge(y - 1.15 - 0.2 * np.sin(phase), 0.004)
        if self.kind == "denim":
            front = np.exp(-(((y - 0.68) / 0.14) ** 2)) * (z > 0.03)
            return 0.35 * front + np.clip(0.12 * grain(len(x), self.seed + 7) + 0.1, 0, 1)
        return np.clip(0.3 + 0.25 * grain(len(x), self.seed + 7), 0, 1)


def sample_cloth(rng: np.random.Generator, kind: str | None = None) -> Cloth:
    """A random fabric, of a given kind if one is named."""
    odds = np.array(list(PATTERNS.values()))
    picked = str(rng.choice(list(PATTERNS), p=odds / odds.sum()))
    kind = kind or picked
    colors = fabric_color(rng), fabric_color(rng), fabric_color(rng)
    if kind in ("heather", "denim"):
        lighter = np.clip(colors[0] + rng.uniform(0.08, 0.25), 0, 1).astype(np.float32)
        colors = (colors[0], lighter, colors[2])
    if kind == "denim":
        blue = np.array([0.16, 0.22, 0.36], np.float32) * np.float32(rng.uniform(0.5, 1.9))
        colors = (blue, np.clip(blue * 1.5 + 0.08, 0, 1).astype(np.float32), colors[2])
    low, high = {"camouflage": (20, 45), "floral": (60, 130), "dots": (60, 160)}.get(kind, (30, 170))
    seed = int(rng.integers(1 << 30))
    wave, phase, worn = rng.uniform(low, high), rng.uniform(0, 6.28), rng.uniform(0.2, 1.3)
    return Cloth(kind, colors, float(wave), float(phase), seed, float(worn))


def print_on_chest(rng: np.random.Generator, colors: Colors, position: Float[np.ndarray, "N 3"]) -> Colors:
    """A logo: a disc, a box with lines like writing, a badge or blobs, on the chest or all over the belly."""
    x, y, z = position.T
    centre, size = rng.uniform(1.1, 1.24), rng.uniform(0.04, 0.12)
    where = 0.07 * rng.choice([-1, 1]) if (small := rng.random() < 0.3) else 0.0
    size, centre = (0.025, 1.27) if small else (size, centre)
    u, v = (x - where) / size, (y - centre) / size
    kind = rng.choice(["disc", "ring", "writing", "blobs", "box"])
    if kind == "disc":
        amount = edge(1 - np.hypot(u, v), 0.04)
    elif kind == "ring":
        amount = edge(0.2 - np.abs(np.hypot(u, v) - 0.8), 0.04)
    elif kind == "writing":
        letters = np.sin(u * 14 + np.sin(u * 31)) + 0.6 * np.sin(v * 9 + u * 5) > -0.2
        amount = letters * edge(1.5 - np.abs(u), 0.03) * (np.abs((v * 1.6) % 1 - 0.5) < 0.32) * (np.abs(v) < 0.95)
    elif kind == "box":
        amount = edge(1 - np.maximum(np.abs(u), np.abs(v) * 1.4), 0.03)
    else:
        amount = edge(ripple(position, int(rng.integers(1 << 30)), size * 0.7), 0.1) * edge(1.2 - np.hypot(u, v), 0.05)
    return mix(colors, fabric_color(rng), amount * (z > 0.02))


def hem_line(colors: Colors, cover: Amount, rng: np.random.Generator) -> Colors:
    """A darker seam, or a band in another colour (ribbing, collar, cuff), along the border of a garment."""
    width = rng.uniform(0.008, 0.035)
    if rng.random() < 0.25:
        return mix(colors, fabric_color(rng), edge(width - cover, 0.003))
    seam = edge(0.0022 - np.abs(cover - width), 0.001)
    return colors * (1 - 0.35 * seam)[:, None]


def front_line(
    colors: Colors, position: Float[np.ndarray, "N 3"], rng: np.random.Generator, inner: Colors | None
) -> Colors:
    """Buttons or a zip down the front; with ``inner`` the garment stands open and shows it."""
    x, y, z = position.T
    front = z > 0.0
    if inner is not None:
        gap = rng.uniform(0.015, 0.06) + rng.uniform(-0.02, 0.12) * (1.35 - y)
        return mix(colors, inner, edge(gap - np.abs(x), 0.003) * front)
    colors = colors * (1 - 0.3 * edge(0.002 - np.abs(x - 0.016), 0.001) * front)[:, None]
    if rng.random() < 0.5:
        step = rng.uniform(0.06, 0.1)
        dot = np.hypot(x, (y % step) - step / 2)
        return mix(colors, fabric_color(rng), edge(0.007 - dot, 0.0015) * front)
    return mix(colors, np.full(3, rng.uniform(0.1, 0.8)), 0.8 * edge(0.005 - np.abs(x), 0.0015) * front)


def trouser_details(
    colors: Colors, position: Float[np.ndarray, "N 3"], waist_m: float, rng: np.random.Generator
) -> Colors:
    """Fly, pockets, outer seams or a side stripe, and perhaps a belt."""
    x, y, z = position.T
    seam = edge(0.002 - np.abs(z - 0.01), 0.001) * (np.abs(x) > 0.12) + edge(0.002 - np.abs(x), 0.001) * (y > 0.85)
    pocket = edge(0.002 - np.abs(np.abs(x) - 0.09 - 0.5 * (waist_m - 0.05 - y)), 0.001)
    pocket = pocket * (y < waist_m - 0.05) * (y > waist_m - 0.17)
    colors = colors * (1 - 0.3 * np.clip(seam + pocket, 0, 1))[:, None]
    if rng.random() < 0.15:
        colors = mix(colors, fabric_color(rng), edge(0.02 - np.abs(z - 0.01), 0.002) * (np.abs(x) > 0.1))
    if rng.random() < 0.4:
        belt = edge(0.018 - np.abs(y - waist_m + 0.03), 0.002)
        colors = mix(colors, np.array([0.12, 0.08, 0.06]) * rng.uniform(0.4, 2.5), belt)
        buckle = edge(0.022 - np.maximum(np.abs(x), np.abs(y - waist_m + 0.03)), 0.002) * (z > 0)
        colors = mix(colors, np.array([0.7, 0.66, 0.5]), 0.8 * buckle)
    return colors
