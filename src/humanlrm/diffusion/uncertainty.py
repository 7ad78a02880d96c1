"""How sure we are: where several samples of one person have their surface, seen from the vertices of one mesh."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from humanlrm.render.density import laplace_density
from humanlrm.render.sampling import absorbed

Sdf = Callable[[Float[Tensor, "P 3"]], Float[Tensor, "P"]]

#: How far from a vertex a surface is looked for (box units), and how many questions that takes.
_REACH, _PLACES = 0.15, 25
#: Over what distance landmarks carry a vertex along: their shares fall by e (box units; our choice).
_CARRIED = 0.15


@dataclass(frozen=True)
class Uncertainty:
    """Per vertex of a mesh.

    Attributes:
        spread: standard deviation of the surface's position along the vertex normal across samples, box units; with
            sampled landmarks the root of the mean of both variances.
        absence: 1 - accumulated opacity around the vertex, mean over samples: 0 where all of them have a surface
            there, 1 where none has.
    """

    spread: Float[Tensor, "V"]
    absence: Float[Tensor, "V"]


@dataclass(frozen=True)
class SampledPoses:
    """Landmarks of people who could be the one in a photo.

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
    """Looks for the surface of every sample along the normals of one of them (:func:`surface_offsets`).

    A few fields tell where a surface is, but a deviation of six is rough, and a limb that is farther away than it is
    looked for counts as the nearest other surface. Sampled landmarks cost nothing, so there are many: how far they
    carry each vertex along its normal (:func:`landmark_spread`) is the other half of what is told.

    (Our choice, as are opacities by VolSDF's density; the spread of samples as a measure is the paper's idea.)

    Args:
        vertices, normals: of a reference mesh, such as the first sample's; box units, normals point outwards.
        fields: signed distance of each sample, negative inside.
        poses: landmarks of more samples, and those of the mesh.
        beta: width of the surface for the opacity, box units.

    Raises:
        ValueError: fewer than two samples.
    """
    if len(fields) < 2:
        raise ValueError(f"a spread needs at least two samples, got {len(fields)}; ask for --samples 2 or more")
    spread, absence = [], []
    for values in _values(vertices, normals, fields):
        spread.append(_crossing(values).std(0, correction=0))
        density = laplace_density((values[..., 1:] + values[..., :-1]) / 2, values.new_tensor(beta))
        width = torch.full_like(density, 2 * _REACH / (_PLACES - 1))
        absence.append(1 - absorbed(density, width).sum(-1).mean(0))
    found = torch.cat(spread)
    if poses is not None:
        found = pooled_spread(found, landmark_spread(vertices, normals, poses))
    return Uncertainty(found, torch.cat(absence))


def pooled_spread(of_fields: Float[Tensor, "V"], carried: Float[Tensor, "V"]) -> Float[Tensor, "V"]:
    """The root of the mean of two variances."""
    return ((of_fields**2 + carried**2) / 2).sqrt()


@torch.no_grad()
def landmark_spread(
    vertices: Float[Tensor, "V 3"], normals: Float[Tensor, "V 3"], poses: SampledPoses
) -> Float[Tensor, "V"]:
    """How far from where they are sampled landmarks would carry the vertices along their normals, box units (root mean
    square over the samples): each vertex moves as the landmarks around it do, the nearest most."""
    moved = poses.samples - poses.reference
    total = torch.zeros_like(vertices[:, 0])
    shares = torch.softmax(-torch.cdist(vertices, poses.reference) / _CARRIED, dim=-1)
    for sample in moved:
        total += ((shares @ sample) * normals).sum(-1) ** 2
    return (total / len(moved)).sqrt()


@torch.no_grad()
def surface_offsets(
    vertices: Float[Tensor, "V 3"], normals: Float[Tensor, "V 3"], fields: Sequence[Sdf]
) -> Float[Tensor, "K V"]:
    """How far along each vertex's normal the surface of each field is, box units, within 0.15.

    Only the sign of the fields and where it changes matter, so they need not be true distances. A field without a
    surface there counts as 0.15 away: outwards if the vertex is inside of it, else inwards.
    """
    return torch.cat([_crossing(values) for values in _values(vertices, normals, fields)], dim=1)


def _offsets(like: Tensor) -> Float[Tensor, "S"]:
    """From outside to inside, as light comes."""
    return torch.linspace(_REACH, -_REACH, _PLACES).to(like)


def _values(
    vertices: Float[Tensor, "V 3"], normals: Float[Tensor, "V 3"], fields: Sequence[Sdf], chunk: int = 4096
) -> Iterator[Float[Tensor, "K C S"]]:
    """The fields along the normals, of some vertices at once."""
    offsets = _offsets(vertices)
    for at, along in zip(vertices.split(chunk), normals.split(chunk), strict=True):
        points = (at[:, None] + along[:, None] * offsets[:, None]).flatten(0, 1)
        yield torch.stack([field(points).view(len(at), _PLACES) for field in fields])


def _crossing(values: Float[Tensor, "K V S"]) -> Float[Tensor, "K V"]:
    """The offset nearest to 0 at which a field changes from outside to inside, linear in between."""
    offsets = _offsets(values)
    before, behind = values[..., :-1], values[..., 1:]
    enters = (before > 0) & (behind <= 0)
    share = before / (before - behind).clamp(min=1e-12)
    at = torch.lerp(offsets[:-1].expand_as(before), offsets[1:].expand_as(before), share.clamp(0, 1))
    nearest = at.abs().masked_fill(~enters, torch.inf).argmin(-1, keepdim=True)
    found = at.gather(-1, nearest)[..., 0]
    inside = values[..., values.shape[-1] // 2] < 0
    none = torch.where(inside, offsets.max(), offsets.min()).to(found)
    return torch.where(enters.any(-1), found, none)
