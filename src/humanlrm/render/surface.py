"""Sphere tracing for inference: empty space is skipped, and one point per ray is shaded. No gradient."""

from dataclasses import dataclass, replace

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from humanlrm.frame import canonical_camera
from humanlrm.rays import Rays, image_rays
from humanlrm.render.density import RadianceField
from humanlrm.render.volume import Rendering, to_image

#: Points per evaluation of the field when the occupancy grid is made.
_CHUNK_POINTS = 65536


@dataclass(frozen=True)
class Tracing:
    """Steps of a ray (Hart 1996).

    Attributes:
        steps: most steps of a ray; one that has not arrived by then counts as a miss.
        shrink: share of the distance that a step takes: a learned distance may be too large.
        least: shortest step, box units, so that rays that graze the surface arrive.
        touch: distance that counts as the surface, box units; the place is refined afterwards.
        refine: secant steps from the last place outside and the first that touches.
    """

    steps: int = 64
    shrink: float = 0.9
    least: float = 0.01
    touch: float = 0.001
    refine: int = 2


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
        occupied = self.cells[torch.arange(len(x), device=x.device)[:, None, None], z, y, x] & (width > 0)[..., None]
        first, last = occupied.int().argmax(-1), steps - occupied.flip(-1).int().argmax(-1)
        near, far = rays.near + first * width, rays.near + last * width
        return replace(rays, near=near, far=torch.where(occupied.any(-1), far, near))


@torch.no_grad()
def occupancy(field: RadianceField, subjects: int, resolution: int = 32, reach: float = 0.05) -> OccupancyGrid:
    """Evaluate the distance at every cell's centre.

    If distances change by at most one unit per unit, nothing nearer than ``reach`` to the surface is skipped: a place
    on a ray is at most half a step (sqrt(3) / 2N) from a place that :meth:`OccupancyGrid.clip` looks up, and that one
    sqrt(3) / N from its cell's centre.

    Args:
        reach: box units; several times the density's ``beta``.
    """
    line = (torch.arange(resolution) + 0.5) * (2 / resolution) - 1
    z, y, x = torch.meshgrid(line, line, line, indexing="ij")
    centres = torch.stack([x, y, z], dim=-1).reshape(-1, 3)
    sdf = torch.cat([field.distance(part.expand(subjects, -1, -1)) for part in centres.split(_CHUNK_POINTS)], dim=1)
    near = sdf < 1.5 * 3**0.5 / resolution + reach
    return OccupancyGrid(rearrange(near, "B (z y x) -> B z y x", z=resolution, y=resolution))


def packed(chosen: Bool[Tensor, "B R"]) -> Int[Tensor, "B N"]:
    """Numbers of the chosen rays, at least one per subject: a field may not accept zero points.

    Subjects with fewer chosen rays than another are filled up with rays that are not chosen.
    """
    most = max(1, int(chosen.sum(-1).max()))
    return chosen.int().argsort(dim=-1, descending=True, stable=True)[:, :most]


@torch.no_grad()
def first_surface(
    field: RadianceField, rays: Rays, tracing: Tracing | None = None
) -> tuple[Float[Tensor, "B R"], Bool[Tensor, "B R"]]:
    """Distance along each ray to the first surface, and whether there is one."""
    tracing = tracing or Tracing()
    t, before = rays.near.clone(), rays.near.clone()
    sdf, sdf_before = torch.full_like(t, torch.inf), torch.full_like(t, torch.inf)
    active, hit = rays.far > rays.near, torch.zeros_like(t, dtype=torch.bool)
    row = torch.arange(len(t), device=t.device)[:, None]

    def distance(index: Tensor, at: Float[Tensor, "B N"]) -> Float[Tensor, "B N"]:
        return field.distance(rays.take(index).at(at[..., None])[:, :, 0])

    for _ in range(tracing.steps):
        if not bool(active.any()):
            break
        index = packed(active)
        sdf[row, index] = distance(index, t[row, index])
        hit |= active & (sdf < tracing.touch)
        going = active & ~hit
        before, sdf_before = torch.where(going, t, before), torch.where(going, sdf, sdf_before)
        t = torch.where(going, t + (sdf * tracing.shrink).clamp(min=tracing.least), t)
        active = going & (t < rays.far)
    index = packed(hit)
    at, sdf = t[row, index], sdf[row, index]
    earlier, sdf_earlier = before[row, index], sdf_before[row, index]
    gap = (at - earlier).abs()
    for _ in range(tracing.refine):
        move = sdf * (at - earlier) / (sdf - sdf_earlier)
        move = torch.minimum(torch.maximum(move.nan_to_num(0, 0, 0), -gap), gap)
        earlier, sdf_earlier, at = at, sdf, at - move
        sdf = distance(index, at)
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
    samples = field.samples(rays.take(index).at(t[row, index][..., None])[:, :, 0])
    alpha = hit.to(t)

    def scattered(values: Float[Tensor, "B N *C"]) -> Float[Tensor, "B R *C"]:
        out = values.new_zeros(*t.shape, *values.shape[2:])
        out[row, index] = values
        return out * alpha.reshape(*alpha.shape, *[1] * (out.ndim - 2))

    eikonal = (samples.gradient.norm(dim=-1) - 1) ** 2
    rgb, normal = scattered(samples.rgb), scattered(samples.normal)
    return Rendering(rgb, alpha, t * rays.cosine * alpha, normal, scattered(eikonal))


def orbit_rotation(yaw_deg: float) -> Float[Tensor, "4 4"]:
    """Turn of the frame about +Y, counter-clockwise seen from above; it moves the input camera's frame."""
    yaw = torch.tensor(yaw_deg).deg2rad()
    out = torch.eye(4)
    out[0, 0] = out[2, 2] = yaw.cos()
    out[0, 2], out[2, 0] = yaw.sin(), -yaw.sin()
    return out


@torch.no_grad()
def turntable(
    field: RadianceField,
    subjects: int = 1,
    yaws_deg: tuple[float, ...] = (0.0, 90.0, 180.0, 270.0),
    size_px: int = 128,
    supersample: int = 2,
    tracing: Tracing | None = None,
) -> Float[Tensor, "B 3 H W"]:
    """Pictures from all around: colour in the upper row, normals below, one column per yaw, on white, in [0, 1].

    Normals are in the axes of each view (x right, y up, z toward the viewer) as (n + 1)/2. 0 degrees is the photo's
    view, 90 degrees shows a person's left side.
    """
    camera = canonical_camera(size_px * supersample)
    grid = occupancy(field, subjects)
    rays = Rays(*(value.expand(subjects, *value.shape[1:]) for value in vars(image_rays(camera)).values()))
    columns = []
    for yaw_deg in yaws_deg:
        turn = orbit_rotation(yaw_deg)
        view = render_surface(field, rays.moved(turn.expand(subjects, 4, 4)), tracing, grid)
        normals = (view.normal @ turn[:3, :3] + 1) / 2
        alpha = view.alpha[..., None]
        both = torch.cat([view.over(torch.ones(subjects, 1, 3)), normals * alpha + 1 - alpha], dim=-1)
        columns.append(nn.functional.avg_pool2d(to_image(both, camera.size_px), supersample))
    return rearrange(torch.stack(columns), "V B (rows C) H W -> B C (rows H) (V W)", rows=2)
