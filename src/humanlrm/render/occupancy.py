"""Empty space is skipped: a coarse grid knows where there may be anything. For inference; gradients stop here."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from humanlrm.rays import Rays
from humanlrm.render.field import RadianceField
from humanlrm.render.volume import Rendering, Sampling, render_rays

#: Points per question when the grid is made.
_CHUNK = 65536


@dataclass(frozen=True)
class OccupancyGrid:
    """Cells of the box that may hold something.

    Attributes:
        cells: indices run along z, y, x, from -1 to 1.
    """

    cells: Bool[Tensor, "B N N N"]

    def clip(self, rays: Rays) -> Rays:
        """Rays from the first to the last occupied cell that they meet; ``far == near`` if they meet none."""
        count = self.cells.shape[-1]
        steps = 2 * count
        width = (rays.far - rays.near) / steps
        middle = torch.arange(steps, device=width.device, dtype=width.dtype) + 0.5
        places = rays.at(rays.near[..., None] + width[..., None] * middle)
        x, y, z = ((places + 1) * (count / 2)).long().clamp(0, count - 1).unbind(-1)
        met = self.cells[torch.arange(len(x), device=x.device)[:, None, None], z, y, x] & (width > 0)[..., None]
        first, last = met.int().argmax(-1), steps - met.flip(-1).int().argmax(-1)
        near, far = rays.near + first * width, rays.near + last * width
        return replace(rays, near=near, far=torch.where(met.any(-1), far, near))


@torch.no_grad()
def occupancy(field: RadianceField, subjects: int, resolution: int = 32, reach: float = 0.05) -> OccupancyGrid:
    """Asks for the distance at every cell's centre.

    If distances change by no more than one unit per unit, nothing nearer than ``reach`` to the surface is skipped:
    a place on a ray is at most half a step (sqrt(3) / 2N) from a place that :meth:`OccupancyGrid.clip` looks up, and
    that one sqrt(3) / N from its cell's centre.

    Args:
        reach: box units; several times the density's ``beta``.
    """
    at = (torch.arange(resolution) + 0.5) * (2 / resolution) - 1
    z, y, x = torch.meshgrid(at, at, at, indexing="ij")
    centres = torch.stack([x, y, z], dim=-1).reshape(-1, 3)
    sdf = torch.cat([field.distance(part.expand(subjects, -1, -1)) for part in centres.split(_CHUNK)], dim=1)
    near = sdf < 1.5 * 3**0.5 / resolution + reach
    return OccupancyGrid(near.reshape(subjects, resolution, resolution, resolution))


def packed(wanted: Bool[Tensor, "B R"]) -> Int[Tensor, "B N"]:
    """Numbers of the wanted rays. Subjects that want fewer than another get unwanted ones as well, and there is always
    at least one: a field need not know what to say to no question at all."""
    most = max(1, int(wanted.sum(-1).max()))
    return wanted.int().argsort(dim=-1, descending=True, stable=True)[:, :most]


@torch.no_grad()
def render_occupied(
    field: RadianceField, rays: Rays, sampling: Sampling, grid: OccupancyGrid, chunk: int = 4096
) -> Rendering:
    """:func:`humanlrm.render.volume.render_rays` of the rays that meet something, where they meet it."""
    clipped = grid.clip(rays)
    index = packed(clipped.far > clipped.near)
    found = render_rays(field, clipped.take(index), sampling, chunk=chunk)
    subjects, count = rays.near.shape
    row = torch.arange(subjects, device=index.device)[:, None]

    def scattered(values: Float[Tensor, "B N *C"]) -> Float[Tensor, "B R *C"]:
        out = values.new_zeros(subjects, count, *values.shape[2:])
        out[row, index] = values
        return out

    return Rendering(*(scattered(values) for values in vars(found).values()))
