"""How sure we are: where several samples of one person have their surface, seen from the vertices of one mesh."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from humanlrm.render.density import laplace_density
from humanlrm.render.sampling import absorbed

Sdf = Callable[[Float[Tensor, "P 3"]], Float[Tensor, "P"]]


@dataclass(frozen=True)
class Uncertainty:
    """Per vertex of a mesh.

    Attributes:
        spread: standard deviation of the surface's position along the vertex normal across samples, box units.
        absence: 1 - accumulated opacity around the vertex, mean over samples: 0 where all of them have a surface
            there, 1 where none has.
    """

    spread: Float[Tensor, "V"]
    absence: Float[Tensor, "V"]


@torch.no_grad()
def surface_uncertainty(
    vertices: Float[Tensor, "V 3"],
    normals: Float[Tensor, "V 3"],
    fields: Sequence[Sdf],
    reach: float = 0.15,
    places: int = 25,
    beta: float = 0.01,
    chunk: int = 4096,
) -> Uncertainty:
    """Looks for the surface of every sample along the normals of one of them.

    Only the sign of the fields and where it changes matter for ``spread``, so they need not be true distances. A sample
    without a surface within ``reach`` counts as ``reach`` away: outwards if the vertex is inside of it, else inwards.
    (Our choice, as are opacities by VolSDF's density; the spread of samples as a measure is the paper's idea.)

    Args:
        vertices, normals: of a reference mesh, such as the first sample's; box units, normals point outwards.
        fields: signed distance of each sample, negative inside.
        reach: how far from the vertices a surface is looked for, box units.
        places: questions per vertex and sample.
        beta: width of the surface for the opacity, box units.
        chunk: vertices at once.

    Raises:
        ValueError: fewer than two samples.
    """
    if len(fields) < 2:
        raise ValueError(f"a spread needs at least two samples, got {len(fields)}; ask for --samples 2 or more")
    spread, absence = [], []
    offsets = torch.linspace(reach, -reach, places).to(vertices)  # from outside to inside, as light comes
    for at, along in zip(vertices.split(chunk), normals.split(chunk), strict=True):
        points = (at[:, None] + along[:, None] * offsets[:, None]).flatten(0, 1)
        values = torch.stack([field(points).view(len(at), places) for field in fields])
        spread.append(_crossing(values, offsets).std(0, correction=0))
        density = laplace_density((values[..., 1:] + values[..., :-1]) / 2, values.new_tensor(beta))
        width = torch.full_like(density, 2 * reach / (places - 1))
        absence.append(1 - absorbed(density, width).sum(-1).mean(0))
    return Uncertainty(torch.cat(spread), torch.cat(absence))


def _crossing(values: Float[Tensor, "K V S"], offsets: Float[Tensor, "S"]) -> Float[Tensor, "K V"]:
    """The offset nearest to 0 at which a field changes from outside to inside, linear in between."""
    before, behind = values[..., :-1], values[..., 1:]
    enters = (before > 0) & (behind <= 0)
    share = before / (before - behind).clamp(min=1e-12)
    at = torch.lerp(offsets[:-1].expand_as(before), offsets[1:].expand_as(before), share.clamp(0, 1))
    nearest = at.abs().masked_fill(~enters, torch.inf).argmin(-1, keepdim=True)
    found = at.gather(-1, nearest)[..., 0]
    inside = values[..., values.shape[-1] // 2] < 0
    none = torch.where(inside, offsets.max(), offsets.min()).to(found)
    return torch.where(enters.any(-1), found, none)
