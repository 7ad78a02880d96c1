"""Surface repair: one closed body without floaters or cavities, smooth, and small.

A *sound* surface is watertight, consistently wound with normals outward, of positive volume and one component, and no
two of its vertices are so near that a viewer's or trimesh's vertex merging would join them.
"""

from itertools import pairwise

import fast_simplification
import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import coo_array, csr_array, diags_array
from scipy.sparse.csgraph import connected_components

from humanlrm.mesh.surface import TriangleSurface, is_closed, tetrahedron_volumes

#: Vertices nearer than this in box units (about a micrometre on a person) are one vertex.
_MERGE_DISTANCE = 1e-6
#: Taubin 1995, "A signal processing approach to fair surface design": a shrinking and a larger growing step.
_TAUBIN_STEPS = (0.5, -0.53)


def clean(surface: TriangleSurface, smoothing: int = 0) -> TriangleSurface:
    """Extract the largest body of ``surface`` (by volume), without floaters and cavities, optionally smoothed.

    Args:
        smoothing: number of Taubin iterations; 5 to 10 remove the lattice's steps and keep the volume.

    Raises:
        ValueError: no component encloses a positive volume, or the mesh is so broken that repair fails.
    """
    body = surface if is_sound(surface) else _sound_body(surface)
    return smooth(body, smoothing) if smoothing else body


def is_sound(surface: TriangleSurface) -> bool:
    """True if the surface is sound, as the head of this file defines it."""
    if not is_closed(surface.faces) or surface.volume <= 0:
        return False
    used = len(np.unique(surface.faces)) == len(surface.vertices)
    distinct = len(np.unique(_cell_numbers(surface))) == len(surface.vertices)
    return used and distinct and connected_components(adjacency(surface), directed=False)[0] == 1


def smooth(surface: TriangleSurface, iterations: int) -> TriangleSurface:
    """Taubin smoothing: lattice steps go, volume stays. Returns ``surface`` itself if moving the vertices broke it."""
    average, vertices = averaging_matrix(surface), surface.vertices.astype(np.float64)
    for _ in range(iterations):
        for step in _TAUBIN_STEPS:
            vertices = vertices + step * (average @ vertices - vertices)
    smoothed = TriangleSurface(vertices.astype(np.float32), surface.faces)
    return smoothed if is_sound(smoothed) else surface


def simplify(surface: TriangleSurface, target_faces: int) -> TriangleSurface:
    """Reduce to about ``target_faces`` by quadric edge collapse; to more if fewer would break the surface.

    An unsound result is repaired, or else tried again with gentler settings; if nothing helps, ``surface`` is returned.

    Raises:
        ValueError: ``target_faces`` below 4, or ``surface`` is not sound (call :func:`clean` first).
    """
    if target_faces < 4:
        raise ValueError(f"simplify: a closed surface has at least 4 faces; asked for {target_faces}")
    if not is_sound(surface):
        raise ValueError("simplify: the surface is not closed, connected and outward; pass it through clean() first")
    for faces, aggressiveness in ((target_faces, 7), (target_faces, 3), (2 * target_faces, 3)):
        if faces >= len(surface.faces):
            break
        points, triangles, *_ = fast_simplification.simplify(
            surface.vertices, surface.faces, target_count=faces, agg=aggressiveness
        )
        small = TriangleSurface(points.astype(np.float32), triangles.astype(np.int32))
        try:
            small = small if is_sound(small) else _sound_body(small)
        except ValueError:
            continue
        # A collapse that swallowed a limb is closed too, but it is not the same body.
        if abs(small.volume / surface.volume - 1) < 0.1:
            return small
    return surface


def adjacency(surface: TriangleSurface) -> csr_array:
    """Symmetric 0/1 matrix of the mesh's edges."""
    start, end = surface.faces.ravel(), np.roll(surface.faces, -1, axis=1).ravel()
    count = len(surface.vertices)
    ones = np.ones(2 * len(start), dtype=np.float32)
    matrix = coo_array((ones, (np.r_[start, end], np.r_[end, start])), (count, count)).tocsr()
    matrix.data[:] = 1.0
    return matrix


def averaging_matrix(surface: TriangleSurface) -> csr_array:
    """Matrix that takes values of the vertices to the means over their neighbours."""
    neighbours = adjacency(surface)
    return csr_array(diags_array(1 / np.asarray(neighbours.sum(axis=1)).ravel()) @ neighbours)


def _cell_numbers(surface: TriangleSurface) -> Int[np.ndarray, "V"]:
    """One number per vertex; equal for vertices in the same cell of side ``_MERGE_DISTANCE``."""
    cells = np.round(surface.vertices.astype(np.float64) / _MERGE_DISTANCE).astype(np.int64)
    x, y, z = (cells - cells.min(axis=0)).T
    return (x * (y.max() + 1) + y) * (z.max() + 1) + z


def _sound_body(surface: TriangleSurface) -> TriangleSurface:
    """Repair open and pinched places, then keep the component that encloses most."""
    surface = _weld(surface)
    for _ in range(4):
        if len(surface.faces) and is_closed(surface.faces):
            surface = _weld(_largest(surface))
            if is_sound(surface):
                return surface
        surface = _split_pinched_vertices(_close_holes(_drop_bad_faces(surface)))
    raise ValueError("clean: the mesh cannot be made watertight; extract it again at another resolution")


def _weld(surface: TriangleSurface) -> TriangleSurface:
    """Join vertices of one cell; drop faces that lose their area with it, and vertices without a face."""
    _, first, group = np.unique(_cell_numbers(surface), return_index=True, return_inverse=True)
    faces = group.reshape(-1)[surface.faces]
    faces = faces[(faces != np.roll(faces, 1, axis=1)).all(axis=1)]
    return _compact(surface.vertices[first], faces)


def _compact(vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"]) -> TriangleSurface:
    used, index = np.unique(faces, return_inverse=True)
    return TriangleSurface(vertices[used], index.reshape(-1, 3).astype(np.int32))


def detached_share(surface: TriangleSurface) -> float:
    """Share of the enclosed volume outside of the largest component, which :func:`clean` removes."""
    volumes = _components(surface)[1].clip(min=0)
    return float(1 - volumes.max() / volumes.sum()) if volumes.sum() > 0 else 0.0


def _components(surface: TriangleSurface) -> tuple[Int[np.ndarray, "F"], Float[np.ndarray, "N"]]:
    """Component of each face, and the components' volumes; a cavity's is negative."""
    count, vertex_labels = connected_components(adjacency(surface), directed=False)
    face_labels = vertex_labels[surface.faces[:, 0]]
    return face_labels, np.bincount(face_labels, tetrahedron_volumes(surface), count)


def _largest(surface: TriangleSurface) -> TriangleSurface:
    """The component with the largest positive volume: a cavity's is negative, a floater's is small."""
    face_labels, volumes = _components(surface)
    if volumes.max() <= 0:
        raise ValueError("clean: no closed component with outward faces was found; is the SDF negative inside?")
    return _compact(surface.vertices, surface.faces[face_labels == volumes.argmax()])


def _edge_use(faces: Int[np.ndarray, "F 3"]) -> tuple[Int[np.ndarray, "F 3"], Int[np.ndarray, "F 3"]]:
    """Number of faces that run along each edge of each face in its direction, and against it."""
    start, end = faces.astype(np.int64), np.roll(faces, -1, axis=1).astype(np.int64)
    count = int(faces.max()) + 1
    keys, times = np.unique(start * count + end, return_counts=True)

    def uses(edges: Int[np.ndarray, "F 3"]) -> Int[np.ndarray, "F 3"]:
        nearest = np.minimum(np.searchsorted(keys, edges), len(keys) - 1)
        return np.where(keys[nearest] == edges, times[nearest], 0)

    return uses(start * count + end), uses(end * count + start)


def _drop_bad_faces(surface: TriangleSurface) -> TriangleSurface:
    """Remove all faces around an edge that more than two faces share."""
    if len(surface.faces) == 0:
        raise ValueError("clean: no faces are left after removing degenerate ones")
    along, against = _edge_use(surface.faces)
    bad = np.any((along > 1) | (against > 1), axis=1)
    if bad.all():
        raise ValueError("clean: every edge is shared by more than two faces; this is not a surface")
    return TriangleSurface(surface.vertices, surface.faces[~bad])


def _close_holes(surface: TriangleSurface) -> TriangleSurface:
    """Close every border loop with a fan around its centre."""
    _, against = _edge_use(surface.faces)
    border = np.stack([surface.faces, np.roll(surface.faces, -1, axis=1)], axis=-1)[against == 0]
    following: dict[int, list[int]] = {}
    for start, end in border.tolist():
        following.setdefault(start, []).append(end)
    centers, fans, count = [], [], len(surface.vertices)
    while following:
        loop = _trace_loop(following)
        if len(loop) > 2:
            fans += [(b, a, count + len(centers)) for a, b in zip(loop, loop[1:] + loop[:1], strict=True)]
            centers.append(surface.vertices[loop].mean(axis=0))
    if not fans:
        return surface
    vertices = np.concatenate([surface.vertices, np.array(centers, dtype=np.float32)])
    return TriangleSurface(vertices, np.concatenate([surface.faces, np.array(fans, dtype=np.int32)]))


def _trace_loop(following: dict[int, list[int]]) -> list[int]:
    """Take one loop out of the border; where borders touch in a vertex, the shortest way back to it."""
    path = [next(iter(following))]
    while path[-1] in following:
        end = path[-1]
        ahead = following[end].pop()
        if not following[end]:
            del following[end]
        if ahead in path:
            first = path.index(ahead)
            for a, b in pairwise(path[: first + 1]):
                following.setdefault(a, []).append(b)
            return path[first:]
        path.append(ahead)
    return []


def _split_pinched_vertices(surface: TriangleSurface) -> TriangleSurface:
    """Give each fan of faces around a vertex its own vertex, pulled into its fan so that nothing joins them again."""
    if not is_closed(surface.faces):
        return surface
    fan = _fans(surface.faces)
    owner = np.empty(fan.max() + 1, dtype=np.int64)
    owner[fan] = surface.faces
    vertices, faces = surface.vertices[owner], fan.astype(np.int32)
    pinched = np.bincount(owner)[owner] > 1
    centers = np.repeat(vertices[faces].mean(axis=1), 3, axis=0)
    around = np.bincount(fan.ravel())
    pull = np.stack([np.bincount(fan.ravel(), centers[:, k]) / around for k in range(3)], axis=-1) - vertices
    return TriangleSurface((vertices + 0.05 * pinched[:, None] * pull).astype(np.float32), faces)


def _fans(faces: Int[np.ndarray, "F 3"]) -> Int[np.ndarray, "F 3"]:
    """Label of each corner of a closed mesh: corners are in one fan if their faces meet in an edge at that corner."""
    corner = np.arange(faces.size)
    following = np.roll(corner.reshape(-1, 3), -1, axis=1).ravel()
    start, end = faces.ravel(), faces.ravel()[following]
    # Edge i of the one order runs against edge i of the other, because every edge is used once in each direction.
    forward, backward = np.lexsort((end, start)), np.lexsort((start, end))
    same = np.concatenate(
        [np.stack([corner[forward], following[backward]]), np.stack([following[forward], corner[backward]])], axis=1
    )
    links = coo_array((np.ones(same.shape[1], dtype=np.int8), same), (faces.size, faces.size))
    return connected_components(links, directed=False)[1].reshape(-1, 3)
