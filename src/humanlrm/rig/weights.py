"""Skin weights by heat diffusion on the surface, after Pinocchio (Baran & Popovic 2007, section 4).

Every vertex is heated by the nearest bone that it sees through the body's inside, with the strength 1 / distance^2.
The weights are the temperatures at rest: ``(L + A H) w = A H p`` with the cotangent Laplacian L, the vertex areas A,
the heat H of each vertex and, for each joint, p = 1 where its bone heats and 0 elsewhere.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import coo_matrix, csc_matrix, diags
from scipy.sparse.linalg import splu

from humanlrm.mesh.raycast import RayScene
from humanlrm.mesh.surface import TriangleSurface, face_normals, vertex_normals
from humanlrm.rig.skeleton import JOINTS, Skeleton

#: Joints that move one vertex.
MOST_JOINTS = 4
#: Bones that are looked for from each vertex: the nearest ones.
_CANDIDATES = 8
#: A ray to a bone starts this far below the surface (box units), and a bone that the body hides is this much farther.
_START_DEPTH, _HIDDEN_FACTOR = 2e-3, 4.0
#: Distance that is added to excluded bones: more than any in the box.
_BARRED = 100.0
#: Weights below this are dropped.
_LEAST_WEIGHT = 0.01
#: A cotangent below this counts as this: negative ones would allow temperatures outside of [0, 1].
_LEAST_COTANGENT = 0.02


@dataclass(frozen=True)
class SkinWeights:
    """Joints that move each vertex.

    Attributes:
        joints: indices into ``JOINTS``; 0 where the weight is 0.
        weights: not negative, they sum to 1.
    """

    joints: Int[np.ndarray, "V 4"]
    weights: Float[np.ndarray, "V 4"]

    def __getitem__(self, chosen: Int[np.ndarray, "U"]) -> "SkinWeights":
        return SkinWeights(self.joints[chosen], self.weights[chosen])

    def dense(self) -> Float[np.ndarray, "V K"]:
        """One column per joint."""
        out = np.zeros((len(self.joints), len(JOINTS)), np.float32)
        np.add.at(out, (np.arange(len(out))[:, None], self.joints), self.weights)
        return out


def strongest(weights: Float[np.ndarray, "V K"]) -> SkinWeights:
    """The four largest weights of each vertex, scaled to the sum 1."""
    joints = np.argsort(-weights, axis=1)[:, :MOST_JOINTS]
    kept = np.take_along_axis(weights, joints, axis=1)
    kept = np.where(kept < _LEAST_WEIGHT * kept[:, :1], 0, kept)
    kept = kept / kept.sum(axis=1, keepdims=True)
    return SkinWeights(np.where(kept > 0, joints, 0).astype(np.int32), kept.astype(np.float32))


@dataclass(frozen=True)
class BoneDistances:
    """The nearest bones of each vertex.

    Attributes:
        joints: joint that moves each bone.
        distances: from the vertex to the bone.
        costs: distances less the radius of the flesh; bones that the vertex does not see through the body's inside are
            farther. An arm that hangs beside the trunk is near its flank, but not seen from there.
        seen: true for bones that the vertex sees.
    """

    joints: Int[np.ndarray, "V C"]
    distances: Float[np.ndarray, "V C"]
    costs: Float[np.ndarray, "V C"]
    seen: Bool[np.ndarray, "V C"]

    def cheapest(self) -> tuple[Int[np.ndarray, "V"], Float[np.ndarray, "V"], Bool[np.ndarray, "V"]]:
        """Joint, distance and visibility of the bone of least cost."""
        best = self.costs.argmin(axis=1)[:, None]
        joint, distance, seen = (np.take_along_axis(a, best, 1)[:, 0] for a in (self.joints, self.distances, self.seen))
        return joint, distance, seen

    def without(self, excluded: Bool[np.ndarray, "V K"]) -> "BoneDistances":
        """The same, where excluded joints are far and never seen."""
        barred = np.take_along_axis(excluded, self.joints, axis=1)
        return replace(self, costs=self.costs + _BARRED * barred, seen=self.seen & ~barred)

    def preference(self, joints: list[int]) -> Float[np.ndarray, "V"]:
        """Least cost of all other bones less that of the bones of these joints."""
        chosen = np.isin(self.joints, joints)
        farthest = self.costs.max(axis=1)
        limb = np.where(chosen, self.costs, np.inf).min(axis=1)
        other = np.where(chosen, np.inf, self.costs).min(axis=1)
        return np.minimum(other, farthest) - np.minimum(limb, farthest)


def bone_distances(surface: TriangleSurface, skeleton: Skeleton) -> BoneDistances:
    """Distances of the vertices of a closed surface to the bones inside."""
    joint, pieces, radii = skeleton.segments
    points = surface.vertices.astype(np.float64)
    feet, distances = nearest_on_segments(points, pieces)
    order = np.argpartition(distances - radii, _CANDIDATES, axis=1)[:, :_CANDIDATES]
    rows = np.arange(len(points))[:, None]
    inner = points - _START_DEPTH * vertex_normals(surface)
    scene = RayScene(surface.vertices, surface.faces)
    hidden = scene.occluded(np.repeat(inner[:, None], order.shape[1], axis=1), feet[rows, order], offset=1e-4)
    near = distances[rows, order]
    # A bone may leave the body where the estimate is a little off: being hidden makes it farther, not impossible.
    costs = near * np.where(hidden, _HIDDEN_FACTOR, 1.0) - radii[order]
    return BoneDistances(joint[order], near, costs, ~hidden)


def heat_weights(
    surface: TriangleSurface, skeleton: Skeleton, excluded: Bool[np.ndarray, "V K"] | None = None
) -> SkinWeights:
    """Skin weights of a closed surface around a skeleton.

    Args:
        excluded: joints that do not heat a vertex.
    """
    bones = bone_distances(surface, skeleton)
    joint, distance, seen = (bones if excluded is None else bones.without(excluded)).cheapest()
    count = len(surface.vertices)
    scale = float(np.ptp(surface.vertices, axis=0).max())
    heat = vertex_areas(surface) / np.maximum(distance, 0.01 * scale) ** 2
    # A vertex that sees no bone takes the weights of those around it.
    heat = np.where(seen, heat, 1e-3 * heat)
    system = csc_matrix(laplacian(surface) + diags(heat))
    used = np.unique(joint)
    sources = np.where(joint[:, None] == used, heat[:, None], 0.0)
    weights = np.zeros((count, len(JOINTS)))
    weights[:, used] = splu(system, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}).solve(sources)
    return strongest(np.clip(weights, 0, 1))


def nearest_on_segments(
    points: Float[np.ndarray, "P 3"], segments: Float[np.ndarray, "S 2 3"]
) -> tuple[Float[np.ndarray, "P S 3"], Float[np.ndarray, "P S"]]:
    """Nearest point of each segment, and its distance."""
    start, along = segments[:, 0], segments[:, 1] - segments[:, 0]
    length2 = np.maximum((along**2).sum(-1), 1e-12)
    share = np.clip((points @ along.T - (start * along).sum(-1)) / length2, 0, 1)
    feet = start + share[..., None] * along
    return feet, np.linalg.norm(points[:, None] - feet, axis=-1)


def vertex_areas(surface: TriangleSurface) -> Float[np.ndarray, "V"]:
    """A third of the area of the faces around each vertex."""
    areas = np.linalg.norm(face_normals(surface), axis=1) / 6
    return np.bincount(surface.faces.ravel(), np.repeat(areas, 3), len(surface.vertices))


def laplacian(surface: TriangleSurface) -> csc_matrix:
    """Cotangent Laplacian, positive semi-definite, with rows that sum to 0."""
    corners = surface.vertices.astype(np.float64)[surface.faces]
    rows, columns, values = [], [], []
    for k in range(3):
        a, b, c = (corners[:, (k + i) % 3] for i in range(3))
        area2 = np.maximum(np.linalg.norm(np.cross(b - a, c - a), axis=1), 1e-12)
        cotangent = np.maximum(((b - a) * (c - a)).sum(1) / area2, _LEAST_COTANGENT) / 2
        rows.append(surface.faces[:, (k + 1) % 3])
        columns.append(surface.faces[:, (k + 2) % 3])
        values.append(np.minimum(cotangent, 1 / _LEAST_COTANGENT))
    i, j, w = (np.concatenate(parts) for parts in (rows, columns, values))
    count = len(surface.vertices)
    links = coo_matrix((w, (i, j)), (count, count))
    links = csc_matrix(links + links.T)
    return csc_matrix(diags(np.asarray(links.sum(axis=1)).ravel()) - links)
