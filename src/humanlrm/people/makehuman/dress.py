"""Garments on a body: fitted, skin and inner cloth tucked in below them, posed together, merged into one scan."""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from scipy.spatial import KDTree

from humanlrm.data.scan import Scan
from humanlrm.mesh.raycast import RayScene
from humanlrm.mesh.surface import TriangleSurface, vertex_normals
from humanlrm.people.armature import SIDES, Armature, bone_landmarks, rigid_landmarks, skin
from humanlrm.people.body_model import body_model
from humanlrm.people.chest_print import Chest, find_chest, with_print
from humanlrm.people.makehuman.assets import SLOT_OF, GarmentOutfit, GarmentPiece, MakeHumanAssets
from humanlrm.people.makehuman.atlas import SLOTS
from humanlrm.people.makehuman.base_mesh import (
    BODY_VERTICES,
    Hand,
    armature_of,
    base_mesh,
    bone_rotations,
    random_hands,
)
from humanlrm.people.makehuman.covering import BoneSegments, covered, pulled_in, uncovered_faces, under_shell
from humanlrm.people.makehuman.paint import paint_atlas
from humanlrm.people.mesh import PersonMesh, floor_below, join_meshes, line_sheets
from humanlrm.people.poses.balance import Skeleton, balanced
from humanlrm.people.poses.clearance import Probes, cleared
from humanlrm.people.poses.pack import world_rotations

#: Room between skin and cloth.
GAP_M = 0.004


@dataclass(frozen=True)
class Layer:
    """A part of a dressed person at rest: mesh with texture coordinates on the atlas, and skinning weights."""

    slot: str
    vertices: Float[np.ndarray, "V 3"]
    faces: Int[np.ndarray, "F 3"]
    uv: Float[np.ndarray, "U 2"]
    uv_faces: Int[np.ndarray, "F 3"]
    weights: Float[np.ndarray, "V B"]

    def kept(self, faces: Bool[np.ndarray, "F"]) -> "Layer":
        """Only the chosen faces (all vertices stay)."""
        return replace(self, faces=self.faces[faces], uv_faces=self.uv_faces[faces])


def dressed_scan(
    assets: MakeHumanAssets,
    phenotype: dict[str, float],
    outfit: GarmentOutfit,
    quats: Float[np.ndarray, "22 4"],
    rng: np.random.Generator,
    *,
    height_m: float,
    hands_inside: bool = False,
) -> Scan:
    """One person: body and pieces fitted at rest, then posed together.

    Args:
        height_m: of the body without shoes.
        hands_inside: leave hands where the pose puts them, such as in pockets; otherwise they come out of the body.
    """
    mesh = base_mesh()
    base, heads = body_model("makehuman").rest(phenotype)
    scale = np.float32(height_m / np.ptp(base[:BODY_VERTICES, 1]))
    base, heads = base * scale, heads * scale
    clothes = [assets.piece(name) for name in outfit.clothes]
    extras = [assets.piece(name) for name in outfit.head]
    armature = armature_of(heads)
    layers = _tucked_layers(base, clothes, bone_segments(armature)) + _on_the_head(base, extras, armature)
    hands = random_hands(rng)
    quats = balanced(quats, _skeleton(base, armature, hands))
    turns = bone_rotations(armature, world_rotations(quats), hands)
    if not hands_inside:
        turns = _clear_of_the_body(base, armature, turns)
    transforms = armature.place(turns)
    posed = [skin(layer.vertices, layer.weights, armature, transforms) for layer in layers]
    _tuck(posed, layers, clothes)
    landmarks = bone_landmarks(armature, transforms[1], posed[0][mesh.nose], posed[0][mesh.crown])
    texture = paint_atlas(assets, outfit, [*clothes, *extras], rng)
    if assets.split == "train":
        texture = with_print(texture, _chest_of(layers, armature, texture), rng)
    licences = sorted({piece.licence for piece in (*clothes, *extras)} | {"CC0-1.0"})
    whole = _merged(layers, posed)
    floor = floor_below(whole.vertices)
    whole = whole._replace(vertices=whole.vertices - floor)
    return Scan("", "composed", " AND ".join(licences), *whole, texture, (landmarks - floor).astype(np.float32))


def _chest_of(layers: list[Layer], armature: Armature, texture: UInt8[np.ndarray, "H W 3"]) -> Chest:
    """Texels of the outermost garment on the front of the trunk."""
    worn = [layer for layer in layers if layer.slot in ("upper", "over")]
    if not worn:
        return Chest(np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros(0, np.float32))
    outer = worn[-1]
    shoulders = armature.rest[[armature.index(f"upperarm01.{side}") for _, side in SIDES]]
    arm = base_mesh().bones_of("shoulder", "upperarm", "lowerarm", "wrist", "finger", "metacarpal")
    trunk = (outer.weights[:, arm].sum(1) < 0.5)[outer.faces].all(1)
    surface = TriangleSurface(outer.vertices, outer.faces)
    return find_chest(texture.shape[:2], surface, outer.uv, outer.uv_faces, shoulders, trunk)


def _skeleton(base: Float[np.ndarray, "N 3"], armature: Armature, hands: tuple[Hand, Hand]) -> Skeleton:
    """The landmarks of a body in a pose, its head rigid."""
    face = base[[base_mesh().nose, base_mesh().crown]]
    return lambda world: rigid_landmarks(armature, armature.place(bone_rotations(armature, world, hands)), face)


def _clear_of_the_body(
    base: Float[np.ndarray, "N 3"], armature: Armature, turns: Float[np.ndarray, "B 3 3"]
) -> Float[np.ndarray, "B 3 3"]:
    """The bones' rotations with arms turned so that hands and forearms stay outside of trunk, legs and head."""
    mesh, rows = base_mesh(), _probe_rows()
    normals = vertex_normals(TriangleSurface(base[:BODY_VERTICES], mesh.faces))[rows]
    weights = mesh.weights[rows]
    arms = {side: _bones_below(armature, f"upperarm01.{end}") for side, end in SIDES}

    def turned(extra: dict[str, Float[np.ndarray, "3 3"]]) -> Float[np.ndarray, "B 3 3"]:
        out = turns.copy()
        for side, bones in arms.items():
            out[bones] = extra[side] @ turns[bones]
        return out

    def probe(extra: dict[str, Float[np.ndarray, "3 3"]]) -> Probes:
        linear, places = armature.place(turned(extra))
        blended = (weights @ linear.reshape(-1, 9)).reshape(-1, 3, 3)
        return Probes(
            skin=skin(base[rows], weights, armature, (linear, places)),
            normals=np.einsum("vac,vc->va", blended, normals),
            arms={side: places[[armature.index(f"{bone}.{end}") for bone in _ARM_POINTS]] for side, end in SIDES},
            shoulders={side: places[armature.index(f"upperarm01.{end}")] for side, end in SIDES},
        )

    return turned(cleared({side: np.eye(3) for side in arms}, probe))


#: Bones whose beginnings must stay outside of the body: the middle of the forearm, wrist, palm and fingers.
_ARM_POINTS = ("lowerarm02", "wrist", "finger3-1", "finger3-3")


@cache
def _probe_rows() -> Int[np.ndarray, "P"]:
    """Every eighth vertex of the body without its arms."""
    mesh = base_mesh()
    arm = mesh.bones_of("shoulder", "upperarm", "lowerarm", "wrist", "finger", "metacarpal")
    return np.flatnonzero(mesh.weights[:BODY_VERTICES, arm].sum(1) < 0.05)[::8]


def _bones_below(armature: Armature, name: str) -> list[int]:
    """A bone and everything that hangs on it."""
    below = [armature.index(name)]
    for bone, parent in enumerate(armature.parents):
        if parent in below:
            below.append(bone)
    return below


def bone_segments(armature: Armature) -> BoneSegments:
    """Segments from each bone's head to the mean of its children's; all bones of a foot share one to its ball."""
    start = armature.rest.astype(np.float32)
    children = [[j for j, parent in enumerate(armature.parents) if parent == bone] for bone in range(len(start))]
    end = np.stack([start[c].mean(0) if c else start[bone] for bone, c in enumerate(children)])
    foot = np.array([name.startswith(("foot", "toe")) for name in armature.names])
    for _, side in SIDES:
        ankle, ball = (armature.rest[armature.index(f"{bone}.{side}")] for bone in ("foot", "toe2-1"))
        bones = [bone for bone in np.flatnonzero(foot) if armature.names[bone].endswith(side)]
        start[bones], end[bones] = ankle, ankle + 1.0 * (ball - ankle)
    return BoneSegments(start, end, foot)


def _tucked_layers(base: Float[np.ndarray, "N 3"], clothes: list[GarmentPiece], bones: BoneSegments) -> list[Layer]:
    """The body and its clothes at rest, inner first: what lies under a garment is pulled in below it or taken away."""
    mesh = base_mesh()
    weights = mesh.weights[:BODY_VERTICES]
    body = Layer("skin", base[:BODY_VERTICES].copy(), mesh.faces, mesh.uv, mesh.uv_faces, weights)
    layers = [body, *(_layer(piece, base) for piece in clothes)]
    shapes = [layer.vertices for layer in layers]
    _tuck(shapes, layers, clothes)
    scenes = [RayScene(shape, layer.faces) for shape, layer in zip(shapes[1:], layers[1:], strict=True)]
    normals = vertex_normals(TriangleSurface(shapes[0], mesh.faces))
    hidden = np.any([_hidden(p) | covered(shapes[0], normals, s) for p, s in zip(clothes, scenes, strict=True)], axis=0)
    shapes[0] = pulled_in(shapes[0], mesh.faces, hidden, weights, bones)
    for inner in range(1, len(layers)):
        stay = np.ones(len(layers[inner].faces), bool)
        normals = vertex_normals(TriangleSurface(shapes[inner], layers[inner].faces))
        for scene in scenes[inner:]:
            stay &= uncovered_faces(shapes[inner], normals, layers[inner].faces, scene)
        layers[inner] = layers[inner].kept(stay)
    return [replace(layer, vertices=shape) for layer, shape in zip(layers, shapes, strict=True)]


def _hidden(piece: GarmentPiece) -> Bool[np.ndarray, "B"]:
    """Body vertices that the piece's author says are under it."""
    hidden = np.zeros(BODY_VERTICES, bool)
    hidden[piece.garment.hidden[piece.garment.hidden < BODY_VERTICES]] = True
    return hidden


def _tuck(shapes: list[Float[np.ndarray, "V 3"]], layers: list[Layer], clothes: list[GarmentPiece]) -> None:
    """Pulls the body and inner garments below the outer ones, in place; at rest, and again in the pose, because bent
    limbs bring skin through cloth. ``layers`` and ``shapes``: the body, then ``clothes``, then what stays."""
    feet = _of_feet(layers[0].weights)
    for outer, piece in enumerate(clothes, start=1):
        cloth = np.concatenate([shapes[outer], shapes[outer][layers[outer].faces].mean(axis=1)])
        for inner in range(outer):
            if inner == 0:
                moved = tucked(shapes[0], layers[0].faces, cloth, gap_m=GAP_M, sure=_hidden(piece))
                shapes[0] = np.where(feet[:, None], shapes[0], moved)
            else:
                shapes[inner] = tucked(shapes[inner], layers[inner].faces, cloth, gap_m=GAP_M / 2)


def _of_feet(weights: Float[np.ndarray, "V B"]) -> Bool[np.ndarray, "V"]:
    """Feet are not pushed along their normals: toes would turn inside out. In shoes they are pulled in as a whole."""
    return weights[:, base_mesh().bones_of("foot", "toe")].sum(1) > 0.5


def _on_the_head(base: Float[np.ndarray, "N 3"], pieces: list[GarmentPiece], armature: Armature) -> list[Layer]:
    """Eyes, brows, hair, hat and glasses; what a hat hides of the hair is taken away. Hair cards and hats get a lining
    so that they have an inside."""
    layers = [_layer(piece, base) for piece in pieces]
    hats = [layer for layer in layers if layer.slot == "hat"]
    middle = armature.rest[armature.index("head")] + np.array([0, 0.07, 0.03])
    for k, layer in enumerate(layers):
        for hat in hats if layer.slot == "hair" else ():
            hidden = under_shell(layer.vertices, middle.astype(np.float32), RayScene(hat.vertices, hat.faces))
            layers[k] = layer.kept(np.asarray(~hidden[layer.faces].any(axis=1)))
    return [_with_lining(layer) if layer.slot in ("hair", "hat") and len(layer.faces) else layer for layer in layers]


def _layer(piece: GarmentPiece, base: Float[np.ndarray, "N 3"]) -> Layer:
    """A piece on the body at rest."""
    garment, slot = piece.garment, SLOT_OF[piece.kind]
    uv = SLOTS[slot].coordinates(garment.uv)
    return Layer(slot, garment.fitted(base), garment.faces, uv, garment.uv_faces, piece.weights)


def _with_lining(layer: Layer) -> Layer:
    lining = line_sheets(layer.vertices, layer.faces, np.ones(len(layer.faces), bool), thickness_m=0.003)
    return replace(
        layer,
        vertices=lining.vertices,
        faces=lining.faces,
        uv_faces=lining.texture_corners(layer.uv_faces),
        weights=layer.weights[lining.rows],
    )


def tucked(
    vertices: Float[np.ndarray, "V 3"],
    faces: Int[np.ndarray, "F 3"],
    cloth: Float[np.ndarray, "W 3"],
    *,
    gap_m: float,
    sure: Bool[np.ndarray, "V"] | None = None,
    reach_m: float = 0.035,
) -> Float[np.ndarray, "V 3"]:
    """Vertices moved inward along their normals where points of a garment are less than ``gap_m`` above them.

    Only the nearest point counts, if it is within ``reach_m`` and not beside (1.5 cm) the vertex; for
    ``sure`` vertices, known to be covered, beside is everything within reach and the gap is twice as wide.
    """
    sure = np.zeros(len(vertices), bool) if sure is None else sure
    normals = vertex_normals(TriangleSurface(vertices, faces))
    distance, nearest = KDTree(cloth).query(vertices, distance_upper_bound=reach_m)
    near = np.flatnonzero(np.isfinite(distance))
    toward = cloth[np.asarray(nearest)[near]] - vertices[near]
    above = (toward * normals[near]).sum(axis=1)
    beside = np.linalg.norm(toward - above[:, None] * normals[near], axis=1)
    gap = np.where(sure[near], 2 * gap_m, gap_m)
    push = np.where(((beside < 0.015) | sure[near]) & (above < gap), np.minimum(gap - above, 0.025), 0)
    moved = vertices.copy()
    moved[near] -= push[:, None].astype(np.float32) * normals[near]
    return moved


def _merged(layers: list[Layer], posed: list[Float[np.ndarray, "V 3"]]) -> PersonMesh:
    """All layers as one mesh, without the vertices that no face has."""
    uv = [SLOTS["skin"].coordinates(layers[0].uv), *(layer.uv for layer in layers[1:])]
    parts = zip(posed, (layer.faces for layer in layers), uv, (layer.uv_faces for layer in layers), strict=True)
    mesh = join_meshes([PersonMesh(*part) for part in parts])
    used = np.unique(mesh.faces)
    renumber = np.zeros(len(mesh.vertices), np.int32)
    renumber[used] = np.arange(len(used))
    return mesh._replace(vertices=mesh.vertices[used], faces=renumber[mesh.faces])
