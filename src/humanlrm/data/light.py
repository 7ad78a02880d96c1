"""Light without shadows: an ambient colour and a few soft directional lamps, in linear radiance."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

_GAMMA = 2.2


@dataclass(frozen=True)
class Light:
    """Ambient light and L lamps.

    Attributes:
        ambient: linear RGB from everywhere.
        directions: unit vectors toward the lamps, subject coordinates.
        colours: linear RGB of the lamps.
    """

    ambient: Float[np.ndarray, "3"]
    directions: Float[np.ndarray, "L 3"]
    colours: Float[np.ndarray, "L 3"]

    def shade(self, normals: Float[np.ndarray, "*P 3"]) -> Float[np.ndarray, "*P 3"]:
        """Linear irradiance at surfaces with these unit normals (wrapped cosine, so that no side is black)."""
        cosine = np.clip((normals @ self.directions.T + 0.3) / 1.3, 0, None)
        return (self.ambient + cosine @ self.colours).astype(np.float32)

    def on(self, albedo: Float[np.ndarray, "*P 3"], normals: Float[np.ndarray, "*P 3"]) -> Float[np.ndarray, "*P 3"]:
        """sRGB in [0, 1] of surfaces of this sRGB albedo under this light."""
        linear = albedo**_GAMMA * self.shade(normals)
        return np.clip(linear, 0, 1) ** (1 / _GAMMA)


def random_light(rng: np.random.Generator) -> Light:
    """Indoor and outdoor mixtures: mostly ambient to mostly one strong lamp from above, slightly coloured (our choice).

    Total light is normalised so that a white surface facing the lamps is about white.
    """
    count = 3
    directions = rng.normal(size=(count, 3))
    directions[:, 1] = np.abs(directions[:, 1]) * rng.uniform(0.3, 1.5, count) - 0.2
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    strength = rng.dirichlet([1.0, 0.7, 0.5]) * rng.uniform(0.2, 0.85)
    tint = np.exp(rng.normal(0, 0.06, size=(count + 1, 3)))
    exposure = np.exp(rng.normal(0.05, 0.18))
    ambient = (1 - strength.sum()) * tint[0] * exposure
    colours = strength[:, None] * tint[1:] * exposure * 1.3
    return Light(ambient.astype(np.float32), directions.astype(np.float32), colours.astype(np.float32))
