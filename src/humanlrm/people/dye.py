"""Colours of cloth and hair, and new ones for a painted texture: skin keeps its colour, cloth is re-dyed by group."""

import colorsys
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt8
from PIL import Image, ImageDraw

_LEVELS = 48
_GROUPS = 4
#: A colour group is opened for cloth that is farther than this from the others in :func:`_perceived`.
_GROUP_GAP = 42.0
#: Natural hair colours, sRGB.
_HAIR_TONES = np.array(
    [(28, 22, 20), (58, 38, 26), (96, 64, 40), (142, 100, 60), (196, 158, 104), (124, 120, 118), (110, 52, 30)], float
)


@dataclass(frozen=True)
class Dye:
    """Texels of a texture that can take other colours.

    Attributes:
        cloth: flat numbers of the texels that are cloth (their colour is shifted).
        cloth_share: how much of the shift each takes, 0..255 (soft border against skin).
        hair: flat numbers of the texels of a separate hair part, perhaps none.
        groups: mean colour of each group of cloth colours, sRGB 0..255.
    """

    cloth: Int[np.ndarray, "C"]
    cloth_share: UInt8[np.ndarray, "C"]
    hair: Int[np.ndarray, "H"]
    groups: Float[np.ndarray, "G 3"]


def covered_texels(size: tuple[int, int], uv: Float[np.ndarray, "U 2"], uv_faces: Int[np.ndarray, "F 3"]) -> np.ndarray:
    """Texels (H, W) that the faces cover, with a margin of about a texel. ``size`` is (H, W)."""
    image = Image.new("1", (size[1], size[0]))
    draw = ImageDraw.Draw(image)
    corners = uv * np.array([size[1], -size[0]]) + np.array([0, size[0]])
    for triangle in corners[uv_faces].reshape(-1, 6).tolist():
        draw.polygon(triangle, fill=1, outline=1)
    return np.asarray(image)


def _chroma(rgb: np.ndarray) -> np.ndarray:
    """(luma, Cb, Cr) of sRGB 0..255 without the 128 offset (BT.601)."""
    matrix = np.array([[0.299, 0.587, 0.114], [-0.169, -0.331, 0.5], [0.5, -0.419, -0.081]], np.float32)
    return rgb.astype(np.float32) @ matrix.T


def _perceived(rgb: np.ndarray) -> np.ndarray:
    """Coordinates whose distance tells cloths apart: chroma counts more than brightness, folds are not new cloth."""
    return _chroma(rgb) * np.array([0.5, 1.5, 1.5], np.float32)


def likeness_to_skin(rgb: UInt8[np.ndarray, "*N 3"], skin: Float[np.ndarray, "S 3"]) -> Float[np.ndarray, "*N"]:
    """1 for colours like one of the ``skin`` colours, 0 for others, soft between.

    Brightness may differ more than chroma: shade on skin darkens both.
    """
    here = _chroma(rgb)
    best = np.zeros(rgb.shape[:-1], np.float32)
    for luma, blue, red in _chroma(skin):
        ratio = here[..., 0] / max(float(luma), 1.0)
        gain = np.clip(ratio, 0.3, 1.2)
        distance = np.hypot(here[..., 1] - blue * gain, here[..., 2] - red * gain)
        bright = np.clip((ratio - 0.2) / 0.15, 0, 1) * np.clip((1.7 - ratio) / 0.2, 0, 1)
        best = np.maximum(best, np.clip((16 - distance) / 6, 0, 1) * bright)
    return best


def find_dye(
    texture: UInt8[np.ndarray, "H W 3"], kept: np.ndarray, hair: np.ndarray, skin: Float[np.ndarray, "S 3"]
) -> Dye:
    """Finds cloth and its colour groups.

    Args:
        kept: bool (H, W), texels that never change (head, hands, hair).
        hair: bool (H, W), texels of a separate hair part.
        skin: colours of the person's skin, sRGB 0..255.
    """
    share = (1 - likeness_to_skin(texture, skin)) * ~kept
    cloth = np.flatnonzero(share > 0.02)
    flat = texture.reshape(-1, 3)
    return Dye(
        cloth=cloth.astype(np.int32),
        cloth_share=(share.reshape(-1)[cloth] * 255).astype(np.uint8),
        hair=np.flatnonzero(hair).astype(np.int32),
        groups=_groups(flat[cloth[:: max(1, len(cloth) // 8000)]].astype(np.float64)),
    )


def _groups(colors: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "G 3"]:
    """Means of colour groups: a few rounds of k-means from farthest points, deterministic."""
    if len(colors) == 0:
        return np.zeros((1, 3))
    seen, means = _perceived(colors), colors.mean(0, keepdims=True)
    while len(means) < _GROUPS:
        gaps = np.linalg.norm(seen[:, None] - _perceived(means)[None], axis=2).min(1)
        if np.quantile(gaps, 0.95) < _GROUP_GAP:
            break
        gaps[gaps > np.quantile(gaps, 0.98)] = 0
        means = np.concatenate([means, colors[[int(gaps.argmax())]]])
        for _ in range(4):
            near = np.linalg.norm(seen[:, None] - _perceived(means)[None], axis=2).argmin(1)
            means = np.stack([colors[near == g].mean(0) if (near == g).any() else m for g, m in enumerate(means)])
    return means


def redye(
    texture: UInt8[np.ndarray, "H W 3"], dye: Dye, rng: np.random.Generator, *, strength: float = 1.0
) -> UInt8[np.ndarray, "H W 3"]:
    """A copy of the texture with new cloth colours: each colour group moves to a random new mean and keeps its shading.

    ``strength`` 0 leaves the cloth as it is. A separate hair part takes a natural hair colour half of the time.
    """
    flat = texture.reshape(-1, 3).copy()
    if strength > 0 and len(dye.cloth):
        table = _shift_table(dye.groups, np.stack([cloth_color(rng) for _ in dye.groups]), strength)
        here = flat[dye.cloth]
        shift = table[_bins(here)] * (dye.cloth_share[:, None] / np.float32(255))
        flat[dye.cloth] = np.clip(here + shift, 0, 255).astype(np.uint8)
    if len(dye.hair) and rng.random() < 0.5:
        here = flat[dye.hair].astype(np.float32)
        target = _HAIR_TONES[rng.integers(len(_HAIR_TONES))] * rng.uniform(0.8, 1.15)
        flat[dye.hair] = tint(here, target, brightest=1.7)
    return flat.reshape(texture.shape)


def tint(
    texels: Float[np.ndarray, "*n 3"], color: Float[np.ndarray, "3"], *, brightest: float
) -> UInt8[np.ndarray, "*n 3"]:
    """Another colour with the shading of the texels, which is at most ``brightest`` times their mean."""
    luma = texels.mean(axis=-1, keepdims=True)
    shading = np.clip((luma + 30) / (float(luma.mean()) + 30), 0.4, brightest)
    return np.clip(color * shading, 0, 255).astype(np.uint8)


def color_between(colors: Float[np.ndarray, "N 3"], place: float) -> Float[np.ndarray, "3"]:
    """The colour at a place between 0 (the first) and N - 1 (the last, excluded)."""
    first = int(place)
    share = place - first
    return colors[first] * (1 - share) + colors[first + 1] * share


def _bins(rgb: UInt8[np.ndarray, "N 3"]) -> Int[np.ndarray, "N"]:
    level = (rgb.astype(np.int32) * _LEVELS) >> 8
    return (level[:, 0] * _LEVELS + level[:, 1]) * _LEVELS + level[:, 2]


def _shift_table(
    groups: Float[np.ndarray, "G 3"], targets: Float[np.ndarray, "G 3"], strength: float
) -> Float[np.ndarray, "T 3"]:
    """Colour shift for every coarse colour: the group's shading around its mean is carried to the new mean."""
    axis = (np.arange(_LEVELS, dtype=np.float32) + 0.5) * (256 / _LEVELS)
    color = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    seen = _perceived(color)
    square = np.stack([((seen - centre) ** 2).sum(1) for centre in _perceived(groups)], axis=1)
    share = np.exp(-(square - square.min(1, keepdims=True)) / (2 * 14.0**2))
    share /= share.sum(1, keepdims=True)
    mean, target = share @ groups.astype(np.float32), share @ targets.astype(np.float32)
    luma, mean_luma = color.mean(1, keepdims=True), mean.mean(1, keepdims=True)
    factor = np.clip((luma + 12) / (mean_luma + 12), 0.3, 1.9)
    chroma = (color - luma) - (mean - mean_luma)
    new = target * factor + 0.6 * chroma
    return ((new - color) * strength).astype(np.float32)


#: Colours of most clothes: blacks, greys, whites, navy, denim, beige, brown, olive; sRGB with the share of each.
_STAPLES = np.array([(28, 28, 31), (95, 97, 101), (168, 168, 170), (228, 226, 221), (38, 44, 72), (72, 94, 130),
                     (196, 178, 150), (98, 72, 54), (92, 94, 68)], float)  # fmt: skip
_STAPLE_SHARES = np.array([0.2, 0.12, 0.1, 0.15, 0.13, 0.12, 0.08, 0.06, 0.04])


def cloth_color(rng: np.random.Generator, *, staple: float = 0.55) -> Float[np.ndarray, "3"]:
    """A cloth colour, sRGB 0..255: a staple of wardrobes, or any hue, bright ones rarely saturated.

    Args:
        staple: share of the staples.
    """
    if rng.random() < staple:
        color = _STAPLES[rng.choice(len(_STAPLES), p=_STAPLE_SHARES)]
        return np.clip(color * np.exp(rng.normal(0, 0.18)) + rng.normal(0, 5, 3), 0, 245)
    hue, value = rng.random(), rng.uniform(0.15, 0.95)
    most = 0.9 if rng.random() < 0.15 else 0.85 - 0.4 * max(value - 0.55, 0) / 0.4
    return 255 * np.array(colorsys.hsv_to_rgb(hue, min(rng.beta(2.0, 2.2), most), value))
