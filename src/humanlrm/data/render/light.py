"""Light on a subject in linear radiance: an ambient color, an environment as spherical harmonics, and lamps."""

from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float

_GAMMA = 2.2
#: Share of its cosine by which a lamp without shadow reaches around the side.
_WRAP = 0.3
#: Order-2 harmonics of radiance to those of irradiance / pi: Ramamoorthi and Hanrahan 2001, equation 8, over pi.
COSINE_LOBE = np.repeat([1.0, 2 / 3, 1 / 4], [1, 3, 5]).astype(np.float32)


def harmonics(directions: Float[np.ndarray, "*P 3"]) -> Float[np.ndarray, "*P 9"]:
    """The nine real spherical harmonics up to order 2 at unit vectors."""
    x, y, z = np.moveaxis(np.asarray(directions, dtype=np.float32), -1, 0)
    one = np.ones_like(x)
    first = [0.488603 * y, 0.488603 * z, 0.488603 * x]
    second = [1.092548 * x * y, 1.092548 * y * z, 0.315392 * (3 * z * z - 1), 1.092548 * x * z]
    return np.stack([0.282095 * one, *first, *second, 0.546274 * (x * x - y * y)], axis=-1).astype(np.float32)


@dataclass(frozen=True)
class Light:
    """Ambient light, an environment and L lamps. Fixed to the subject: all its photographs share it.

    Attributes:
        ambient: linear RGB from everywhere.
        directions: unit vectors toward the lamps, subject coordinates.
        colors: linear RGB of the lamps.
        environment: irradiance / pi as coefficients of :func:`harmonics`.
        shadow_rad: angular radius of each lamp that casts a shadow; negative: the lamp is soft and casts none.
            ``None``: no lamp does.
    """

    ambient: Float[np.ndarray, "3"]
    directions: Float[np.ndarray, "L 3"]
    colors: Float[np.ndarray, "L 3"]
    environment: Float[np.ndarray, "9 3"] = field(default_factory=lambda: np.zeros((9, 3), np.float32))
    shadow_rad: Float[np.ndarray, "L"] | None = None

    @property
    def shadows(self) -> Float[np.ndarray, "L"]:
        """``shadow_rad`` with -1 where it is not given."""
        return np.full(len(self.directions), -1, np.float32) if self.shadow_rad is None else self.shadow_rad

    def shade(
        self,
        normals: Float[np.ndarray, "*P 3"],
        lit: Float[np.ndarray, "*P L"] | None = None,
        open_share: Float[np.ndarray, "*P"] | None = None,
    ) -> Float[np.ndarray, "*P 3"]:
        """Linear irradiance / pi at surfaces with these unit normals.

        Lamps without shadow have a wrapped cosine, so that no side is black; others are wrapped by their own size.

        Args:
            lit: share of each lamp that a point sees; default all of it (no cast shadows).
            open_share: share of the surroundings that a point sees; default all of it.
        """
        wrap = np.where(self.shadows < 0, _WRAP, np.sin(np.clip(self.shadows, 0, 1.5))).astype(np.float32)
        cosine = np.clip((normals @ self.directions.T + wrap) / (1 + wrap), 0, None)
        around = np.clip(self.ambient + harmonics(normals) @ self.environment, 0, None)
        if open_share is not None:
            around = around * open_share[..., None]
        return (around + (cosine if lit is None else cosine * lit) @ self.colors).astype(np.float32)

    def render(
        self, albedo: Float[np.ndarray, "*P 3"], normals: Float[np.ndarray, "*P 3"]
    ) -> Float[np.ndarray, "*P 3"]:
        """sRGB in [0, 1] of surfaces of this sRGB albedo under this light, without cast shadows."""
        return shade_albedo(albedo, self.shade(normals))

    def scaled(self, factor: float) -> "Light":
        """This light, brighter by ``factor``."""
        parts = {name: getattr(self, name) * np.float32(factor) for name in ("ambient", "colors", "environment")}
        return replace(self, **parts)


def shade_albedo(albedo: Float[np.ndarray, "*P 3"], irradiance: Float[np.ndarray, "*P 3"]) -> Float[np.ndarray, "*P 3"]:
    """sRGB in [0, 1] of matt surfaces of this sRGB albedo under an irradiance / pi."""
    return np.clip(albedo**_GAMMA * irradiance, 0, 1) ** (1 / _GAMMA)


def random_light(rng: np.random.Generator) -> Light:
    """Draw ambient light and three slightly colored lamps, from mostly ambient to mostly one strong lamp from above.

    The strongest lamp casts a hard to soft shadow in half of the draws. A white surface that faces the lamps is about
    white.
    """
    count = 3
    directions = rng.normal(size=(count, 3))
    directions[:, 1] = np.abs(directions[:, 1]) * rng.uniform(0.3, 1.5, count) - 0.2
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    strength = rng.dirichlet([1.0, 0.7, 0.5]) * rng.uniform(0.2, 0.85)
    tint = np.exp(rng.normal(0, 0.06, size=(count + 1, 3)))
    exposure = np.exp(rng.normal(0.05, 0.18))
    ambient = (1 - strength.sum()) * tint[0] * exposure
    colors = strength[:, None] * tint[1:] * exposure * 1.3
    shadows = np.full(count, -1.0)
    if rng.random() < 0.5:
        shadows[strength.argmax()] = 0.02 * (0.4 / 0.02) ** rng.random()
    return Light(
        ambient.astype(np.float32),
        directions.astype(np.float32),
        colors.astype(np.float32),
        shadow_rad=shadows.astype(np.float32),
    )
