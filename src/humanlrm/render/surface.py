"""Sphere tracing: rays step by the distance to the surface until they meet it. For inference; no gradient."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from humanlrm.rays import Rays
from humanlrm.render.field import RadianceField
from humanlrm.render.occupancy import OccupancyGrid, packed
from humanlrm.render.volume import Rendering


@dataclass(frozen=True)
class Tracing:
    """How rays step (our choice; Hart 1996).

    Attributes:
        steps: most steps of a ray; one that is still on its way then counts as a miss.
        shrink: share of the distance that a ray dares to step: a learned distance may be too large.
        least: shortest step, box units, so that rays that graze the surface arrive.
        touch: distance that counts as the surface, box units; the place is refined afterwards.
        refine: secant steps from the last place outside and the first that touches.
    """

    steps: int = 64
    shrink: float = 0.9
    least: float = 0.01
    touch: float = 0.001
    refine: int = 2


@torch.no_grad()
def first_surface(
    field: RadianceField, rays: Rays, tracing: Tracing | None = None
) -> tuple[Float[Tensor, "B R"], Bool[Tensor, "B R"]]:
    """Distance along each ray to the first surface, and whether there is one."""
    tracing = tracing or Tracing()
    t, before = rays.near.clone(), rays.near.clone()
    value, value_before = torch.full_like(t, torch.inf), torch.full_like(t, torch.inf)
    on_its_way, hit = rays.far > rays.near, torch.zeros_like(t, dtype=torch.bool)
    row = torch.arange(len(t), device=t.device)[:, None]

    def ask(index: Tensor, at: Float[Tensor, "B N"]) -> Float[Tensor, "B N"]:
        return field.distance(rays.take(index).at(at[..., None])[:, :, 0])

    for _ in range(tracing.steps):
        if not bool(on_its_way.any()):
            break
        index = packed(on_its_way)
        value[row, index] = ask(index, t[row, index])
        hit |= on_its_way & (value < tracing.touch)
        going = on_its_way & ~hit
        before, value_before = torch.where(going, t, before), torch.where(going, value, value_before)
        t = torch.where(going, t + (value * tracing.shrink).clamp(min=tracing.least), t)
        on_its_way = going & (t < rays.far)
    index = packed(hit)
    at, value = t[row, index], value[row, index]
    earlier, value_earlier = before[row, index], value_before[row, index]
    gap = (at - earlier).abs()
    for _ in range(tracing.refine):
        move = value * (at - earlier) / (value - value_earlier)
        move = torch.minimum(torch.maximum(move.nan_to_num(0, 0, 0), -gap), gap)
        earlier, value_earlier, at = at, value, at - move
        value = ask(index, at)
    t[row, index] = at
    return t, hit


@torch.no_grad()
def render_surface(
    field: RadianceField, rays: Rays, tracing: Tracing | None = None, grid: OccupancyGrid | None = None
) -> Rendering:
    """The first surface that each ray meets, opaque: alpha is 0 or 1, and only one point per ray is shaded.

    Args:
        grid: skips empty space first.
    """
    clipped = grid.clip(rays) if grid is not None else rays
    t, hit = first_surface(field, clipped, tracing)
    index = packed(hit)
    row = torch.arange(len(t), device=t.device)[:, None]
    found = field.samples(rays.take(index).at(t[row, index][..., None])[:, :, 0])
    alpha = hit.to(t)

    def seen(values: Float[Tensor, "B N *C"]) -> Float[Tensor, "B R *C"]:
        out = values.new_zeros(*t.shape, *values.shape[2:])
        out[row, index] = values
        return out * alpha.reshape(*alpha.shape, *[1] * (out.ndim - 2))

    eikonal = (found.gradient.norm(dim=-1) - 1) ** 2
    return Rendering(seen(found.rgb), alpha, t * rays.cosine * alpha, seen(found.normal), seen(eikonal))
