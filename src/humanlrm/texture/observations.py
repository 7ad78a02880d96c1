"""What photos show of a surface's vertices, what the field says of them, and which of them nothing tells of."""

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

#: How many points the field is asked for at once.
_CHUNK = 65536
#: Fewer vertices than this have no mean, and tell nothing of what they are parts of.
ENOUGH = 30


@torch.no_grad()
def query_colors(
    field_color: FieldColor, points: Float[np.ndarray, "P 3"], normals: Float[np.ndarray, "P 3"]
) -> Float[np.ndarray, "P 3"]:
    """The field's colours of points on a surface, sRGB in [0, 1]; ``normals`` are unit vectors."""
    out = np.zeros((len(points), 3), dtype=np.float32)
    for first in range(0, len(points), _CHUNK):
        part = slice(first, first + _CHUNK)
        out[part] = field_color(torch.from_numpy(points[part]), torch.from_numpy(normals[part])).float().cpu().numpy()
    return out


@dataclass(frozen=True)
class VertexObservations:
    """A surface, and what is known of its vertices.

    Attributes:
        weight, shown: how far to trust what the photos show there, and what that is (:meth:`PhotoViews.look`).
        along, away: how much they run along the rays, and turn their back (:meth:`PhotoViews.along`).
        own: the field's colours.
        parts: of what they are parts; ``None``: nobody knows.
        edges: which of them are neighbours.
    """

    surface: TriangleSurface
    weight: Float[np.ndarray, "V"]
    shown: Float[np.ndarray, "V 3"]
    along: Float[np.ndarray, "V"]
    away: Float[np.ndarray, "V"]
    own: Float[np.ndarray, "V 3"]
    parts: BodyParts | None
    edges: csr_array

    @cached_property
    def points(self) -> Float[np.ndarray, "V 3"]:
        """Where they are, in single precision."""
        return self.surface.vertices.astype(np.float32)

    @property
    def degree(self) -> Float[np.ndarray, "V"]:
        """How many neighbours each vertex has."""
        return np.asarray(self.edges.sum(axis=1)).ravel()


def observe_vertices(
    view: PhotoViews,
    surface: TriangleSurface,
    normals: Float[np.ndarray, "V 3"],
    field_color: FieldColor,
    parts_of: PartSegmenter | None,
) -> VertexObservations:
    """What is known of the vertices of a surface; ``normals`` are theirs."""
    points = surface.vertices.astype(np.float32)
    return VertexObservations(
        surface,
        *view.look(points, normals),
        *view.along(points, normals),
        query_colors(field_color, points, normals),
        None if parts_of is None else parts_of(points),
        adjacency(surface),
    )


@dataclass(frozen=True)
class HiddenVertices:
    """Vertices that no photo tells of, and others that the same clothes cover. Clothes of which photos show next to
    nothing tell nothing: a few pixels at the border are not the colour of trousers.

    Attributes:
        all: vertices that no photo tells of.
        where: those of them from which a way over the same clothes leads to one that a photo does tell of.
        nearest: of those, the nearest of the others; the rest are their own.
    """

    all: Bool[np.ndarray, "V"]
    where: Bool[np.ndarray, "V"]
    nearest: Int[np.ndarray, "V"]


def find_hidden(view: PhotoViews, at: VertexObservations) -> HiddenVertices | None:
    """Which vertices no photo tells of, because its border, something in front or another limb hides them; ``None``:
    there are none."""
    assert at.parts is not None
    near = (~view.shows(at.points, at.parts.limbs)).astype(np.float32)
    hidden = (near + at.edges @ near > 0) & (at.weight < 0.5)
    if hidden.all() or not hidden.any():
        return None
    options = {"unweighted": True, "min_only": True, "return_predecessors": True}
    steps, _, nearest = dijkstra(edges_within_clothes(at, hidden), indices=np.flatnonzero(~hidden), **options)
    clothes = at.parts.clothes
    told = np.bincount(clothes[at.weight > 0.5], minlength=clothes.max() + 1) >= ENOUGH
    reached = hidden & np.isfinite(steps) & told[clothes]
    return HiddenVertices(hidden, reached, np.where(reached, nearest, np.arange(len(hidden))))


def edges_within_clothes(at: VertexObservations, hidden: Bool[np.ndarray, "V"]) -> csr_array:
    """The edges without those to a hidden vertex that lead from one piece of clothes to another."""
    assert at.parts is not None
    start, end = at.edges.nonzero()
    clothes = at.parts.clothes
    joined = (clothes[start] == clothes[end]) | ~(hidden[start] | hidden[end])
    return csr_array((joined[joined].astype(np.float32), (start[joined], end[joined])), at.edges.shape)


def solve_diffusion(
    edges: csr_array, diagonal: Float[np.ndarray, "V"], right: Float[np.ndarray, "V C"]
) -> Float[np.ndarray, "V C"]:
    """Solves (diagonal - edges) u = right, to a tenth of a grey level; a direct solver takes ten times longer."""
    system, jacobi = (diags_array(diagonal) - edges).tocsr(), diags_array(1 / diagonal)
    columns = [cg(system, column, rtol=1e-3, M=jacobi, maxiter=500)[0] for column in right.T]
    return np.stack(columns, axis=-1).astype(np.float32)
