"""Parts of the body and of inner garments that an outer garment covers, found by rays.

Covered skin is pulled toward the bones and covered cloth is taken away, so that bent limbs do not pierce the garment.
The body stays one closed surface, the sign of distances needs it.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from humanlrm.mesh.raycast import RayScene
from humanlrm.mesh.surface import TriangleSurface, face_normals

#: How far above a vertex cloth covers it, and how far below it cloth may have sunk into it: into a body, and into
#: wide garments that end under it.
_REACH_M, _SUNK_M, _CLOTH_SUNK_M = 0.06, 0.015, 0.04
#: Rings of neighbours that stay untouched inside the border of what is covered.
_SKIN_RINGS, _CLOTH_RINGS = 2, 3
#: Pull toward the bones: share of the distance to them, and at most; feet go into shoes, whose soles are thin.
_PULL, _PULL_M, _FOOT_PULL = 0.3, 0.022, 0.6


@dataclass(frozen=True)
class BoneSegments:
    """The segments that skin is pulled to: ``start`` and ``end`` of each bone, and which are of the feet."""

    start: Float[np.ndarray, "B 3"]
    end: Float[np.ndarray, "B 3"]
    foot: Bool[np.ndarray, "B"]


def covered(
    vertices: Float[np.ndarray, "V 3"],
    normals: Float[np.ndarray, "V 3"],
    cloth: RayScene,
    *,
    sunk_m: float = _SUNK_M,
) -> Bool[np.ndarray, "V"]:
    """A mask of vertices: a ray along the normal from ``sunk_m`` below meets the inside of ``cloth`` in reach."""
    hits = cloth.first_hit(vertices - sunk_m * normals, normals)
    met = face_normals(TriangleSurface(cloth.vertices, cloth.faces[hits.face]))
    outward = (met * normals).sum(-1) > 0
    return hits.hit & outward & (hits.distance < sunk_m + _REACH_M)


def under_shell(
    vertices: Float[np.ndarray, "V 3"], centre: Float[np.ndarray, "3"], shell: RayScene
) -> Bool[np.ndarray, "V"]:
    """A mask of vertices that a shell around ``centre``, such as a hat, hides: inside it or just outside."""
    away = vertices - centre
    length = np.maximum(np.linalg.norm(away, axis=1), 1e-6)
    hits = shell.first_hit(centre, away / length[:, None])
    return hits.hit & (hits.distance < length + _REACH_M)


def rings(inside: Bool[np.ndarray, "V"], faces: Int[np.ndarray, "F 3"], count: int) -> Int[np.ndarray, "V"]:
    """Rings of neighbours, up to ``count``, between each vertex of ``inside`` and its border; 0 outside."""
    depth, now = inside.astype(np.int64), inside
    for _ in range(count - 1):
        border = (~now)[faces].any(axis=1)
        now = now.copy()
        now[faces[border].ravel()] = False
        depth += now
    return depth


def pulled_in(
    vertices: Float[np.ndarray, "V 3"],
    faces: Int[np.ndarray, "F 3"],
    inside: Bool[np.ndarray, "V"],
    weights: Float[np.ndarray, "V B"],
    bones: BoneSegments,
) -> Float[np.ndarray, "V 3"]:
    """The body with its covered vertices moved toward their bones, less near the border of what is covered."""
    depth = rings(inside, faces, _SKIN_RINGS + 3)
    share = np.clip((depth - 1) / _SKIN_RINGS, 0, 1)
    rows = np.flatnonzero(share > 0)
    toward = _nearest_on_bones(vertices[rows], weights[rows], bones) - vertices[rows]
    length = np.linalg.norm(toward, axis=1)
    of_foot = weights[rows][:, bones.foot].sum(1)
    body = np.minimum(_PULL * length, _PULL_M)
    pull = body + of_foot * (_FOOT_PULL * length - body)
    moved = vertices.copy()
    moved[rows] += (toward * (share[rows] * pull / np.maximum(length, 1e-6))[:, None]).astype(np.float32)
    return moved


def _nearest_on_bones(
    points: Float[np.ndarray, "V 3"], weights: Float[np.ndarray, "V B"], bones: BoneSegments
) -> Float[np.ndarray, "V 3"]:
    """The weighted mean of the nearest points on the four bones that move a vertex most."""
    main = np.argpartition(weights, -4, axis=1)[:, -4:] if weights.shape[1] > 4 else np.argsort(-weights, axis=1)
    share = np.take_along_axis(weights, main, axis=1)
    start, along = bones.start[main], (bones.end - bones.start)[main]
    squared = np.maximum((along**2).sum(-1), 1e-12)
    t = np.clip(((points[:, None] - start) * along).sum(-1) / squared, 0, 1)
    nearest = start + t[..., None] * along
    return np.einsum("vk,vkc->vc", share / share.sum(1, keepdims=True), nearest)


def uncovered_faces(
    vertices: Float[np.ndarray, "V 3"],
    normals: Float[np.ndarray, "V 3"],
    faces: Int[np.ndarray, "F 3"],
    cloth: RayScene,
) -> Bool[np.ndarray, "F"]:
    """The faces of an inner garment that stay when ``cloth`` is worn over it."""
    deep = rings(covered(vertices, normals, cloth, sunk_m=_CLOTH_SUNK_M), faces, _CLOTH_RINGS) == _CLOTH_RINGS
    return ~deep[faces].all(axis=1)
