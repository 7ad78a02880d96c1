"""Colors of places that no picture shows well: those of the places around them, spread over the mesh."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from scipy.sparse import csr_array, diags_array
from scipy.sparse.linalg import cg
from torch import Tensor

from humanlrm.mesh.clean import adjacency
from humanlrm.mesh.surface import TriangleSurface, face_normals
from humanlrm.mesh.texels import Texels
from humanlrm.texture.project import PhotoViews, normalize

#: Points and unit normals to sRGB in [0, 1].
FieldColor = Callable[[Float[Tensor, "P 3"], Float[Tensor, "P 3"]], Float[Tensor, "P 3"]]

#: Points per evaluation of the field.
_CHUNK_POINTS = 65536
#: Box units over which the pictures' colors reach into what they do not show, before the field's count.
_COLOR_REACH = 0.12
#: Support of the pictures from which on the field is not evaluated.
_SUPPORTED = 0.999


class Spread(NamedTuple):
    """Colors that pictures lend to the vertices of a surface; the field has the rest.

    Attributes:
        color: times ``support``.
        support: share of the vertex's color that comes from pictures, near or far.
    """

    color: Float[np.ndarray, "V 3"]
    support: Float[np.ndarray, "V 1"]


def color_texels(
    groups: Sequence[PhotoViews],
    surface: TriangleSurface,
    normals: Float[np.ndarray, "V 3"],
    texels: Texels,
    field_color: FieldColor,
) -> Float[np.ndarray, "P 3"]:
    """Colors of texels: pictures where one shows them, the colors around elsewhere, the field far from all pictures.

    Args:
        groups: what an earlier group shows counts before all later ones.
        normals: unit normals of the vertices.
    """
    points = texels.interpolate(surface, surface.vertices)
    trust, colors = sample_groups(groups, points, normalize(texels.interpolate(surface, normals)))
    unsure = np.flatnonzero(trust < 1)
    guess = texels[unsure].interpolate(surface, _unseen_colors(groups, surface, normals, field_color))
    w = trust[unsure, None]
    colors[unsure] = w * colors[unsure] + (1 - w) * guess
    return colors


def _unseen_colors(
    groups: Sequence[PhotoViews],
    surface: TriangleSurface,
    normals: Float[np.ndarray, "V 3"],
    field_color: FieldColor,
) -> Float[np.ndarray, "V 3"]:
    """Colors of vertices as if no picture showed them; neither spread nor field have more detail than that."""
    color, support = spread_colors(groups, surface, normals)
    open_vertices = np.flatnonzero(support[:, 0] < _SUPPORTED)
    points = surface.vertices[open_vertices].astype(np.float32)
    field = query_colors(field_color, points, normals[open_vertices].astype(np.float32))
    color[open_vertices] += (1 - support[open_vertices]) * field
    return color


@torch.no_grad()
def query_colors(
    field_color: FieldColor, points: Float[np.ndarray, "P 3"], normals: Float[np.ndarray, "P 3"]
) -> Float[np.ndarray, "P 3"]:
    """The field's colors of points on a surface, sRGB in [0, 1]; ``normals`` are unit vectors."""
    out = np.zeros((len(points), 3), dtype=np.float32)
    for first in range(0, len(points), _CHUNK_POINTS):
        part = slice(first, first + _CHUNK_POINTS)
        out[part] = field_color(torch.from_numpy(points[part]), torch.from_numpy(normals[part])).float().cpu().numpy()
    return out


def sample_groups(
    groups: Sequence[PhotoViews], points: Float[np.ndarray, "P 3"], normals: Float[np.ndarray, "P 3"]
) -> tuple[Float[np.ndarray, "P"], Float[np.ndarray, "P 3"]]:
    """Trust in the pictures, from 0 to 1, and their color; 0 where no picture shows the point."""
    trust, colors = np.zeros(len(points), np.float32), np.zeros((len(points), 3), np.float32)
    for group in groups:
        open_points = np.flatnonzero(trust < 1)
        weight, color = group.sample(points[open_points], normals[open_points])
        share = (1 - trust[open_points]) * weight
        colors[open_points] += share[:, None] * color
        trust[open_points] += share
    colors[trust > 0] /= trust[trust > 0, None]
    return trust, colors


def spread_colors(groups: Sequence[PhotoViews], surface: TriangleSurface, normals: Float[np.ndarray, "V 3"]) -> Spread:
    """Spread what pictures show over the mesh to what they do not show, with decay.

    Minimises |differences along edges|^2 + trust * |u - shown|^2 + (1 - trust) * screening * |u|^2, for the colors and
    for their share. The sides of a body run along the rays of the pictures of its front and its back; there the two
    meet without a seam.
    """
    trust, shown = sample_groups(groups, surface.vertices.astype(np.float32), normals)
    edges = adjacency(surface)
    degree = np.asarray(edges.sum(axis=1)).ravel()
    length = np.sqrt(np.abs(np.linalg.norm(face_normals(surface), axis=-1)).mean() * 1.15)
    hold = degree * trust / (1.1 - trust)
    # On a regular mesh of this edge length the solution falls by e over the reach.
    screening = degree * (1 - trust) * (length / _COLOR_REACH) ** 2 / 4 + 1e-6
    pictures = np.column_stack([shown, np.ones_like(trust)])
    lent = _solve(edges, degree + hold + screening, hold[:, None] * pictures, trust[:, None] * pictures)
    return Spread(lent[:, :3], lent[:, 3:].clip(0, 1))


def _solve(
    edges: csr_array,
    diagonal: Float[np.ndarray, "V"],
    right: Float[np.ndarray, "V C"],
    start: Float[np.ndarray, "V C"],
) -> Float[np.ndarray, "V C"]:
    """Solve (diagonal - edges) u = right, to a tenth of a grey level; a direct solver takes ten times longer."""
    system, jacobi = (diags_array(diagonal) - edges).tocsr(), diags_array(1 / diagonal)
    options = {"rtol": 1e-5, "M": jacobi, "maxiter": 1000}
    columns = [cg(system, column, first, **options)[0] for column, first in zip(right.T, start.T, strict=True)]
    return np.stack(columns, axis=-1).astype(np.float32)
