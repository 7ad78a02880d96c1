"""Uncertainty: where several samples of one person have their surface, seen from the vertices of one mesh."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from humanlrm.mesh.extract import Sdf
from humanlrm.mesh.surface import Uncertainty
from humanlrm.render.density import laplace_density
from humanlrm.render.sampling import absorbed

#: Largest distance from a vertex at which a surface is looked for (box units), and evaluations along that line.
_DEPTH_RANGE, _PLACES = 0.15, 25
#: Distance over which a landmark's share of a vertex's motion falls by e (box units).
_LANDMARK_FALLOFF = 0.15


@dataclass(frozen=True)
class SampledPoses:
    """Landmarks that a photo allows.

    Attributes:
        reference: those that the mesh is built on.
        samples: others.
    """

    reference: Float[Tensor, "J 3"]
    samples: Float[Tensor, "K J 3"]


@torch.no_grad()
def measure_uncertainty(
    vertices: Float[Tensor, "V 3"],
    normals: Float[Tensor, "V 3"],
    fields: Sequence[Sdf],
    poses: SampledPoses | None = None,
    beta: float = 0.01,
) -> Uncertainty:
    """Look for the surface of every sample along the normals of one of them (:func:`surface_offsets`).

    The deviation of a few fields is rough, and a limb out of reach counts as the nearest other surface. Sampled
    landmarks cost nothing, so there are many: the spread of the vertices that they move (:func:`landmark_spread`) is
    the other half. The spread of samples as a measure is the paper's idea.

    Args:
        vertices, normals: of a reference mesh, such as the first sample's; box units, normals point outwards.
        fields: signed distance of each sample, negative inside.
        poses: landmarks of more samples, and those of the mesh.
        beta: width of the surface for the opacity (VolSDF's density), box units.

    Raises:
        ValueError: fewer than two samples.
    """
    if len(fields) < 2:
        raise ValueError(f"a spread needs at least two samples, got {len(fields)}; ask for --samples 2 or more")
    spreads, absences = [], []
    for values in _along_normals(vertices, normals, fields):
        spreads.append(_crossing(values).std(0, correction=0))
        density = laplace_density((values[..., 1:] + values[..., :-1]) / 2, values.new_tensor(beta))
        width = torch.full_like(density, 2 * _DEPTH_RANGE / (_PLACES - 1))
        absences.append(1 - absorbed(density, width).sum(-1).mean(0))
    spread = torch.cat(spreads)
    if poses is not None:
        spread = pooled_spread(spread, landmark_spread(vertices, normals, poses))
    return Uncertainty(spread, torch.cat(absences))


def pooled_spread(a: Float[Tensor, "V"], b: Float[Tensor, "V"]) -> Float[Tensor, "V"]:
    """The root of the mean of two variances, from their deviations."""
    return ((a**2 + b**2) / 2).sqrt()


@torch.no_grad()
def landmark_spread(
    vertices: Float[Tensor, "V 3"], normals: Float[Tensor, "V 3"], poses: SampledPoses
) -> Float[Tensor, "V"]:
    """Root mean square motion of the vertices along their normals, box units, if they follow the sampled landmarks.

    Each vertex moves as the landmarks around it do, the nearest most.
    """
    motions = poses.samples - poses.reference
    total = torch.zeros_like(vertices[:, 0])
    shares = torch.softmax(-torch.cdist(vertices, poses.reference) / _LANDMARK_FALLOFF, dim=-1)
    for motion in motions:
        total += ((shares @ motion) * normals).sum(-1) ** 2
    return (total / len(motions)).sqrt()


@torch.no_grad()
def surface_offsets(
    vertices: Float[Tensor, "V 3"], normals: Float[Tensor, "V 3"], fields: Sequence[Sdf]
) -> Float[Tensor, "K V"]:
    """Offset of each field's surface along each vertex's normal, box units, within 0.15.

    Only the sign of the fields and where it changes matter, so they need not be true distances. A field without a
    surface there counts as 0.15 away: outwards if the vertex is inside of it, else inwards.
    """
    return torch.cat([_crossing(values) for values in _along_normals(vertices, normals, fields)], dim=1)


def _offsets(like: Tensor) -> Float[Tensor, "S"]:
    """Offsets along a normal, from outside to inside, as light comes."""
    return torch.linspace(_DEPTH_RANGE, -_DEPTH_RANGE, _PLACES).to(like)


def _along_normals(
    vertices: Float[Tensor, "V 3"], normals: Float[Tensor, "V 3"], fields: Sequence[Sdf], chunk: int = 4096
) -> Iterator[Float[Tensor, "K C S"]]:
    """The fields along the normals, for ``chunk`` vertices at a time."""
    offsets = _offsets(vertices)
    for origins, directions in zip(vertices.split(chunk), normals.split(chunk), strict=True):
        points = (origins[:, None] + directions[:, None] * offsets[:, None]).flatten(0, 1)
        yield torch.stack([field(points).view(len(origins), _PLACES) for field in fields])


def _crossing(values: Float[Tensor, "K V S"]) -> Float[Tensor, "K V"]:
    """The offset nearest to 0 at which a field changes from outside to inside, linear in between."""
    offsets = _offsets(values)
    outer, inner = values[..., :-1], values[..., 1:]
    enters = (outer > 0) & (inner <= 0)
    share = outer / (outer - inner).clamp(min=1e-12)
    places = torch.lerp(offsets[:-1].expand_as(outer), offsets[1:].expand_as(outer), share.clamp(0, 1))
    nearest = places.abs().masked_fill(~enters, torch.inf).argmin(-1, keepdim=True)
    offset = places.gather(-1, nearest)[..., 0]
    inside = values[..., values.shape[-1] // 2] < 0
    missing = torch.where(inside, offsets.max(), offsets.min()).to(offset)
    return torch.where(enters.any(-1), offset, missing)
