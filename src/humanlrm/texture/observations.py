"""Observations of a surface's vertices: colors in the photos and in the field, and vertices that no photo shows."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_array, diags_array
from scipy.sparse.csgraph import dijkstra
from scipy.sparse.linalg import cg
from torch import Tensor

from humanlrm.body.parts import BodyParts, PartSegmenter
from humanlrm.mesh.clean import adjacency
from humanlrm.mesh.surface import TriangleSurface
from humanlrm.texture.project import PhotoViews

#: Points and unit normals to sRGB in [0, 1].
FieldColor = Callable[[Float[Tensor, "P 3"], Float[Tensor, "P 3"]], Float[Tensor, "P 3"]]

#: Points per evaluation of the field.
_CHUNK_POINTS = 65536
#: Fewest vertices whose mean color counts for the part that they belong to.
ENOUGH_VERTICES = 30


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


@dataclass(frozen=True)
class VertexObservations:
    """A surface and observations of its vertices.

    Attributes:
        weight, shown: trust in the photos, and their color (:meth:`PhotoViews.sample`).
        grazing, away: see :meth:`PhotoViews.grazing`.
        field: the field's colors.
        parts: body parts; ``None``: unknown.
        edges: 0/1 matrix of neighbouring vertices.
    """

    surface: TriangleSurface
    weight: Float[np.ndarray, "V"]
    shown: Float[np.ndarray, "V 3"]
    grazing: Float[np.ndarray, "V"]
    away: Float[np.ndarray, "V"]
    field: Float[np.ndarray, "V 3"]
    parts: BodyParts | None
    edges: csr_array

    @cached_property
    def points(self) -> Float[np.ndarray, "V 3"]:
        """Positions in single precision."""
        return self.surface.vertices.astype(np.float32)

    @property
    def degree(self) -> Float[np.ndarray, "V"]:
        """Number of neighbours."""
        return np.asarray(self.edges.sum(axis=1)).ravel()


def observe_vertices(
    views: PhotoViews,
    surface: TriangleSurface,
    normals: Float[np.ndarray, "V 3"],
    field_color: FieldColor,
    segment: PartSegmenter | None,
) -> VertexObservations:
    """Collect all observations of a surface's vertices; ``normals`` are theirs."""
    points = surface.vertices.astype(np.float32)
    return VertexObservations(
        surface,
        *views.sample(points, normals),
        *views.grazing(points, normals),
        query_colors(field_color, points, normals),
        None if segment is None else segment(points),
        adjacency(surface),
    )


@dataclass(frozen=True)
class HiddenVertices:
    """Vertices that no photo shows.

    Attributes:
        all: all of them.
        reached: those from which a way over the same clothes leads to a visible vertex. Clothes of which photos show
            next to nothing do not count: a few pixels at the border are not the color of trousers.
        nearest: the nearest visible vertex on that way; all other vertices are their own.
    """

    all: Bool[np.ndarray, "V"]
    reached: Bool[np.ndarray, "V"]
    nearest: Int[np.ndarray, "V"]


def find_hidden(views: PhotoViews, seen: VertexObservations) -> HiddenVertices | None:
    """Vertices behind a photo's border, behind something in front or behind another limb; ``None``: there are none."""
    assert seen.parts is not None
    unseen = (~views.shows(seen.points, seen.parts.limbs)).astype(np.float32)
    hidden = (unseen + seen.edges @ unseen > 0) & (seen.weight < 0.5)
    if hidden.all() or not hidden.any():
        return None
    options = {"unweighted": True, "min_only": True, "return_predecessors": True}
    steps, _, nearest = dijkstra(edges_within_clothes(seen, hidden), indices=np.flatnonzero(~hidden), **options)
    clothes = seen.parts.clothes
    shown = np.bincount(clothes[seen.weight > 0.5], minlength=clothes.max() + 1) >= ENOUGH_VERTICES
    reached = hidden & np.isfinite(steps) & shown[clothes]
    return HiddenVertices(hidden, reached, np.where(reached, nearest, np.arange(len(hidden))))


def edges_within_clothes(seen: VertexObservations, hidden: Bool[np.ndarray, "V"]) -> csr_array:
    """The edges without those to a hidden vertex that lead from one piece of clothes to another."""
    assert seen.parts is not None
    start, end = seen.edges.nonzero()
    clothes = seen.parts.clothes
    joined = (clothes[start] == clothes[end]) | ~(hidden[start] | hidden[end])
    return csr_array((joined[joined].astype(np.float32), (start[joined], end[joined])), seen.edges.shape)


def solve_diffusion(
    edges: csr_array, diagonal: Float[np.ndarray, "V"], right: Float[np.ndarray, "V C"]
) -> Float[np.ndarray, "V C"]:
    """Solve (diagonal - edges) u = right, to a tenth of a grey level; a direct solver takes ten times longer."""
    system, jacobi = (diags_array(diagonal) - edges).tocsr(), diags_array(1 / diagonal)
    columns = [cg(system, column, rtol=1e-3, M=jacobi, maxiter=500)[0] for column in right.T]
    return np.stack(columns, axis=-1).astype(np.float32)
