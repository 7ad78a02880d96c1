"""The renderer's view of a field, and the rules that turn its signed distance into density."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

#: Density at the surface of :class:`SoftplusDensity`, 1 / box unit: TripoSR's threshold for its surface.
SURFACE_DENSITY = 25.0


@runtime_checkable
class RadianceSamples(Protocol):
    """A field at points, all that shading needs (``model.field.FieldSamples`` is one).

    Attributes:
        sdf: signed distance, negative inside, box units.
        gradient: of the signed distance.
        normal: the gradient at unit length.
        rgb: sRGB in [0, 1].
    """

    @property
    def sdf(self) -> Float[Tensor, "B P"]: ...
    @property
    def gradient(self) -> Float[Tensor, "B P 3"]: ...
    @property
    def normal(self) -> Float[Tensor, "B P 3"]: ...
    @property
    def rgb(self) -> Float[Tensor, "B P 3"]: ...


@runtime_checkable
class Density(Protocol):
    """Opacity of space (1 / box unit) at a signed distance."""

    def __call__(self, sdf: Float[Tensor, "*B S"]) -> Float[Tensor, "*B S"]: ...

    def blurred(self, sdf: Float[Tensor, "*B S"], width: Float[Tensor, "*B 1"]) -> Float[Tensor, "*B S"]:
        """The same, no sharper than samples that lie ``width`` apart can resolve."""
        ...


@dataclass(frozen=True)
class RadianceField:
    """B subjects, ready to be rendered.

    Attributes:
        distance: points (B, P, 3) to signed distances (B, P); cheap.
        samples: points (B, P, 3) to :class:`RadianceSamples`; expensive.
        density: signed distance to density.
    """

    distance: Callable[[Float[Tensor, "B P 3"]], Float[Tensor, "B P"]]
    samples: Callable[[Float[Tensor, "B P 3"]], RadianceSamples]
    density: Density


def laplace_density(sdf: Float[Tensor, "*B S"], beta: Float[Tensor, "..."]) -> Float[Tensor, "*B S"]:
    """``(1 / beta) Psi_beta(-sdf)``, Psi the Laplace distribution's CDF (VolSDF, Yariv et al. 2021, eq. 2 and 3).

    ``beta`` is one number or broadcasts against ``sdf``.
    """
    half = 0.5 * torch.exp(-sdf.abs() / beta)
    return torch.where(sdf > 0, half, 1 - half) / beta


class LaplaceDensity(nn.Module):
    """VolSDF's density with a learned ``beta``, the width of the surface in box units (DESIGN, section 1).

    The parameter is the logarithm, so that beta stays positive and an optimiser's step is relative.

    Args:
        beta: at the start. VolSDF starts at 0.1 of a sphere of radius 3; a limb's radius here is 0.04.
        least: beta never falls below this: what 256 cells of marching cubes can resolve is 0.008.
    """

    def __init__(self, beta: float = 0.02, least: float = 0.002) -> None:
        super().__init__()
        if not 0 < least < beta:
            raise ValueError(f"LaplaceDensity: expected 0 < least < beta, got least={least}, beta={beta}")
        self.least = least
        self.log_beta = nn.Parameter(torch.tensor(math.log(beta - least)))

    @property
    def beta(self) -> Float[Tensor, ""]:
        return self.least + self.log_beta.exp()

    def forward(self, sdf: Float[Tensor, "*B S"]) -> Float[Tensor, "*B S"]:
        return laplace_density(sdf, self.beta)

    def blurred(self, sdf: Float[Tensor, "*B S"], width: Float[Tensor, "*B 1"]) -> Float[Tensor, "*B S"]:
        """Density of a surface at least a quarter of ``width`` thick.

        Thick enough that a limb between two samples is noticed, thin enough that samples gather around the surface.
        """
        return laplace_density(sdf, torch.maximum(width / 4, self.beta))


class SoftplusDensity(nn.Module):
    """Free density, no function of a distance: a softplus of the network's output (mip-NeRF's activation).

    The network's value plays the signed distance's part, negative inside. Its zero level has ``SURFACE_DENSITY``, so
    that the surface is extracted as before. Nothing is learned here.
    """

    def forward(self, sdf: Float[Tensor, "*B S"]) -> Float[Tensor, "*B S"]:
        return nn.functional.softplus(-sdf) * (SURFACE_DENSITY / math.log(2))

    def blurred(self, sdf: Float[Tensor, "*B S"], width: Float[Tensor, "*B 1"]) -> Float[Tensor, "*B S"]:
        """The same density: a free density has no width that could be widened."""
        return self(sdf)
