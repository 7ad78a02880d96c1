"""Fewer triangles with the look of many: texture and normals of a detailed mesh, baked onto a simplified one."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from scipy.spatial import KDTree

from humanlrm.mesh.clean import simplify
from humanlrm.mesh.export.tangents import vertex_tangents
from humanlrm.mesh.preview import texture_at
from humanlrm.mesh.raycast import Hits, RayScene
from humanlrm.mesh.surface import TexturedMesh, TriangleSurface, vertex_normals
from humanlrm.mesh.texels import Texels, paint, rasterize
from humanlrm.mesh.unwrap import unwrap

#: The detailed surface is looked for this far along the normal, in both directions (box units).
_LARGEST_SHIFT = 0.03


@dataclass(frozen=True)
class BakedMesh:
    """A simplified mesh with the detailed one's colours and normals.

    Attributes:
        mesh: the simplified one.
        normal_map: normals of the detailed surface in the tangent space of the simplified one (OpenGL: green is up).
    """

    mesh: TexturedMesh
    normal_map: UInt8[np.ndarray, "N N 3"]


def bake_lowpoly(detailed: TexturedMesh, faces: int, size_px: int) -> BakedMesh:
    """Simplify a mesh and bake what is lost into textures.

    Args:
        faces: approximate number of triangles.
        size_px: side of both textures.
    """
    first = np.zeros(int(detailed.welded.max()) + 1, np.int64)
    first[detailed.welded] = np.arange(len(detailed.welded))
    surface = simplify(TriangleSurface(detailed.vertices[first], detailed.welded[detailed.faces]), faces)
    normals = vertex_normals(surface)
    unwrapped = unwrap(surface, size_px)
    texels = rasterize(unwrapped, size_px)
    points = texels.interpolate(surface, surface.vertices)
    smooth = _unit(texels.interpolate(surface, normals))
    hits, scene = _nearest_hits(detailed, points, smooth)
    colors = texture_at(detailed, scene.interpolate(hits, detailed.uv))
    welded = unwrapped.welded
    mesh = TexturedMesh(
        surface.vertices[welded], unwrapped.faces, unwrapped.uv, paint(texels, colors, size_px), normals[welded], welded
    )
    fine = _unit(scene.interpolate(hits, detailed.normals))
    return BakedMesh(mesh, _tangent_map(mesh, texels, smooth, fine, size_px))


def _nearest_hits(
    detailed: TexturedMesh, points: Float[np.ndarray, "P 3"], normals: Float[np.ndarray, "P 3"]
) -> tuple[Hits, RayScene]:
    """The detailed surface's point along the normal, outward or inward; else its nearest vertex."""
    scene = RayScene(detailed.vertices, detailed.faces)
    outward, inward = scene.first_hit(points, normals), scene.first_hit(points, -normals)
    use_inward = inward.distance < outward.distance
    face = np.where(use_inward, inward.face, outward.face)
    barycentric = np.where(use_inward[:, None], inward.barycentric, outward.barycentric)
    distance = np.minimum(inward.distance, outward.distance)
    lost = np.flatnonzero(~(distance < _LARGEST_SHIFT))
    if len(lost):
        corners = detailed.faces.ravel()
        vertex_face, vertex_corner = (
            np.zeros(len(detailed.vertices), np.int64),
            np.zeros(len(detailed.vertices), np.int64),
        )
        vertex_face[corners], vertex_corner[corners] = np.divmod(np.arange(len(corners)), 3)
        nearest = KDTree(detailed.vertices).query(points[lost])[1]
        face[lost] = vertex_face[nearest]
        barycentric[lost] = np.eye(3, dtype=np.float32)[vertex_corner[nearest]]
    return Hits(face, barycentric.astype(np.float32), distance), scene


def _tangent_map(
    mesh: TexturedMesh, texels: Texels, smooth: Float[np.ndarray, "P 3"], fine: Float[np.ndarray, "P 3"], size_px: int
) -> UInt8[np.ndarray, "N N 3"]:
    """Normals in the axes that a viewer interpolates between the vertices."""
    surface = TriangleSurface(mesh.vertices, mesh.faces)
    tangents = texels.interpolate(surface, vertex_tangents(mesh))
    tangent, sign = _unit(tangents[:, :3]), np.sign(tangents[:, 3:])
    bitangent = np.cross(smooth, tangent) * sign
    local = np.stack([(fine * axis).sum(1) for axis in (tangent, bitangent, smooth)], axis=1)
    # A detailed normal that turns away would light the back of a face.
    local[:, 2] = np.maximum(local[:, 2], 0.05)
    return paint(texels, (_unit(local) / 2 + 0.5).astype(np.float32), size_px)


def _unit(vectors: Float[np.ndarray, "P 3"]) -> Float[np.ndarray, "P 3"]:
    return (vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)).astype(np.float32)
