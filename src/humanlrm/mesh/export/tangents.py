"""Tangents of a textured mesh: where its texture's u runs on the surface."""

import numpy as np
from jaxtyping import Float

from humanlrm.mesh.surface import TexturedMesh


def vertex_tangents(mesh: TexturedMesh) -> Float[np.ndarray, "U 4"]:
    """Unit tangents square to the normals, and the sign of the bitangent, as glTF has it: sign * normal x tangent."""
    corners, uv = mesh.vertices.astype(np.float64)[mesh.faces], mesh.uv.astype(np.float64)[mesh.faces]
    (e1, e2), (d1, d2) = ((a[:, 1] - a[:, 0], a[:, 2] - a[:, 0]) for a in (corners, uv))
    area = d1[:, 0] * d2[:, 1] - d2[:, 0] * d1[:, 1]
    sign = np.where(area < 0, -1.0, 1.0)[:, None]
    along_u = sign * (e1 * d2[:, 1:] - e2 * d1[:, 1:])
    along_v = sign * (e2 * d1[:, :1] - e1 * d2[:, :1])
    count = len(mesh.vertices)
    tangent, bitangent = (
        np.stack([np.bincount(mesh.faces.ravel(), np.repeat(a[:, c], 3), count) for c in range(3)], axis=1)
        for a in (along_u, along_v)
    )
    normal = mesh.normals.astype(np.float64)
    tangent -= (tangent * normal).sum(1, keepdims=True) * normal
    # Without an extent in the texture any direction square to the normal will do.
    other = np.cross(normal, np.where(np.abs(normal[:, :1]) < 0.9, [[1.0, 0, 0]], [[0, 1.0, 0]]))
    tangent = np.where(np.linalg.norm(tangent, axis=1, keepdims=True) > 1e-9, tangent, other)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    handed = np.where((np.cross(normal, tangent) * bitangent).sum(1) < 0, -1.0, 1.0)
    return np.column_stack([tangent, handed]).astype(np.float32)
