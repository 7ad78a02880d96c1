"""Contacts: where limbs touch the body in the photo, the reconstructed surface is fused; here it is cut and closed.

The surface is cut along the border between a limb and everything else, as far as the limb does not grow out of it
(armpit, groin), and both wounds are closed by strips between the two sides of the border. So the surface stays closed,
and heat does not flow from the arm into the trunk.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import breadth_first_order, connected_components, maximum_flow

from humanlrm.mesh.surface import TexturedMesh, TriangleSurface, unit_face_normals, vertex_normals
from humanlrm.rig.skeleton import JOINT, JOINTS, Skeleton
from humanlrm.rig.weights import bone_distances, nearest_on_segments
from humanlrm.rig.wounds import CutSurface, close_wounds, smooth_border, split_vertices

#: Limbs that are cut free, in this order: name in sentences, joint where the limb begins, and the joints that move it.
_CUT_LIMBS = {
    "left arm": ("leftUpperArm", "leftLowerArm", "leftHand"),
    "right arm": ("rightUpperArm", "rightLowerArm", "rightHand"),
    "left leg": ("leftUpperLeg", "leftLowerLeg", "leftFoot", "leftToes"),
    "right leg": ("rightUpperLeg", "rightLowerLeg", "rightFoot", "rightToes"),
}
#: Up to this share of a limb's first bone the limb grows out of the body: nothing is cut there.
_ROOT_SHARE = 0.35
#: A face that a limb's bones are this much nearer than all others (box units) surely is the limb's.
_SURE = 0.05
#: Rise of the neighbour over a face, as a sine, that makes a border e times as cheap; capacity of a border's edge.
_CREASE, _FLOW_UNIT = 0.05, 100
#: Borders of fewer edges are not cut.
_LEAST_EDGES = 8


@dataclass(frozen=True)
class Parted:
    """A mesh whose limbs are free.

    Attributes:
        mesh: closed, with cuts where limbs touched the body; the same mesh if none does.
        source: vertex of the uncut, welded surface that each welded vertex comes from, or lies near.
        excluded: joints that must not move a vertex, since it lies on the other side of a cut.
        sentences: one per limb that was fused.
    """

    mesh: TexturedMesh
    source: Int[np.ndarray, "V"]
    excluded: Bool[np.ndarray, "V K"]
    sentences: tuple[str, ...]


def part_limbs(mesh: TexturedMesh, skeleton: Skeleton) -> Parted:
    """Cut arms and legs free from what they touch."""
    first = first_of_each(mesh.welded)
    cut = CutSurface(
        mesh.vertices[first].astype(np.float64), mesh.welded[mesh.faces].astype(np.int64), mesh.uv[mesh.faces]
    )
    bones = bone_distances(TriangleSurface(mesh.vertices[first], cut.faces), skeleton)
    sentences, source, excluded = [], np.arange(len(first)), np.zeros((len(first), len(JOINTS)), bool)
    for name, joints in _CUT_LIMBS.items():
        numbers = [JOINT[joint] for joint in joints]
        parted = _part_limb(cut, bones.preference(numbers)[source], skeleton, joints)
        if parted is None:
            continue
        cut, origin, inside = parted
        source, excluded = source[origin], excluded[origin]
        beyond = _position_on_limb(cut.vertices, skeleton, joints) > _ROOT_SHARE
        of_limb = np.isin(np.arange(len(JOINTS)), numbers)
        excluded |= beyond[:, None] & (inside[:, None] != of_limb)
        sentences.append(f"the {name} touches the body in the photo; the surface was fused there and is cut")
    return Parted(_textured(cut, mesh) if sentences else mesh, source, excluded, tuple(sentences))


def first_of_each(welded: Int[np.ndarray, "U"]) -> Int[np.ndarray, "V"]:
    """A vertex that stands for each welded one."""
    first = np.zeros(int(welded.max()) + 1, np.int64)
    first[welded] = np.arange(len(welded))
    return first


def _part_limb(
    cut: CutSurface, preference: Float[np.ndarray, "V"], skeleton: Skeleton, joints: tuple[str, ...]
) -> tuple[CutSurface, Int[np.ndarray, "W"], Bool[np.ndarray, "W"]] | None:
    """The surface with one limb cut free, the vertex that each vertex comes from, and whether it is the limb's.

    ``None``: nothing is in touch.
    """
    neighbours = _face_neighbours(cut.faces)
    cost = _border_cost(TriangleSurface(cut.vertices, cut.faces), neighbours)
    inside = _limb_faces(preference[cut.faces].mean(axis=1), cost, neighbours)
    border = inside[:, None] != inside[neighbours]
    middle = (cut.vertices[cut.faces] + cut.vertices[np.roll(cut.faces, -1, axis=1)]) / 2
    severed = np.zeros_like(border)
    severed[border] = _position_on_limb(middle[border], skeleton, joints) > _ROOT_SHARE
    if severed.sum() < 2 * _LEAST_EDGES:
        return None
    faces, origin = split_vertices(cut.faces, neighbours, severed)
    opened = CutSurface(smooth_border(cut, severed)[origin], faces, cut.uv)
    closed, near = close_wounds(opened, inside, severed)
    owned = np.zeros(len(origin), bool)
    owned[faces[inside]] = True
    return closed, np.concatenate([origin, origin[near]]), np.concatenate([owned, owned[near]])


def _position_on_limb(
    points: Float[np.ndarray, "P 3"], skeleton: Skeleton, joints: tuple[str, ...]
) -> Float[np.ndarray, "P"]:
    """Place of the limb's nearest point: 0 to 1 along its first bone, more on the others."""
    numbers = [JOINT[name] for name in joints]
    bones = np.stack([skeleton.positions[numbers], skeleton.ends[numbers]], axis=1)
    feet, distances = nearest_on_segments(points, bones)
    nearest, rows = distances.argmin(axis=1), np.arange(len(points))
    lengths = np.linalg.norm(bones[:, 1] - bones[:, 0], axis=1)
    share = np.linalg.norm(feet[rows, nearest] - bones[nearest, 0], axis=1) / np.maximum(lengths[nearest], 1e-9)
    return nearest + share


def _limb_faces(
    preference: Float[np.ndarray, "F"], cost: Int[np.ndarray, "F 3"], neighbours: Int[np.ndarray, "F 3"]
) -> Bool[np.ndarray, "F"]:
    """Faces of a limb: the minimum cut between faces that surely are its own and faces that surely are not.

    Args:
        preference: for the limb, box units; its size says how sure it is.
        cost: of a border along each edge.
    """
    count = len(preference)
    face, doubt = np.arange(count), np.round(_FLOW_UNIT * np.minimum(np.abs(preference) / _SURE, 1) ** 2)
    sure = np.where(np.abs(preference) > _SURE, 1000 * _FLOW_UNIT, doubt).astype(np.int32)
    limb = preference > 0
    source, sink = count, count + 1
    rows = np.concatenate([np.repeat(face, 3), np.full(limb.sum(), source), face[~limb]])
    columns = np.concatenate([neighbours.ravel(), face[limb], np.full((~limb).sum(), sink)])
    capacity = csr_matrix((np.concatenate([cost.ravel(), sure[limb], sure[~limb]]), (rows, columns)), (count + 2,) * 2)
    left = capacity - maximum_flow(capacity, source, sink).flow
    left.data = np.maximum(left.data, 0)
    left.eliminate_zeros()
    inside = np.zeros(count + 2, bool)
    inside[breadth_first_order(left, source, return_predecessors=False)] = True
    return _without_islands(inside[:count], neighbours)


def _without_islands(inside: Bool[np.ndarray, "F"], neighbours: Int[np.ndarray, "F 3"]) -> Bool[np.ndarray, "F"]:
    """Only the largest patch on either side keeps its side."""
    for side in (True, False):
        pairs = (inside[:, None] == side) & (inside[neighbours] == side)
        face = np.repeat(np.arange(len(inside)), 3)[pairs.ravel()]
        links = coo_matrix((np.ones(len(face)), (face, neighbours.ravel()[pairs.ravel()])), (len(inside),) * 2)
        label = connected_components(links, directed=False)[1]
        if (inside == side).any():
            largest = np.bincount(label[inside == side]).argmax()
            inside = np.where((inside == side) & (label != largest), not side, inside)
    return inside


def _border_cost(surface: TriangleSurface, neighbours: Int[np.ndarray, "F 3"]) -> Int[np.ndarray, "F 3"]:
    """Cost of a border along each edge: its length, and much less in a crease."""
    corners = surface.vertices.astype(np.float64)[surface.faces]
    lengths = np.linalg.norm(np.roll(corners, -1, axis=1) - corners, axis=-1)
    normals, centers = unit_face_normals(surface), corners.mean(axis=1)
    across = centers[neighbours] - centers[:, None]
    across /= np.maximum(np.linalg.norm(across, axis=-1, keepdims=True), 1e-12)
    # Positive where the neighbour rises above the face: the edge lies in a valley.
    rise = np.einsum("fkc,fkc->fk", across, normals[:, None] - normals[neighbours]) / 2
    relative = lengths / np.median(lengths)
    return np.maximum(_FLOW_UNIT * relative * np.exp(-np.maximum(rise, 0) / _CREASE), 1).astype(np.int32)


def _face_neighbours(faces: Int[np.ndarray, "F 3"]) -> Int[np.ndarray, "F 3"]:
    """Face across each edge (corner k to k+1) of a closed surface."""
    start, end = faces.ravel(), np.roll(faces, -1, axis=1).ravel()
    forward, backward = np.lexsort((end, start)), np.lexsort((start, end))
    across = np.empty(faces.size, dtype=np.int64)
    across[forward] = backward // 3
    return across.reshape(-1, 3)


def _textured(cut: CutSurface, mesh: TexturedMesh) -> TexturedMesh:
    """The mesh with one vertex per pair of position and texture coordinate."""
    size = len(mesh.texture)
    place = np.round(cut.uv.reshape(-1, 2).astype(np.float64) * size * 64).astype(np.int64)
    key = np.column_stack([cut.faces.ravel(), place])
    _, first, number = np.unique(key, axis=0, return_index=True, return_inverse=True)
    welded = cut.faces.ravel()[first]
    normals = vertex_normals(TriangleSurface(cut.vertices.astype(np.float32), cut.faces.astype(np.int32)))
    return replace(
        mesh,
        vertices=cut.vertices[welded].astype(np.float32),
        faces=number.reshape(-1, 3).astype(np.int32),
        uv=cut.uv.reshape(-1, 2)[first].astype(np.float32),
        normals=normals[welded],
        welded=welded.astype(np.int32),
    )
