"""Putting garments on a body: fitting, tucking what is under them in, posing, colouring, merging into one scan."""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from scipy.spatial import KDTree

from humanlrm.data.scan import Scan
from humanlrm.mesh.raycast import RayScene
from humanlrm.mesh.surface import TriangleSurface, vertex_normals
from humanlrm.people.avatars.color import redyed
from humanlrm.people.avatars.lining import lined
from humanlrm.people.avatars.rig import AvatarRig, joint_transforms
from humanlrm.people.joints import landmarks_of
from humanlrm.people.makehuman.assets import SLOT_OF, GarmentOutfit, GarmentPiece, Wardrobe
from humanlrm.people.makehuman.base_mesh import (
    BODY_VERTICES,
    Hand,
    base_mesh,
    bone_rotations,
    random_hands,
    rig_of,
    shaped,
)
from humanlrm.people.makehuman.cloth_print import printed
from humanlrm.people.makehuman.covering import BoneSegments, covered, pulled_in, uncovered_faces, under_shell
from humanlrm.people.makehuman.texture_atlas import ATLAS_PX, SLOTS
from humanlrm.people.poses.balance import Skeleton, balanced
from humanlrm.people.poses.clearance import Probes, cleared
from humanlrm.people.poses.pack import world_rotations
from humanlrm.people.procedural.materials import SKIN_TONES

#: Room between skin and cloth.
GAP_M = 0.004


@dataclass(frozen=True)
class Layer:
    """A part of a dressed person at rest: mesh, weights, and where its texture lies on the atlas."""

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
    assets: Wardrobe,
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
    base, heads = shaped(phenotype)
    scale = np.float32(height_m / np.ptp(base[:BODY_VERTICES, 1]))
    base, heads = base * scale, heads * scale
    clothes = [assets.piece(name) for name in outfit.clothes]
    extras = [assets.piece(name) for name in outfit.head]
    rig = rig_of(heads)
    layers = _tucked_layers(base, clothes, bones_of(rig)) + _on_the_head(base, extras, rig)
    hands = random_hands(rng)
    quats = balanced(quats, _skeleton(base, rig, hands))
    turns = bone_rotations(rig, world_rotations(quats), hands)
    if not hands_inside:
        turns = _clear_of_the_body(base, rig, turns)
    transforms = joint_transforms(rig, turns, np.tile(np.eye(3), (len(rig.names), 1, 1)))
    posed = [_posed(layer, rig.rest, transforms) for layer in layers]
    _tuck(posed, layers, clothes)
    landmarks = landmarks_of(lambda bone: transforms[1][rig.index(bone)], posed[0][mesh.nose], posed[0][mesh.crown])
    atlas = _atlas(assets, outfit, clothes, extras, rng)
    licences = sorted({piece.licence for piece in (*clothes, *extras)} | {"CC0-1.0"})
    return _merged(layers, posed, atlas, landmarks, " AND ".join(licences))


def _skeleton(base: Float[np.ndarray, "N 3"], rig: AvatarRig, hands: tuple[Hand, Hand]) -> Skeleton:
    """Of a body at rest; its head is rigid."""
    mesh, head, still = base_mesh(), rig.index("head"), np.tile(np.eye(3), (len(rig.names), 1, 1))

    def posed_landmarks(world: Float[np.ndarray, "22 3 3"]) -> Float[np.ndarray, "19 3"]:
        linear, places = joint_transforms(rig, bone_rotations(rig, world, hands), still)
        nose, crown = (places[head] + linear[head] @ (base[k] - rig.rest[head]) for k in (mesh.nose, mesh.crown))
        return landmarks_of(lambda bone: places[rig.index(bone)], nose, crown)

    return posed_landmarks


def _clear_of_the_body(
    base: Float[np.ndarray, "N 3"], rig: AvatarRig, turns: Float[np.ndarray, "B 3 3"]
) -> Float[np.ndarray, "B 3 3"]:
    """The bones' rotations with arms turned so that hands and forearms stay outside of trunk, legs and head."""
    mesh = base_mesh()
    rows = _probe_rows()
    skin, normals = base[rows], vertex_normals(TriangleSurface(base[:BODY_VERTICES], mesh.faces))[rows]
    layer = Layer("skin", skin, mesh.faces, mesh.uv, mesh.uv_faces, mesh.weights[rows])
    arms = {side: _bones_below(rig, f"upperarm01.{end}") for side, end in (("left", "L"), ("right", "R"))}
    still = np.tile(np.eye(3), (len(rig.names), 1, 1))

    def turned(extra: dict[str, Float[np.ndarray, "3 3"]]) -> Float[np.ndarray, "B 3 3"]:
        out = turns.copy()
        for side, bones in arms.items():
            out[bones] = extra[side] @ turns[bones]
        return out

    def probe(extra: dict[str, Float[np.ndarray, "3 3"]]) -> Probes:
        linear, places = joint_transforms(rig, turned(extra), still)
        blended = (layer.weights @ linear.reshape(-1, 9)).reshape(-1, 3, 3)
        return Probes(
            skin=_posed(layer, rig.rest, (linear, places)),
            normals=np.einsum("vac,vc->va", blended, normals),
            arms={s: places[[rig.index(f"{b}.{s[0].upper()}") for b in _ARM_POINTS]] for s in arms},
            shoulders={s: places[rig.index(f"upperarm01.{s[0].upper()}")] for s in arms},
        )

    return turned(cleared({side: np.eye(3) for side in arms}, probe))


#: What must stay outside of the body: the middle of the forearm, wrist, palm and fingers.
_ARM_POINTS = ("lowerarm02", "wrist", "finger3-1", "finger3-3")


@cache
def _probe_rows() -> Int[np.ndarray, "P"]:
    """Every eighth vertex of the body without its arms."""
    mesh = base_mesh()
    arm = [i for i, b in enumerate(mesh.bones) if b.startswith(("shoulder", "upperarm", "lowerarm", "wrist", "finger"))]
    arm += [i for i, b in enumerate(mesh.bones) if b.startswith("metacarpal")]
    return np.flatnonzero(mesh.weights[:BODY_VERTICES, arm].sum(1) < 0.05)[::8]


def _bones_below(rig: AvatarRig, name: str) -> list[int]:
    """A bone and everything that hangs on it."""
    found = [rig.index(name)]
    for bone, parent in enumerate(rig.parents):
        if parent in found:
            found.append(bone)
    return found


def bones_of(rig: AvatarRig) -> BoneSegments:
    """Segments from each bone's head to the mean of its children's; all bones of a foot share one to its ball."""
    start = rig.rest.astype(np.float32)
    children = [[j for j, parent in enumerate(rig.parents) if parent == bone] for bone in range(len(rig.names))]
    end = np.stack([start[c].mean(0) if c else start[bone] for bone, c in enumerate(children)])
    foot = np.array([name.startswith(("foot", "toe")) for name in rig.names])
    start = start.copy()
    for side in ("L", "R"):
        ankle, ball = rig.rest[rig.index(f"foot.{side}")], rig.rest[rig.index(f"toe2-1.{side}")]
        mine = [bone for bone in np.flatnonzero(foot) if rig.names[bone].endswith(side)]
        start[mine], end[mine] = ankle, ankle + 1.0 * (ball - ankle)
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
    feet = [i for i, bone in enumerate(base_mesh().bones) if bone.startswith(("foot", "toe"))]
    return weights[:, feet].sum(1) > 0.5


def _on_the_head(base: Float[np.ndarray, "N 3"], pieces: list[GarmentPiece], rig: AvatarRig) -> list[Layer]:
    """Eyes, brows, hair, hat and glasses; what a hat hides of the hair is taken away. Hair cards and hats get a lining
    so that they have an inside."""
    layers = [_layer(piece, base) for piece in pieces]
    hats = [layer for layer in layers if layer.slot == "hat"]
    middle = rig.rest[rig.index("head")] + np.array([0, 0.07, 0.03])
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
    lining = lined(layer.vertices, layer.faces, np.ones(len(layer.faces), bool), thickness_m=0.003)
    return replace(
        layer,
        vertices=lining.vertices,
        faces=lining.faces,
        uv_faces=lining.corners_of(layer.uv_faces),
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


def _posed(
    layer: Layer,
    rest: Float[np.ndarray, "B 3"],
    transforms: tuple[Float[np.ndarray, "B 3 3"], Float[np.ndarray, "B 3"]],
) -> Float[np.ndarray, "V 3"]:
    """Linear blend skinning with dense weights."""
    linear, places = transforms
    offsets = places - np.einsum("bac,bc->ba", linear, rest)
    matrices = np.concatenate([linear, offsets[:, :, None]], axis=2).reshape(-1, 12).astype(np.float32)
    blended = (layer.weights @ matrices).reshape(-1, 3, 4)
    return np.einsum("vac,vc->va", blended[:, :, :3], layer.vertices) + blended[:, :, 3]


def _atlas(
    assets: Wardrobe,
    outfit: GarmentOutfit,
    clothes: list[GarmentPiece],
    extras: list[GarmentPiece],
    rng: np.random.Generator,
) -> UInt8[np.ndarray, "H W 3"]:
    """The common texture: skin, iris and every piece in new colours on its tile."""
    atlas = np.full((*ATLAS_PX, 3), 128, np.uint8)
    SLOTS["skin"].paste(atlas, _skin_toned(assets.image(outfit.skin)[..., :3], "darkskinned" in outfit.skin, rng))
    SLOTS["eyes"].paste(atlas, assets.iris(outfit.iris))
    hair_color = rng.random() * (0.35 if "darkskinned" in outfit.skin else 1.0)
    grey = rng.random() < {"skin_old": 0.75, "skin_mid": 0.12}.get(outfit.skin[:8], 0.0)
    for piece in (*clothes, *extras):
        slot = SLOT_OF[piece.kind]
        if piece.kind in ("hair", "eyebrows"):
            image = _hair_colored(piece.texture, hair_color, grey=grey)
        elif piece.kind == "eyes":
            continue
        elif piece.plain or rng.random() < _PRINTED.get(piece.kind, 0.2):
            image = printed(piece.texture, rng, slot)
        else:
            image = redyed(piece.texture, piece.dye, rng, strength=float(rng.random() < 0.7))
        SLOTS[slot].paste(atlas, image)
    return atlas


def _skin_toned(skin: UInt8[np.ndarray, "H W 3"], dark: bool, rng: np.random.Generator) -> UInt8[np.ndarray, "H W 3"]:
    """The skin moved toward a random tone: the pack has light and dark skins only, and hardly any between them."""
    tones = np.array(SKIN_TONES, dtype=float) * 255
    shade = rng.beta(1.3, 1.1) * 0.75 + 0.25 if dark else rng.beta(1.1, 1.6) * 0.75
    at = shade * (len(tones) - 1.001)
    target = tones[int(at)] * (1 - at % 1) + tones[int(at) + 1] * (at % 1)
    gain = (target / np.median(skin[::16, ::16].reshape(-1, 3), axis=0)) ** 0.8
    table = np.clip(np.arange(256)[:, None] * gain, 0, 255).astype(np.uint8)
    return np.stack([table[:, c][skin[..., c]] for c in range(3)], axis=-1)


#: How often a piece with a texture of its own gets another pattern (our choice); a fifth of those not named.
_PRINTED = {"suit": 0.06, "shoes": 0.0, "glasses": 0.0, "hat": 0.1, "coat": 0.1}

#: Natural hair colours from black over brown and red to blond, sRGB.
_HAIR = np.array(
    [(24, 20, 18), (46, 32, 24), (78, 52, 34), (112, 76, 48), (120, 58, 34), (168, 128, 84), (204, 172, 122)]
)


def _hair_colored(texture: UInt8[np.ndarray, "H W 3"], where: float, *, grey: bool) -> UInt8[np.ndarray, "H W 3"]:
    """Hair of a natural colour; ``where`` in [0, 1) runs from black to blond, ``grey`` hair is mostly grey."""
    low = int(where * (len(_HAIR) - 1))
    mix = where * (len(_HAIR) - 1) - low
    color = _HAIR[low] * (1 - mix) + _HAIR[low + 1] * mix
    if grey:
        color = 0.25 * color + 0.75 * np.array([168, 166, 162])
    luma = texture.astype(np.float32).mean(axis=2, keepdims=True)
    shading = np.clip((luma + 30) / (float(luma.mean()) + 30), 0.4, 1.8)
    return np.clip(color * shading, 0, 255).astype(np.uint8)


def _merged(
    layers: list[Layer],
    posed: list[Float[np.ndarray, "V 3"]],
    atlas: UInt8[np.ndarray, "H W 3"],
    landmarks: Float[np.ndarray, "19 3"],
    licence: str,
) -> Scan:
    """All layers as one mesh that stands on the floor."""
    starts = np.cumsum([0, *(len(p) for p in posed)])
    uv_starts = np.cumsum([0, *(len(layer.uv) for layer in layers)])
    vertices = np.concatenate(posed).astype(np.float32)
    faces = np.concatenate([layer.faces + s for layer, s in zip(layers, starts, strict=False)]).astype(np.int32)
    uv_faces = np.concatenate([layer.uv_faces + s for layer, s in zip(layers, uv_starts, strict=False)])
    skin = replace(layers[0], uv=SLOTS["skin"].coordinates(layers[0].uv))
    uv = np.concatenate([skin.uv, *(layer.uv for layer in layers[1:])])
    used = np.unique(faces)
    renumber = np.zeros(len(vertices), np.int32)
    renumber[used] = np.arange(len(used))
    low, high = vertices[used].min(0), vertices[used].max(0)
    origin = np.array([(low[0] + high[0]) / 2, low[1], (low[2] + high[2]) / 2], np.float32)
    return Scan("", "composed", licence, vertices[used] - origin, renumber[faces], uv, uv_faces.astype(np.int32),
                atlas, (landmarks - origin).astype(np.float32))  # fmt: skip
