"""A scan as a solid: its inside, its faces that are visible from outside, and the distance to its outer surface.

Scans and synthetic people are heaps of surfaces: skin goes on under a skirt, a head under its hair. So distances are to
the outer faces only. Inside is where the generalised winding number of all faces exceeds one half (Barill et al. 2018,
by igl), which tolerates overlaps and small holes. A winding number costs as much as fifty rays, so rays and nearest
faces decide the clear cases. On the asset pack's people that changes the side of 0.2% of the samples, all within 3 mm
of the surface, and of 1% of the area, skin right under cloth. Pockets without a way out, such as mouths, are inside:
nobody can see them, and a field that is too coarse for closed lips would open them.
"""

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, Int

from humanlrm.data.scan import Scan
from humanlrm.mesh.raycast import RayScene
from humanlrm.mesh.surface import TriangleSurface, unit_face_normals

if TYPE_CHECKING:
    import igl

#: The outside of a face is tested this far in front of it, metres.
_STEP_M = 0.004
#: Viewing directions around a person at each elevation (-9, 20 and 50 degrees), and how many are tried per point.
_RING, _TRIED = 12, 8
#: A hidden face is skin under cloth if the cloth's inner side is at most this far in front of it, metres.
_CLOTH_M = 0.1
#: A point outside of the solid is in a pocket if a surface is nearer than this (metres) in all but so many directions
#: of 72: lips may be parted. Every third direction is cast first; with at most ``_TIGHT`` leaks among them, or at
#: least ``_OPEN``, the others are not cast.
_POCKET_M, _LEAKS = 0.1, 16
_TIGHT, _OPEN = 1, 11
#: Cosine beyond which a point counts as right behind its nearest face.
_BEHIND = -0.9
#: A cluster of faces counts as one from so many radii on: igl's default, and enough to decide a side. The second takes
#: a quarter of the time and puts three faces in ten thousand on another side.
_EXACT, _SIDE = 2.0, 1.0
#: Cells along the longest side when points are sorted, so that neighbors are queried one after the other.
_CELLS = 64


class SolidScan:
    """A scan as a solid; its acceleration structures are built once, at the first query.

    Args:
        scene: ray scene of the scan's mesh, if it exists already.
    """

    def __init__(self, scan: Scan, scene: RayScene | None = None) -> None:
        self.vertices, self.faces = scan.vertices.astype(np.float64), scan.faces.astype(np.int64)
        self._scene = RayScene(scan.vertices, scan.faces) if scene is None else scene

    @cached_property
    def outer(self) -> Bool[np.ndarray, "F"]:
        """True where a point 4 mm in front of the middle of a face is outside of the solid."""
        front = self.vertices[self.faces].mean(1) + _STEP_M * self._normals
        order = _morton_order(front)
        front, normal = front[order], self._normals[order]
        outside = np.ones(len(self.faces), dtype=bool)
        hidden = self._hidden(front, normal)
        hits = self._scene.first_hit(front[hidden], normal[hidden])
        from_behind = np.einsum("fc,fc->f", self._normals[hits.face], normal[hidden]) > 0.3
        covered = hits.hit & (hits.distance < _CLOTH_M) & from_behind
        outside[hidden[covered]] = False
        rest = hidden[~covered]
        outside[rest] = ~self._within(front[rest])
        outer = np.empty_like(outside)
        outer[order] = outside
        return outer

    def signed_distance(self, points: Float[np.ndarray, "P 3"]) -> Float[np.ndarray, "P"]:
        """Distance to the outer surface (metres, float16), negative inside."""
        import igl  # the extra "train"; evaluation and inference do without

        points = points.astype(np.float64)
        order = _morton_order(points)
        points = points[order]
        queries = igl.point_mesh_squared_distance(points, self.vertices, self.faces[self.outer])
        squared, face, nearest = map(np.asarray, queries)
        distance, away = np.sqrt(squared), points - nearest
        inside = np.zeros(len(points), dtype=bool)
        hidden = self._hidden(points, away)
        ahead = np.einsum("pc,pc->p", away[hidden], self._normals[self.outer][face[hidden]])
        behind = ahead < _BEHIND * distance[hidden]
        inside[hidden[behind]] = True
        rest = hidden[~behind]
        inside[rest] = self._within(points[rest])
        signed = np.empty(len(points), np.float16)
        signed[order] = distance * np.where(inside, -1, 1)
        return signed

    def _within(self, points: Float[np.ndarray, "P 3"]) -> Bool[np.ndarray, "P"]:
        """True for hidden points that are inside, or in a pocket."""
        inside = self._winding(points, _SIDE) > 0.5
        outside = np.flatnonzero(~inside)
        inside[outside] = self._in_pocket(points[outside].astype(np.float32))
        return inside

    def _in_pocket(self, points: Float[np.ndarray, "P 3"]) -> Bool[np.ndarray, "P"]:
        directions = np.concatenate([_ring(), -_ring()]) * _POCKET_M
        leaks = self._leaks(points, directions[::3])
        unsure = np.flatnonzero((leaks > _TIGHT) & (leaks < _OPEN))
        others = np.delete(directions, np.s_[::3], axis=0)
        leaks[unsure] += self._leaks(points[unsure], others)
        pocket = leaks <= _TIGHT
        pocket[unsure] = leaks[unsure] <= _LEAKS
        return pocket

    def _leaks(self, points: Float[np.ndarray, "P 3"], paths: Float[np.ndarray, "N 3"]) -> Int[np.ndarray, "P"]:
        """Number of the paths from each point that meet nothing."""
        free = [~self._scene.occluded(points, points + path, offset=0.0) for path in paths]
        return np.sum(free, axis=0, dtype=int)

    def winding_number(self, points: Float[np.ndarray, "P 3"]) -> Float[np.ndarray, "P"]:
        """Generalised winding number: about 1 inside, about 0 outside."""
        return self._winding(points.astype(np.float64), _EXACT)

    def _winding(self, points: Float[np.ndarray, "P 3"], radii: float) -> Float[np.ndarray, "P"]:
        return np.asarray(self._hierarchy.winding_number(points, radii)) if len(points) else np.zeros(0)

    @cached_property
    def _hierarchy(self) -> "igl.FastWindingNumberBVH":
        import igl

        hierarchy = igl.FastWindingNumberBVH()
        hierarchy.init(self.vertices, self.faces)
        return hierarchy

    @cached_property
    def _normals(self) -> Float[np.ndarray, "F 3"]:
        return unit_face_normals(TriangleSurface(self.vertices, self.faces))

    def _hidden(self, points: Float[np.ndarray, "P 3"], outward: Float[np.ndarray, "P 3"]) -> Int[np.ndarray, "N"]:
        """Points that are invisible from afar, from the few directions nearest to ``outward``."""
        views, start = _ring(), points.astype(np.float32)
        nearness = outward.astype(np.float32) @ views.T
        # Most points are visible from the very nearest one.
        nearest = nearness.argmax(1)
        hidden = np.flatnonzero(~self._scene.escapes(start, views[nearest]))
        left = nearness[hidden]
        np.put_along_axis(left, nearest[hidden, None], -np.inf, axis=1)
        tried = np.argpartition(-left, _TRIED - 1, axis=1)[:, : _TRIED - 1]
        for k in range(_TRIED - 1):
            still = ~self._scene.escapes(start[hidden], views[tried[:, k]])
            hidden, tried = hidden[still], tried[still]
        return hidden


def _morton_order(points: Float[np.ndarray, "P 3"]) -> Int[np.ndarray, "P"]:
    """An order in which consecutive points are near each other: the bits of the cells' indices take turns."""
    low = points.min(0)
    cell = ((points - low) * ((_CELLS - 1) / max(float((points - low).max()), 1e-9))).astype(np.int64)
    code = sum(((cell[:, axis] >> bit) & 1) << (3 * bit + axis) for bit in range(6) for axis in range(3))
    return np.argsort(code, kind="stable")


def _ring() -> Float[np.ndarray, "N 3"]:
    turn = np.arange(_RING) * (2 * np.pi / _RING)
    rows = []
    for elevation, offset in ((-0.15, 0.0), (0.35, 0.26), (0.9, 0.1)):
        level = np.cos(elevation)
        rows.append(np.stack([level * np.sin(turn + offset), np.full(_RING, np.sin(elevation)),
                              level * np.cos(turn + offset)], axis=1))  # fmt: skip
    return np.concatenate(rows).astype(np.float32)
