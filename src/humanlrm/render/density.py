"""From signed distance to density: VolSDF's rule, and the free density of a generic LRM for the ablation."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

#: Density at the surface of :class:`SoftplusDensity`, 1 / box unit: TripoSR's threshold for its surface.
SURFACE_DENSITY = 25.0


def laplace_density(sdf: Float[Tensor, "*B S"], beta: Float[Tensor, "..."]) -> Float[Tensor, "*B S"]:
    """``(1 / beta) Psi_beta(-sdf)``, Psi the Laplace distribution's CDF (VolSDF, Yariv et al. 2021, eq. 2 and 3).

    ``beta`` is one number or broadcasts against ``sdf``.
    """
    half = 0.5 * torch.exp(-sdf.abs() / beta)
    return torch.where(sdf > 0, half, 1 - half) / beta


class LaplaceDensity(nn.Module):
    """VolSDF's density with a learned ``beta``, the width of the surface in box units (DESIGN, section 1).

    The parameter is the logarithm, so that beta stays positive and an optimiser's step is relative (our choice).

    Args:
        beta: at the start. VolSDF starts at 0.1 of a sphere of radius 3; a limb's radius here is 0.04 (our choice).
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
        """Density of a surface at least a quarter of ``width`` thick (our choice: a limb between two samples is
        noticed, and samples still gather around the surface)."""
        return laplace_density(sdf, torch.maximum(width / 4, self.beta))


class SoftplusDensity(nn.Module):
    """A density that is no function of a distance: a softplus of what the network says (mip-NeRF's activation).

    The network's value plays the signed distance's part, negative inside; its zero level has ``SURFACE_DENSITY``, so
    that the surface is extracted as before. Nothing is learned here.
    """

    def forward(self, sdf: Float[Tensor, "*B S"]) -> Float[Tensor, "*B S"]:
        return nn.functional.softplus(-sdf) * (SURFACE_DENSITY / math.log(2))

    def blurred(self, sdf: Float[Tensor, "*B S"], width: Float[Tensor, "*B 1"]) -> Float[Tensor, "*B S"]:
        """As it is: a free density has no width that could be widened."""
        return self(sdf)
