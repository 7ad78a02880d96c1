"""Pictures that show no person: noise, drawings and rendered things. Drawn, so that no photo is needed."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter

from humanlrm.camera import Cameras, look_at
from humanlrm.data.render.backdrop import paint_backdrop
from humanlrm.data.render.environment import random_surroundings
from humanlrm.data.render.light import shade_albedo
from humanlrm.data.render.occluders import Props, bag, box, chair, random_look, table, tube
from humanlrm.mesh.raycast import pixel_rays

_SIDE_PX = 480


def odd_pictures(count: int, seed: int = 0) -> Iterator[tuple[str, UInt8[np.ndarray, "H W 3"]]]:
    """Name and pixels of pictures without a person, of all kinds in turn."""
    kinds = [_noise, _blobs, _flame, _car, _tree, _house, _animal, _signs, _furniture, _things]
    for number in range(count):
        draw = kinds[number % len(kinds)]
        yield f"{draw.__name__[1:]}-{number}", draw(np.random.default_rng([seed, number]))


def _noise(rng: np.random.Generator) -> UInt8[np.ndarray, "H W 3"]:
    """Soft color noise."""
    noise = gaussian_filter(rng.normal(size=(_SIDE_PX, _SIDE_PX, 3)), (*[float(np.exp(rng.uniform(0.5, 4)))] * 2, 0))
    return _bytes(0.5 + noise / noise.std() * rng.uniform(0.1, 0.35))


def _blobs(rng: np.random.Generator) -> UInt8[np.ndarray, "H W 3"]:
    """Ellipses, many of them upright, before a gradient."""
    image = _ground(rng)
    draw = ImageDraw.Draw(image)
    for _ in range(rng.integers(1, 6)):
        x, y = rng.uniform(80, 400, 2)
        w, h = rng.uniform(15, 90), rng.uniform(30, 200)
        draw.ellipse((x - w, y - h, x + w, y + h), fill=_color(rng))
    return _soften(image, rng)


def _flame(rng: np.random.Generator) -> UInt8[np.ndarray, "H W 3"]:
    """A rocket's exhaust: a bright, ragged, upright plume in the dark."""
    y, x = np.mgrid[:_SIDE_PX, :_SIDE_PX] / _SIDE_PX
    ragged = gaussian_filter(rng.normal(size=(_SIDE_PX, _SIDE_PX)), 12)
    width = rng.uniform(0.03, 0.12) * (0.3 + 1.5 * y)
    plume = np.exp(-(((x - rng.uniform(0.35, 0.65) + 0.05 * ragged / ragged.std()) / width) ** 2)) * (y > 0.15)
    return _bytes(0.05 + plume[..., None] * np.array([1.0, rng.uniform(0.5, 0.9), rng.uniform(0.1, 0.5)]))


def _car(rng: np.random.Generator) -> UInt8[np.ndarray, "H W 3"]:
    image = _ground(rng)
    draw, color = ImageDraw.Draw(image), _color(rng)
    draw.rounded_rectangle((60, 240, 420, 330), 30, fill=color)
    draw.polygon([(140, 245), (190, 170), (310, 170), (360, 245)], fill=color)
    draw.polygon([(160, 240), (197, 182), (245, 182), (245, 240)], fill=(170, 200, 220))
    for x in (140, 340):
        draw.ellipse((x - 42, 288, x + 42, 372), fill=(25, 25, 25))
    return _soften(image, rng)


def _tree(rng: np.random.Generator) -> UInt8[np.ndarray, "H W 3"]:
    """A trunk with branches like arms, and a crown like a head."""
    image = _ground(rng)
    draw, x = ImageDraw.Draw(image), float(rng.uniform(180, 300))
    draw.line((x, 460, x, 220), fill=(90, 60, 40), width=int(rng.integers(14, 40)))
    for side in (-1, 1):
        draw.line((x, rng.uniform(240, 330), x + side * rng.uniform(50, 140), rng.uniform(130, 300)), (90, 60, 40), 12)
    for _ in range(int(rng.integers(1, 9))):
        a, b, r = x + rng.normal(0, 45), rng.uniform(90, 230), rng.uniform(30, 75)
        draw.ellipse((a - r, b - r, a + r, b + r), fill=(30, int(rng.uniform(80, 160)), 40))
    return _soften(image, rng)


def _house(rng: np.random.Generator) -> UInt8[np.ndarray, "H W 3"]:
    image = _ground(rng)
    draw = ImageDraw.Draw(image)
    draw.rectangle((110, 200, 370, 440), fill=_color(rng))
    draw.polygon([(90, 205), (240, 90), (390, 205)], fill=_color(rng))
    draw.rectangle((215, 320, 265, 440), fill=_color(rng))
    for x in (140, 300):
        draw.rectangle((x, 230, x + 45, 280), fill=(200, 220, 240))
    return _soften(image, rng)


def _animal(rng: np.random.Generator) -> UInt8[np.ndarray, "H W 3"]:
    """Something with four legs, a tail, a head and ears."""
    image = _ground(rng)
    draw, color = ImageDraw.Draw(image), _color(rng)
    draw.ellipse((130, 200, 350, 310), fill=color)
    for x in (160, 200, 290, 325):
        draw.line((x, 280, x + rng.uniform(-15, 15), 420), fill=color, width=24)
    draw.ellipse((315, 130, 415, 220), fill=color)
    draw.polygon([(325, 150), (335, 95), (360, 140)], fill=color)
    draw.polygon([(375, 140), (400, 95), (408, 155)], fill=color)
    draw.line((135, 240, 60, rng.uniform(120, 300)), fill=color, width=14)
    return _soften(image, rng)


def _signs(rng: np.random.Generator) -> UInt8[np.ndarray, "H W 3"]:
    """Bars, bottles and lamps: upright things of two or three parts."""
    image = _ground(rng)
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(1, 5))):
        x, w = rng.uniform(60, 420), rng.uniform(10, 45)
        top = rng.uniform(60, 220)
        draw.rectangle((x - w, top + 60, x + w, 450), fill=_color(rng))
        draw.rectangle((x - w / 2.5, top, x + w / 2.5, top + 62), fill=_color(rng))
        if rng.random() < 0.5:
            draw.ellipse((x - w, top - 50, x + w, top + 2 * w - 50), fill=_color(rng))
    return _soften(image, rng)


def _furniture(rng: np.random.Generator) -> UInt8[np.ndarray, "H W 3"]:
    return _rendered(Props(chair(rng) if rng.random() < 0.5 else table(rng)), rng)


def _things(rng: np.random.Generator) -> UInt8[np.ndarray, "H W 3"]:
    """A heap of bags, boxes and poles."""
    shapes = []
    for _ in range(int(rng.integers(1, 5))):
        size, place = rng.uniform(0.15, 0.5, 3), np.array([rng.uniform(-0.4, 0.4), rng.uniform(0, 0.9), 0.0])
        kind = rng.integers(3)
        shape = box(size, random_look(rng)) if kind == 0 else bag(size, random_look(rng))
        if kind == 2:
            shape = tube(np.zeros(3), np.array([rng.uniform(-0.3, 0.3), 1.2, 0.1]), 0.05, random_look(rng))
        shapes.append(shape.moved(place))
    return _rendered(Props(shapes), rng)


def _rendered(props: Props, rng: np.random.Generator) -> UInt8[np.ndarray, "H W 3"]:
    """The things before a backdrop."""
    import torch

    K = torch.tensor([[700.0, 0, _SIDE_PX / 2], [0, 700.0, _SIDE_PX / 2], [0, 0, 1]], dtype=torch.float64)
    eye, target = torch.tensor([rng.normal(0, 0.6), 1.2, 2.6]).double(), torch.tensor([0, 0.5, 0]).double()
    origin, directions = pixel_rays(Cameras(K, look_at(eye, target), (_SIDE_PX, _SIDE_PX)))
    surroundings = random_surroundings(rng)
    picture = paint_backdrop(rng, directions, surroundings)
    surface = props.trace(origin, directions)
    irradiance = surroundings.light.shade(surface.normals, open_share=surface.open_share)
    picture[np.isfinite(surface.distance)] = shade_albedo(surface.albedo, irradiance)
    return _bytes(picture)


def _ground(rng: np.random.Generator) -> Image.Image:
    """A vertical gradient, often with a horizon."""
    top, bottom = rng.uniform(0, 255, 3), rng.uniform(0, 255, 3)
    share = np.linspace(0, 1, _SIDE_PX)[:, None, None]
    if rng.random() < 0.5:
        share = (share > rng.uniform(0.5, 0.9)).astype(float)
    return Image.fromarray(np.broadcast_to(top + share * (bottom - top), (_SIDE_PX, _SIDE_PX, 3)).astype(np.uint8))


def _color(rng: np.random.Generator) -> tuple[int, int, int]:
    red, green, blue = (int(c) for c in rng.integers(0, 256, 3))
    return red, green, blue


def _soften(image: Image.Image, rng: np.random.Generator) -> UInt8[np.ndarray, "H W 3"]:
    """Blur and grain, as of a photo."""
    pixels = gaussian_filter(np.asarray(image) / 255.0, (*[float(rng.uniform(0.3, 2.5))] * 2, 0))
    return _bytes(pixels + rng.normal(0, rng.uniform(0.005, 0.04), pixels.shape))


def _bytes(pixels: Float[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "H W 3"]:
    return (pixels.clip(0, 1) * 255 + 0.5).astype(np.uint8)
