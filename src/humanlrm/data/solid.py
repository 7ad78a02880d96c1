"""A scan as a solid: what is inside, which faces can be seen from outside, how far the outer surface is.

Scans and synthetic people are heaps of surfaces: skin goes on under a skirt, a head under its hair. A solid has none of
that inside, so distances are to the outer faces only; inside is where the generalised winding number of all faces
exceeds one half (Barill et al. 2018, by igl), which does not mind overlaps and small holes. A winding number costs as
much as fifty rays, so rays and nearest faces decide the clear cases (our choice). On the asset pack's people that
changes the side of 0.2% of the samples, all within 3 mm of the surface, and of 1% of the area, skin right under cloth.
"""

import igl
import numpy as np
from jaxtyping import Bool, Float, Int

from humanlrm.data.scan import Scan
from humanlrm.mesh.raycast import RayScene

#: How far in front of a face its outside is looked at, metres.
_STEP_M = 0.004
#: Directions from which a person is looked at (elevations of -9, 20 and 50 degrees), and how many are tried per point.
_RING, _TRIED = 12, 8
#: A hidden face is skin under cloth if the cloth's inner side is at most this far in front of it, metres.
_CLOTH_M = 0.1
#: Cosine beyond which a point counts as right behind its nearest face.
_BEHIND = -0.9


def outer_faces(scan: Scan, scene: RayScene | None = None) -> Bool[np.ndarray, "F"]:
    """Whether a point 4 mm in front of the middle of each face is outside of the solid. ``scene`` saves building it."""
    scene = RayScene(scan.vertices, scan.faces) if scene is None else scene
    normal = _normals(scan)
    front = scan.vertices.astype(np.float64)[scan.faces].mean(1) + _STEP_M * normal
    outer = np.ones(len(scan.faces), dtype=bool)
    hidden = _hidden(front, normal, scan, scene)
    hits = scene.first_hit(front[hidden], normal[hidden])
    from_behind = (normal[hits.face] * normal[hidden]).sum(1) > 0.3
    covered = hits.hit & (hits.distance < _CLOTH_M) & from_behind
    outer[hidden[covered]] = False
    rest = hidden[~covered]
    outer[rest] = winding_number(front[rest], scan) < 0.5
    return outer


def winding_number(points: Float[np.ndarray, "P 3"], scan: Scan) -> Float[np.ndarray, "P"]:
    """Generalised winding number: about 1 inside, about 0 outside."""
    if len(points) == 0:
        return np.zeros(0)
    vertices, faces = scan.vertices.astype(np.float64), scan.faces.astype(np.int64)
    return np.asarray(igl.fast_winding_number(vertices, faces, points.astype(np.float64)))


def signed_distance(
    points: Float[np.ndarray, "P 3"],
    scan: Scan,
    outer: Bool[np.ndarray, "F"] | None = None,
    scene: RayScene | None = None,
) -> Float[np.ndarray, "P"]:
    """Distance to the outer surface (metres), negative inside. ``outer`` and ``scene`` save finding them again."""
    scene = RayScene(scan.vertices, scan.faces) if scene is None else scene
    outer = outer_faces(scan, scene) if outer is None else outer
    faces, points = scan.faces[outer].astype(np.int64), points.astype(np.float64)
    found = igl.point_mesh_squared_distance(points, scan.vertices.astype(np.float64), faces)
    squared, face, nearest = (np.asarray(part) for part in found)
    distance, away = np.sqrt(squared), points - nearest
    inside = np.zeros(len(points), dtype=bool)
    hidden = _hidden(points, away, scan, scene)
    ahead = (away[hidden] * _normals(scan)[outer][face[hidden]]).sum(1)
    behind = ahead < _BEHIND * distance[hidden]
    inside[hidden[behind]] = True
    rest = hidden[~behind]
    inside[rest] = winding_number(points[rest], scan) > 0.5
    return (distance * np.where(inside, -1, 1)).astype(np.float16)


def _normals(scan: Scan) -> Float[np.ndarray, "F 3"]:
    corner = scan.vertices.astype(np.float64)[scan.faces]
    normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    return normal / (np.linalg.norm(normal, axis=1, keepdims=True) + 1e-20)


def _hidden(
    points: Float[np.ndarray, "P 3"], outward: Float[np.ndarray, "P 3"], scan: Scan, scene: RayScene
) -> Int[np.ndarray, "N"]:
    """Which points are not seen from afar, from the few directions nearest to ``outward``."""
    views = _ring()
    nearest = np.argpartition(-(outward.astype(np.float32) @ views.T), _TRIED, axis=1)[:, :_TRIED]
    reach = np.float32(3 * np.ptp(scan.vertices, axis=0).max() + 1)
    start, hidden = points.astype(np.float32), np.arange(len(points))
    for k in range(_TRIED):
        blocked = scene.occluded(start[hidden], start[hidden] + reach * views[nearest[hidden, k]], offset=0.0)
        hidden = hidden[blocked]
    return hidden


def _ring() -> Float[np.ndarray, "N 3"]:
    turn = np.arange(_RING) * (2 * np.pi / _RING)
    rows = []
    for elevation, offset in ((-0.15, 0.0), (0.35, 0.26), (0.9, 0.1)):
        level = np.cos(elevation)
        rows.append(np.stack([level * np.sin(turn + offset), np.full(_RING, np.sin(elevation)),
                              level * np.cos(turn + offset)], axis=1))  # fmt: skip
    return np.concatenate(rows).astype(np.float32)
