"""Real surroundings: environment maps as light (harmonics and a sun) and as a defocused background."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from einops import reduce
from jaxtyping import Float
from scipy.ndimage import gaussian_filter

from humanlrm.camera import rotation_about_y
from humanlrm.data.render.light import COSINE_LOBE, Light, harmonics, random_light

#: Where an asset pack keeps its maps: one float16 array (H, W, 3) per name, linear, first row up.
MAPS = Path("hdri") / "hdri_256x128.npz"
#: Share of the subjects under an environment map if there are any; lamps light the rest.
_MAPPED_SHARE = 0.6
#: The sun is the radiance above three times the map's mean within 25 degrees of its brightest spot.
_SUN_TIMES, _SUN_COS = 3.0, np.cos(np.deg2rad(25))
#: A sun is at most this many times as strong as everything else: a photographer's exposure lifts shadows.
_SUN_MOST = 3.0
_BRIGHTNESS = np.array([0.2126, 0.7152, 0.0722], np.float32)


@dataclass(frozen=True)
class Environment:
    """An environment map with its sun apart.

    Attributes:
        rest: linear radiance without the sun, reduced four times, first row up.
        sun_direction, sun_color: toward the brightest lobe, and its irradiance / pi on a surface that faces it.
        sun_rad: its angular radius.
        picture: sRGB, for the background.
    """

    rest: Float[np.ndarray, "h w 3"]
    sun_direction: Float[np.ndarray, "3"]
    sun_color: Float[np.ndarray, "3"]
    sun_rad: float
    picture: Float[np.ndarray, "H W 3"]


@dataclass(frozen=True)
class Surroundings:
    """Light of a subject and the picture behind it.

    Attributes:
        light: in subject coordinates.
        picture: sRGB environment map, first row up; ``None`` under lamps.
        yaw_rad: by how much the map is turned about +Y.
    """

    light: Light
    picture: Float[np.ndarray, "H W 3"] | None = None
    yaw_rad: float = 0.0

    def look_up(self, directions: Float[np.ndarray, "*P 3"]) -> Float[np.ndarray, "*P 3"]:
        """sRGB of the map along directions of any length, bilinear.

        Raises:
            ValueError: lamps have no picture.
        """
        if self.picture is None:
            raise ValueError("Surroundings: light from lamps has no picture; ask for surroundings with a map")
        height, width = self.picture.shape[:2]
        unit = directions / np.linalg.norm(directions, axis=-1, keepdims=True)
        turn = (np.arctan2(unit[..., 0], unit[..., 2]) - self.yaw_rad) / (2 * np.pi)
        column = (turn % 1) * width - 0.5
        row = np.clip(np.arccos(np.clip(unit[..., 1], -1, 1)) / np.pi * height - 0.5, 0, height - 1.001)
        c, r = np.floor(column).astype(int), row.astype(int)
        across, down = (column - c)[..., None], (row - r)[..., None]
        upper = self.picture[r, c % width] * (1 - across) + self.picture[r, (c + 1) % width] * across
        lower = self.picture[r + 1, c % width] * (1 - across) + self.picture[r + 1, (c + 1) % width] * across
        return (upper * (1 - down) + lower * down).astype(np.float32)


def map_directions(height: int, width: int) -> tuple[Float[np.ndarray, "h w 3"], Float[np.ndarray, "h 1"]]:
    """Unit vectors of a map's pixel centres, first row up, first column at +Z, turning to +X; solid angles per row."""
    theta = (np.arange(height)[:, None] + 0.5) / height * np.pi
    phi = (np.arange(width)[None] + 0.5) / width * 2 * np.pi
    x, z = np.sin(theta) * np.sin(phi), np.sin(theta) * np.cos(phi)
    directions = np.stack([x, np.broadcast_to(np.cos(theta), x.shape), z], axis=-1).astype(np.float32)
    edges = np.cos(np.linspace(0, np.pi, height + 1))
    return directions, ((edges[:-1] - edges[1:]) * 2 * np.pi / width)[:, None].astype(np.float32)


def split_sun(radiance: Float[np.ndarray, "H W 3"]) -> Environment:
    """Split an environment map (linear radiance, first row up; sides multiples of four) into its sun and the rest."""
    directions, solid = map_directions(*radiance.shape[:2])
    bright = radiance @ _BRIGHTNESS
    mean = float((bright * solid).sum() / (4 * np.pi))
    blurred = gaussian_filter(bright, 3, mode="wrap") * (directions[..., 1] > -0.1)
    peak = directions[np.unravel_index(blurred.argmax(), blurred.shape)]
    excess = np.clip(bright - _SUN_TIMES * mean, 0, None) * (directions @ peak > _SUN_COS)
    share = (excess / np.maximum(bright, 1e-9))[..., None]
    weight = (excess * solid)[..., None]
    middle = (directions * weight).sum((0, 1)) + 1e-6 * peak
    middle /= np.linalg.norm(middle)
    angle = np.arccos(np.clip(directions @ middle, -1, 1))
    spread = np.sqrt((angle**2 * weight[..., 0]).sum() / (weight.sum() + 1e-9))
    picture = np.clip(radiance * (0.8 / np.percentile(bright, 90)), 0, 1) ** (1 / 2.2)
    return Environment(
        rest=reduce(radiance * (1 - share), "(h p) (w q) c -> h w c", "mean", p=4, q=4),
        sun_direction=middle.astype(np.float32),
        sun_color=((radiance * share * solid[..., None]).sum((0, 1)) / np.pi).astype(np.float32),
        sun_rad=float(np.clip(1.2 * spread, 0.01, 0.4)),
        picture=picture.astype(np.float32),
    )


@cache
def load_environments(assets: Path | None) -> tuple[Environment, ...]:
    """The environment maps of an asset pack, read once per process; empty without a pack or without maps.

    Raises:
        ValueError: the file is there but cannot be read.
    """
    path = None if assets is None else Path(assets) / MAPS
    if path is None or not path.exists():
        return ()
    try:
        with np.load(path, allow_pickle=False) as maps:
            return tuple(split_sun(maps[name].astype(np.float32)) for name in sorted(maps.files))
    except (OSError, ValueError, EOFError, KeyError) as error:
        raise ValueError(f"{path}: not readable as environment maps ({error}); fetch the asset pack again") from error


def environment_light(environment: Environment, yaw_rad: float) -> Light:
    """A map turned about +Y by ``yaw_rad`` as light, not yet exposed."""
    directions, solid = map_directions(*environment.rest.shape[:2])
    turn = rotation_about_y(yaw_rad).astype(np.float32)
    basis = harmonics(directions @ turn.T) * solid[..., None]
    coefficients = np.einsum("hwk,hwc->kc", basis, environment.rest) * COSINE_LOBE[:, None]
    return Light(
        np.zeros(3, np.float32),
        (turn @ environment.sun_direction)[None].astype(np.float32),
        environment.sun_color[None],
        coefficients.astype(np.float32),
        np.array([environment.sun_rad], np.float32),
    )


def expose(light: Light, brightness: float) -> Light:
    """Scale a light: a white upright surface on the bright side (the 80th percentile) gets ``brightness``."""
    turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    upright = np.stack([np.sin(turn), np.full(24, 0.15), np.cos(turn)], axis=-1) / np.hypot(1, 0.15)
    soft = light.shade(upright, lit=np.zeros((24, len(light.colors)), np.float32)) @ _BRIGHTNESS
    sun = float((light.colors @ _BRIGHTNESS).sum())
    calm = min(1.0, _SUN_MOST * float(soft.mean()) / max(sun, 1e-9))
    calmer = Light(light.ambient, light.directions, light.colors * np.float32(calm), light.environment, light.shadows)
    level = np.percentile(calmer.shade(upright) @ _BRIGHTNESS, 80)
    return calmer.scaled(brightness / max(float(level), 1e-6))


def random_surroundings(rng: np.random.Generator, environments: tuple[Environment, ...] = ()) -> Surroundings:
    """Draw an environment map turned by any yaw, with its sun, for 60% of the subjects; otherwise lamps."""
    if not environments or rng.random() > _MAPPED_SHARE:
        return Surroundings(random_light(rng))
    environment = environments[rng.integers(len(environments))]
    yaw = rng.uniform(0, 2 * np.pi)
    light = expose(environment_light(environment, yaw), float(0.95 * np.exp(rng.normal(0, 0.18))))
    return Surroundings(light, environment.picture, yaw)
