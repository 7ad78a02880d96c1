"""Where along a ray the field is asked: S intervals, given by S + 1 edges in ascending order."""

import torch
from jaxtyping import Float
from torch import Tensor

from humanlrm.rays import Rays
from humanlrm.render.field import RadianceField

#: Parts into which the gap between two coarse samples is divided; the distance is linear in between.
_PARTS = 4
#: Share of the weight that may lie before the first and behind the last fine edge.
_TAIL = 1e-3
#: Weight of a ray that is shared evenly by its intervals, so that an empty ray is sampled evenly.
_EVEN = 1e-6


def absorbed(density: Float[Tensor, "*B S"], width: Float[Tensor, "*B S"]) -> Float[Tensor, "*B S"]:
    """Weights of the intervals: what each absorbs of the light that reaches it (Max 1995; VolSDF eq. 9)."""
    depth = density * width
    before = depth.cumsum(-1) - depth
    return torch.exp(-before) * -torch.expm1(-depth)


def stratified(
    count: int, shape: tuple[int, ...], like: Tensor, rng: torch.Generator | None = None
) -> Float[Tensor, "*B S1"]:
    """``count + 1`` numbers from 0 to 1; with ``rng`` the inner ones are moved by up to half a step."""
    steps = torch.arange(count + 1, dtype=like.dtype, device=like.device).expand(*shape, count + 1)
    if rng is not None:
        moved = torch.rand(*shape, count - 1, generator=rng, device=rng.device).to(like) - 0.5
        steps = steps + torch.nn.functional.pad(moved, (1, 1))
    return steps / count


@torch.no_grad()
def even_edges(rays: Rays, count: int, rng: torch.Generator | None = None) -> Float[Tensor, "B R S1"]:
    """``count`` intervals of about equal width from near to far."""
    near, far = rays.near[..., None], rays.far[..., None]
    return near + (far - near) * stratified(count, tuple(rays.near.shape), rays.near, rng)


@torch.no_grad()
def fine_edges(
    field: RadianceField, rays: Rays, coarse: int, fine: int, rng: torch.Generator | None = None
) -> Float[Tensor, "B R S1"]:
    """``fine`` intervals of about equal weight, from distances at ``coarse`` + 1 places per ray.

    The weights are those of a surface as thick as the coarse samples can resolve (NeuS and VolSDF refine in a similar
    way; asking the distance only once, and linear distances in between, are our choice). No gradient: a sample's place
    does not depend on the field.
    """
    places = even_edges(rays, coarse, rng)
    sdf = field.distance(rays.at(places).flatten(1, 2)).reshape(places.shape)
    share = torch.arange(_PARTS, dtype=sdf.dtype, device=sdf.device) / _PARTS

    def between(values: Tensor, at: Tensor) -> Tensor:
        return torch.lerp(values[..., :-1, None], values[..., 1:, None], at).flatten(-2)

    edges = torch.cat([between(places, share), places[..., -1:]], dim=-1)
    spacing = (rays.far - rays.near)[..., None] / coarse
    density = field.density.blurred(between(sdf, share + 0.5 / _PARTS), spacing)
    weight = absorbed(density, edges.diff(dim=-1)) + _EVEN / (coarse * _PARTS)
    return quantiles(edges, weight, _TAIL + (1 - 2 * _TAIL) * stratified(fine, tuple(rays.near.shape), sdf, rng))


def quantiles(
    edges: Float[Tensor, "B R E1"], weight: Float[Tensor, "B R E"], at: Float[Tensor, "B R S1"]
) -> Float[Tensor, "B R S1"]:
    """Where the shares ``at`` of the weight have been passed; the weight is spread evenly inside each interval."""
    passed = torch.nn.functional.pad(weight.cumsum(-1), (1, 0))
    wanted = at * passed[..., -1:]
    above = torch.searchsorted(passed, wanted.contiguous(), right=True).clamp(1, weight.shape[-1])
    low, high = passed.gather(-1, above - 1), passed.gather(-1, above)
    share = ((wanted - low) / (high - low).clamp(min=1e-20)).clamp(0, 1)
    return torch.lerp(edges.gather(-1, above - 1), edges.gather(-1, above), share)
