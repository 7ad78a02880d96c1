"""Prints on chests: logos, writing, ties, open jackets, which clothes show in front alone, so that backs do not."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image, ImageDraw

from humanlrm.mesh.surface import TriangleSurface, unit_face_normals
from humanlrm.people.dye import cloth_color

#: Share of people whose clothes get a print.
_SHARE = 0.4
#: Least z of the normal of a face that is printed on.
_FACING = 0.2
#: Prints are left out if garments show less than this share of the chest's texels in front alone.
_LEAST_ALONE = 0.5
#: Logos and ties have borders of this width (distances of the shoulders).
_BORDER = 0.012

Place = tuple[Float[np.ndarray, "N"], Float[np.ndarray, "N"]]


@dataclass(frozen=True)
class Chest:
    """Texels of a texture that lie on the front of the trunk.

    Attributes:
        texels: flat numbers.
        x: toward the person's left, 0 in the middle, in distances of the shoulders.
        y: upward, 0 at the shoulders, in distances of the shoulders.
    """

    texels: Int[np.ndarray, "N"]
    x: Float[np.ndarray, "N"]
    y: Float[np.ndarray, "N"]


def find_chest(
    size: tuple[int, int],
    surface: TriangleSurface,
    uv: Float[np.ndarray, "U 2"],
    uv_faces: Int[np.ndarray, "F 3"],
    shoulders: Float[np.ndarray, "2 3"],
    trunk: Bool[np.ndarray, "F"],
) -> Chest:
    """The texels (of ``size``, H and W) that faces on the front of the trunk cover, and no face elsewhere.

    Args:
        surface: the person at rest, facing +Z, +Y up.
        shoulders: joints.
        trunk: faces that may be printed on if they look to the front.
    """
    middle, width = shoulders.mean(0), float(np.abs(shoulders[0, 0] - shoulders[1, 0]))
    place = ((surface.vertices - middle) / width)[surface.faces]
    front = trunk & (unit_face_normals(surface)[:, 2] > _FACING)
    front &= (np.abs(place[..., 0]) < 0.6).all(1) & (np.abs(place[..., 1] + 0.7) < 0.8).all(1)
    corners = (uv * [size[1], -size[0]] + [0, size[0]])[uv_faces]
    numbers = _face_numbers(size, corners, np.flatnonzero(front))
    elsewhere = _face_numbers(size, corners, np.flatnonzero(~front)) >= 0
    texels = np.flatnonzero((numbers >= 0) & ~elsewhere)
    if len(texels) < _LEAST_ALONE * max(1, int((numbers >= 0).sum())):
        texels = texels[:0]
    face = numbers.ravel()[texels]
    at = np.stack([texels % size[1], texels // size[1]], axis=1) + 0.5
    a, b, c = corners[face].transpose(1, 0, 2)
    u, v, w = b - a, c - a, at - a
    area = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
    area = np.where(np.abs(area) < 1e-9, 1e-9, area)
    second, third = (w[:, 0] * v[:, 1] - w[:, 1] * v[:, 0]) / area, (u[:, 0] * w[:, 1] - u[:, 1] * w[:, 0]) / area
    shares = np.stack([1 - second - third, second, third], axis=1).clip(0, 1)[..., None]
    x, y = (place[face] * shares).sum(1)[:, :2].T
    return Chest(texels, x.astype(np.float32), y.astype(np.float32))


def _face_numbers(
    size: tuple[int, int], corners: Float[np.ndarray, "F 3 2"], faces: Int[np.ndarray, "K"]
) -> Int[np.ndarray, "H W"]:
    """The number of the face that covers each texel, with a margin of about a texel; -1 where none does."""
    image = Image.new("I", (size[1], size[0]), -1)
    draw = ImageDraw.Draw(image)
    for number, triangle in zip(faces.tolist(), corners[faces].reshape(-1, 6).tolist(), strict=True):
        draw.polygon(triangle, fill=number, outline=number)
    return np.asarray(image)


def with_print(
    texture: UInt8[np.ndarray, "H W 3"], chest: Chest, rng: np.random.Generator
) -> UInt8[np.ndarray, "H W 3"]:
    """A copy of the texture, of some people with a print. The cloth's shading stays."""
    if rng.random() >= _SHARE or not len(chest.texels):
        return texture
    kind = str(rng.choice(list(_KINDS), p=list(_SHARES)))
    amount = _KINDS[kind](rng, (chest.x, chest.y))[:, None]
    flat = texture.reshape(-1, 3).copy()
    here = flat[chest.texels].astype(np.float32)
    luma = here.mean(1, keepdims=True)
    shading = ((luma + 30) / (np.median(luma) + 30)).clip(0.5, 1.5)
    color, other = cloth_color(rng), cloth_color(rng)
    if rng.random() < 0.6:
        color = np.where(_blobs(rng, (chest.x, chest.y), rng.uniform(0.03, 0.2))[:, None] > 0.5, color, other)
    flat[chest.texels] = np.clip(here + amount * (color * shading - here), 0, 255).astype(np.uint8)
    return flat.reshape(texture.shape)


def _edge(signed: Float[np.ndarray, "N"]) -> Float[np.ndarray, "N"]:
    """1 where positive, 0 where negative, soft between."""
    return (signed / _BORDER + 0.5).clip(0, 1)


def _blobs(rng: np.random.Generator, place: Place, size: float) -> Float[np.ndarray, "N"]:
    """Smooth random blobs of a size, about half of the area."""
    total = np.zeros_like(place[0])
    for _ in range(5):
        angle, phase = rng.uniform(0, 2 * np.pi, 2)
        total += np.sin((place[0] * np.cos(angle) + place[1] * np.sin(angle)) * (2.2 / size) + phase)
    return _edge(total * size * 0.3)


def _logo(rng: np.random.Generator, place: Place) -> Float[np.ndarray, "N"]:
    """A disc, ring, box, or blobs: a small badge on a side, or large."""
    badge = rng.random() < 0.3
    size = 0.07 if badge else rng.uniform(0.12, 0.35)
    x = place[0] - (rng.choice([-0.22, 0.22]) if badge else rng.normal(0, 0.03))
    y = place[1] + (0.35 if badge else rng.uniform(0.35, 0.75))
    away = np.hypot(x, y)
    return [
        lambda: _edge(size - away),
        lambda: _edge(0.2 * size - np.abs(away - 0.8 * size)),
        lambda: _edge(size - np.maximum(np.abs(x), np.abs(y) * rng.uniform(0.7, 2))),
        lambda: _edge(1.2 * size - away) * _blobs(rng, (x, y), size * 0.5),
    ][rng.integers(4)]()


def _writing(rng: np.random.Generator, place: Place) -> Float[np.ndarray, "N"]:
    """Lines of something like letters."""
    size, lines = rng.uniform(0.05, 0.14), int(rng.integers(1, 4))
    x, y = place[0] / size, (place[1] + rng.uniform(0.35, 0.7)) / size
    letters = np.sin(x * 3.1 + np.sin(x * 7)) + 0.6 * np.sin(y * 6 + x * 1.3) > -0.2
    row = np.abs((y % 1) - 0.5) < 0.34
    return letters * row * (np.abs(y) < lines) * (np.abs(place[0]) < rng.uniform(0.2, 0.42)).astype(np.float32)


def _tie(rng: np.random.Generator, place: Place) -> Float[np.ndarray, "N"]:
    """A tie from the neck down, wider below."""
    x, y = place
    width = 0.04 + 0.05 * np.clip(-y, 0, 1)
    return _edge(width - np.abs(x)) * _edge(0.15 - y) * _edge(y + rng.uniform(0.9, 1.3))


def _opening(rng: np.random.Generator, place: Place) -> Float[np.ndarray, "N"]:
    """An opening as of a jacket, or a strip of buttons or a zip: from the neck down, wider above or below."""
    x, y = place
    half = rng.choice([0.015, rng.uniform(0.04, 0.12)])
    return _edge(half + rng.uniform(-0.06, 0.08) * (y + 0.6) - np.abs(x - rng.normal(0, 0.01)))


def _band(rng: np.random.Generator, place: Place) -> Float[np.ndarray, "N"]:
    """A band across the chest, level or slanted like a sash or a strap."""
    x, y = place
    return _edge(rng.uniform(0.04, 0.15) - np.abs(y + rng.uniform(0.3, 0.8) + rng.choice([0.0, rng.normal(0, 1)]) * x))


_KINDS: dict[str, Callable[[np.random.Generator, Place], Float[np.ndarray, "N"]]] = {
    "logo": _logo, "writing": _writing, "tie": _tie, "opening": _opening, "band": _band,
}  # fmt: skip
_SHARES = (0.35, 0.2, 0.15, 0.2, 0.1)
