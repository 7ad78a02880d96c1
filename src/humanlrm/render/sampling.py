"""Sample intervals along rays: S intervals are given by S + 1 edges in ascending order."""

import torch
from jaxtyping import Float
from torch import Tensor

from humanlrm.rays import Rays
from humanlrm.render.density import RadianceField

#: Parts into which the gap between two coarse samples is divided; the distance is linear in between.
_INTERVAL_PARTS = 4
#: Share of the weight that may lie before the first and behind the last fine edge.
_TAIL = 1e-3
#: Weight that a ray's intervals share evenly, so that an empty ray is sampled evenly.
_EVEN_WEIGHT = 1e-6


def absorbed(density: Float[Tensor, "*B S"], width: Float[Tensor, "*B S"]) -> Float[Tensor, "*B S"]:
    """Rendering weights: the share of the light that each interval absorbs (Max 1995; VolSDF eq. 9)."""
    depth = density * width
    before = depth.cumsum(-1) - depth
    return torch.exp(-before) * -torch.expm1(-depth)


@torch.no_grad()
def even_edges(rays: Rays, count: int, rng: torch.Generator | None = None) -> Float[Tensor, "B R S1"]:
    """``count`` intervals of about equal width from near to far."""
    near, far = rays.near[..., None], rays.far[..., None]
    return near + (far - near) * _stratified(count, rays.near, rng)


@torch.no_grad()
def fine_edges(
    field: RadianceField, rays: Rays, coarse: int, fine: int, rng: torch.Generator | None = None
) -> Float[Tensor, "B R S1"]:
    """``fine`` intervals of about equal weight, from distances at ``coarse`` + 1 places per ray.

    The weights are those of a surface as thick as the coarse samples can resolve. NeuS and VolSDF refine in a similar
    way. The distance is evaluated once and is linear in between. A sample's place has no gradient.
    """
    places = even_edges(rays, coarse, rng)
    sdf = field.distance(rays.at(places).flatten(1, 2)).reshape(places.shape)
    share = torch.arange(_INTERVAL_PARTS, dtype=sdf.dtype, device=sdf.device) / _INTERVAL_PARTS

    def between(values: Tensor, at: Tensor) -> Tensor:
        return torch.lerp(values[..., :-1, None], values[..., 1:, None], at).flatten(-2)

    edges = torch.cat([between(places, share), places[..., -1:]], dim=-1)
    spacing = (rays.far - rays.near)[..., None] / coarse
    density = field.density.blurred(between(sdf, share + 0.5 / _INTERVAL_PARTS), spacing)
    weight = absorbed(density, edges.diff(dim=-1)) + _EVEN_WEIGHT / (coarse * _INTERVAL_PARTS)
    return quantiles(edges, weight, _TAIL + (1 - 2 * _TAIL) * _stratified(fine, rays.near, rng))


def quantiles(
    edges: Float[Tensor, "B R E1"], weight: Float[Tensor, "B R E"], shares: Float[Tensor, "B R S1"]
) -> Float[Tensor, "B R S1"]:
    """Places that ``shares`` of the weight lie before; the weight is spread evenly inside each interval."""
    passed = torch.nn.functional.pad(weight.cumsum(-1), (1, 0))
    levels = shares * passed[..., -1:]
    above = torch.searchsorted(passed, levels.contiguous(), right=True).clamp(1, weight.shape[-1])
    low, high = passed.gather(-1, above - 1), passed.gather(-1, above)
    inside = ((levels - low) / (high - low).clamp(min=1e-20)).clamp(0, 1)
    return torch.lerp(edges.gather(-1, above - 1), edges.gather(-1, above), inside)


def _stratified(count: int, like: Float[Tensor, "B R"], rng: torch.Generator | None) -> Float[Tensor, "B R S1"]:
    """``count + 1`` numbers from 0 to 1 per ray; with ``rng`` the inner ones move by up to half a step."""
    steps = torch.arange(count + 1, dtype=like.dtype, device=like.device).expand(*like.shape, count + 1)
    if rng is not None:
        jitter = torch.rand(*like.shape, count - 1, generator=rng, device=rng.device).to(like) - 0.5
        steps = steps + torch.nn.functional.pad(jitter, (1, 1))
    return steps / count
