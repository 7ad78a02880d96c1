"""A scan as a solid: what is inside, which faces can be seen from outside, how far the outer surface is.

Scans and synthetic people are heaps of surfaces: skin goes on under a skirt, a head under its hair. A solid has none of
that inside, so distances are to the outer faces only; the sign is that of the generalised winding number of all faces
(Barill et al. 2018, by igl), which does not mind overlaps and small holes.
"""

import igl
import numpy as np
from jaxtyping import Bool, Float

from humanlrm.data.scan import Scan

#: How far in front of a face its outside is looked at, metres.
_STEP_M = 0.004


def outer_faces(scan: Scan) -> Bool[np.ndarray, "F"]:
    """Whether a point 4 mm in front of the middle of each face is outside of the solid."""
    corner = scan.vertices.astype(np.float64)[scan.faces]
    normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-20
    return winding_number(corner.mean(1) + _STEP_M * normal, scan) < 0.5


def winding_number(points: Float[np.ndarray, "P 3"], scan: Scan) -> Float[np.ndarray, "P"]:
    """Generalised winding number: about 1 inside, about 0 outside."""
    vertices, faces = scan.vertices.astype(np.float64), scan.faces.astype(np.int64)
    return np.asarray(igl.fast_winding_number(vertices, faces, points.astype(np.float64)))


def signed_distance(
    points: Float[np.ndarray, "P 3"], scan: Scan, outer: Bool[np.ndarray, "F"] | None = None
) -> Float[np.ndarray, "P"]:
    """Distance to the outer surface (metres), negative inside. ``outer`` saves finding :func:`outer_faces` again."""
    outer = outer_faces(scan) if outer is None else outer
    faces = scan.faces[outer].astype(np.int64)
    squared = igl.point_mesh_squared_distance(points.astype(np.float64), scan.vertices.astype(np.float64), faces)[0]
    return (np.sqrt(squared) * np.where(winding_number(points, scan) > 0.5, -1, 1)).astype(np.float16)
