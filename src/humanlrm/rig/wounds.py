"""Cuts in a closed surface, and strips that close them again."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import connected_components

#: Rounds in which the vertices of a border move to the middle of their neighbours.
_SMOOTHING_ROUNDS = 6


@dataclass(frozen=True)
class CutSurface:
    """A mesh under the knife: faces of the welded surface, and the same faces in vertices with texture coordinates."""

    vertices: Float[np.ndarray, "V 3"]
    faces: Int[np.ndarray, "F 3"]
    uv: Float[np.ndarray, "F 3 2"]


def split_vertices(
    faces: Int[np.ndarray, "F 3"], neighbours: Int[np.ndarray, "F 3"], severed: Bool[np.ndarray, "F 3"]
) -> tuple[Int[np.ndarray, "F 3"], Int[np.ndarray, "W"]]:
    """Faces in new vertices, so that severed edges are borders, and the old vertex of each new one."""
    corner = np.arange(faces.size).reshape(-1, 3)
    f, k = np.nonzero(~severed)
    g = neighbours[f, k]
    pairs = []
    for own in (faces[f, k], faces[f, (k + 1) % 3]):
        pairs.append(
            np.stack(
                [corner[f, np.argmax(faces[f] == own[:, None], 1)], corner[g, np.argmax(faces[g] == own[:, None], 1)]]
            )
        )
    i, j = np.concatenate(pairs, axis=1)
    links = coo_matrix((np.ones(len(i)), (i, j)), (faces.size, faces.size))
    label = connected_components(links, directed=False)[1]
    origin = np.zeros(label.max() + 1, np.int64)
    origin[label] = faces.ravel()
    return label.reshape(-1, 3), origin


def smooth_border(cut: CutSurface, severed: Bool[np.ndarray, "F 3"]) -> Float[np.ndarray, "V 3"]:
    """Vertices, those inside a border smoothed along it."""
    f, k = np.nonzero(severed)
    start, stop = cut.faces[f, k], cut.faces[f, (k + 1) % 3]
    count = len(cut.vertices)
    links = csr_matrix((np.ones(len(f)), (start, stop)), (count, count))
    degree = np.asarray(links.sum(axis=1)).ravel()
    inner = np.flatnonzero(degree == 2)
    vertices = cut.vertices.copy()
    for _ in range(_SMOOTHING_ROUNDS):
        vertices[inner] = 0.5 * vertices[inner] + 0.25 * (links[inner] @ vertices)
    return vertices


def close_wounds(
    cut: CutSurface, inside: Bool[np.ndarray, "F"], severed: Bool[np.ndarray, "F 3"]
) -> tuple[CutSurface, Int[np.ndarray, "A"]]:
    """The surface with its wounds closed, and an old vertex near each vertex that was added."""
    f, k = np.nonzero(severed)
    start, stop = cut.faces[f, k], cut.faces[f, (k + 1) % 3]
    # The wound's border runs against its faces.
    after = dict(zip(stop.tolist(), zip(start.tolist(), f.tolist(), k.tolist(), strict=True), strict=True))
    builder = _Builder(cut)
    while after:
        begin = next(iter(after))
        loop, sides = [], []
        at = begin
        while at in after:
            following, face, edge = after.pop(at)
            loop.append(at)
            sides.append(bool(inside[face]))
            builder.mirror[(at, following)] = (face, edge)
            at = following
        _close_loop(builder, loop, sides)
    return builder.result()


def _close_loop(builder: "_Builder", loop: list[int], sides: list[bool]) -> None:
    """Close one wound: as one patch if it lies on one side only, else as two that share a chord."""
    changes = [i for i in range(len(loop)) if sides[i] != sides[i - 1]]
    if len(changes) != 2:
        builder.patch(loop[: len(loop) // 2 + 1], [loop[0], *loop[: len(loop) // 2 - 1 : -1]], None)
        return
    low, high = changes
    one, other = loop[low : high + 1], loop[high:] + loop[: low + 1]
    chord = builder.add((builder.points[loop[low]] + builder.points[loop[high]]) / 2, loop[low])
    for run in (one, other):
        half = len(run) // 2
        if len(run) == 2:
            builder.close_edge(run[0], run[1], chord)
        else:
            builder.patch(run[: half + 1], run[: half - 1 : -1], chord)


class _Builder:
    """Vertices and faces that close wounds.

    Args:
        cut: the opened surface.
    """

    def __init__(self, cut: CutSurface) -> None:
        self.cut, self.points = cut, list(cut.vertices)
        self.near: list[int] = []
        self.faces: list[tuple[int, int, int]] = []
        self.uv: list[Float[np.ndarray, "3 2"]] = []
        #: Edge of a wound -> the face beside it and the number of its edge.
        self.mirror: dict[tuple[int, int], tuple[int, int]] = {}
        #: Texture coordinates beside the part of the border at which faces are added.
        self.beside: Float[np.ndarray, "2"] = np.zeros(2)

    def add(self, point: Float[np.ndarray, "3"], near: int) -> int:
        """Number of a new vertex."""
        self.points.append(point)
        self.near.append(near)
        return len(self.points) - 1

    def patch(self, left: list[int], right: list[int], chord: int | None) -> None:
        """Close the space between two chains that end in the same vertex: a strip on each side of a middle line.

        Args:
            left: along the wound's border; right: against it.
            chord: where the middle line begins; ``None``: at the vertex where both chains begin.
        """
        places = np.linspace(0, 1, max(min(len(left), len(right)) // 2, 2) + 1)[1:-1]
        a, b = (_along(np.array([self.points[i] for i in chain]), places) for chain in (left, right))
        middle = [] if chord is None else [chord]
        beside = [left[round(place * (len(left) - 1))] for place in places]
        middle += [self.add(point, near) for point, near in zip((a + b) / 2, beside, strict=True)]
        self._zip(left, middle, False, chord is None)
        self._zip(right, middle, True, chord is None)

    def close_edge(self, start: int, stop: int, chord: int) -> None:
        """Close the space between one edge of the border and the chord."""
        self._face((start, stop, chord), False)

    def _zip(self, chain: list[int], middle: list[int], flipped: bool, shared_start: bool) -> None:
        """Triangles between a chain and the middle line, nearest first.

        Ends that both chains share get one edge to the middle line, or that edge would have four faces.
        """
        i = j = 0
        self.beside = self._mirrored((chain[1], chain[0]) if flipped else (chain[0], chain[1]))[2]
        last, end = len(chain) - 1, len(middle) - 1
        while i < last or j < end:
            ahead = self._distance(chain[min(i + 1, last)], middle[j]) < self._distance(
                chain[i], middle[min(j + 1, end)]
            )
            step = j == end or (shared_start and i == 0) or (i < last - 1 and ahead)
            if step:
                self._face((chain[i], chain[i + 1], middle[j]), flipped)
                i += 1
            else:
                self._face((chain[i], middle[j + 1], middle[j]), flipped)
                j += 1

    def _distance(self, a: int, b: int) -> float:
        return float(((self.points[a] - self.points[b]) ** 2).sum())

    def _face(self, corners: tuple[int, int, int], flipped: bool) -> None:
        """A face; its texture mirrors the face on the other side of the wound's border, or continues the one before."""
        a, b, c = corners
        edge = (b, a) if flipped else (a, b)
        if edge in self.mirror:
            # The border runs against its face: it begins where the face's edge ends.
            stop, start, self.beside = self._mirrored(edge)
            uv = [stop, start, self.beside] if flipped else [start, stop, self.beside]
        else:
            uv = [self.beside] * 3
        if flipped:
            a, b, uv = b, a, [uv[1], uv[0], uv[2]]
        self.faces.append((a, b, c))
        self.uv.append(np.stack(uv))

    def _mirrored(self, edge: tuple[int, int]) -> Float[np.ndarray, "3 2"]:
        """Texture coordinates of the face beside an edge of a border: where the edge ends, begins, and opposite."""
        face, k = self.mirror[edge]
        return np.roll(self.cut.uv[face], -k, axis=0)

    def result(self) -> tuple[CutSurface, Int[np.ndarray, "A"]]:
        """The closed surface and an old vertex near each new one."""
        faces = np.concatenate([self.cut.faces, np.array(self.faces, np.int64).reshape(-1, 3)])
        uv = np.concatenate([self.cut.uv, np.array(self.uv, self.cut.uv.dtype).reshape(-1, 3, 2)])
        return CutSurface(np.stack(self.points), faces, uv), np.array(self.near, np.int64)


def _along(points: Float[np.ndarray, "N 3"], shares: Float[np.ndarray, "S"]) -> Float[np.ndarray, "S 3"]:
    """Points at shares of the length of a polyline."""
    lengths = np.r_[0, np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))]
    return np.stack([np.interp(shares * lengths[-1], lengths, axis) for axis in points.T], axis=1)
