"""``make_person``: from a seed to a textured, closed, metric person with true landmarks."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from humanlrm.data.scan import Scan
from humanlrm.mesh.surface import TriangleSurface, vertex_normals
from humanlrm.people.armature import SIDES
from humanlrm.people.facts import age_years
from humanlrm.people.procedural import cloth, garments
from humanlrm.people.procedural.atlas import Paint, join_body, paint_texture
from humanlrm.people.procedural.bodies import Body, Turns, landmarks, place_bones, rig, sample_body, skin
from humanlrm.people.procedural.cloth import Cloth, Colors, edge, mix, ripple, sample_cloth
from humanlrm.people.procedural.garments import Hairstyle, ProceduralOutfit, folds, sample_outfit, soft
from humanlrm.people.procedural.limbs import bone_turns
from humanlrm.people.procedural.lofts import HeadSpace, LoftedPart, blob, mantle, shoe, skirt
from humanlrm.people.procedural.materials import hair_color, paint_hair, paint_skin, skin_tone
from humanlrm.people.procedural.poses import BodyPose, sample_pose
from humanlrm.people.procedural.sites import Sites, texels, vertex_sites


def make_person(seed: int) -> Scan:
    """A random person. The same seed gives the same Scan bit for bit, whatever was made before.

    Raises:
        ValueError: a negative seed.
    """
    if seed < 0:
        raise ValueError(f"make_person: seed must be 0 or more, got {seed}")
    shape, pose_dice, dress, paint = (np.random.default_rng([seed, part]) for part in range(4))
    body, pose = sample_body(shape), sample_pose(pose_dice)
    turns = bone_turns(body, pose)
    naked = skin(body, turns)
    outfit = sample_outfit(dress, body.sex, *_leg_spread(pose))
    dressed = _dressed(naked, outfit, dress)
    parts = _added(dressed, outfit, HeadSpace(body, turns), dress) + _shoes(dressed, outfit, body, turns)
    mesh = join_body(dressed, parts)
    colors, paints, tags = _painted(outfit, body, paint)
    ground = np.array([0, mesh.vertices[:, 1].min(), 0], np.float32)
    return Scan(
        id=f"procedural-{seed:07d}",
        source="procedural",
        licence="CC0-1.0",
        vertices=mesh.vertices - ground,
        faces=mesh.faces,
        uv=mesh.uv,
        uv_faces=mesh.uv_faces,
        texture=paint_texture(colors, parts, paints),
        landmarks=landmarks(body, turns, naked) - ground,
        tags=tags | _tags(body, pose, outfit),
    )


def _tags(body: Body, pose: BodyPose, outfit: ProceduralOutfit) -> dict[str, str | float]:
    worn = {name: getattr(outfit, name).kind for name in ("top", "bottom", "shoes", "hair")}
    worn["clothes"] = "+".join(dict.fromkeys((outfit.top.kind, outfit.bottom.kind, outfit.shoes.kind)))
    about = {"pose": pose.family, "sex": body.sex, "age_years": age_years(body.age), "height_m": body.height_m}
    return worn | about


def _leg_spread(pose: BodyPose) -> tuple[float, float]:
    """Angle between the thighs and the stronger knee's angle, degrees."""
    left, right = pose.legs
    stride = np.hypot(left.flex - right.flex, left.abduct + right.abduct)
    return float(stride), float(max(left.knee, right.knee))


def _dressed(
    naked: Float[np.ndarray, "V 3"], outfit: ProceduralOutfit, rng: np.random.Generator
) -> Float[np.ndarray, "V 3"]:
    """Skin smoothed under the cloth, then moved out along its normals, at most about 9 cm."""
    shared, sites = rig(), vertex_sites()
    top, bottom, shoes, hair = outfit.top, outfit.bottom, outfit.shoes, outfit.hair
    on_top, on_bottom = soft(garments.top_cover(top, sites)), soft(garments.bottom_cover(bottom, sites))
    on_shoes, on_hair = soft(garments.shoes_cover(shoes, sites)), soft(garments.hair_cover(hair, sites), 0.03)
    smooth = naked + np.maximum(on_top, on_bottom)[:, None] * (shared.smooth(naked, 8) - naked)
    smooth = smooth + on_shoes[:, None] * (shared.smooth(naked, 40) - smooth)
    smooth = smooth + on_hair[:, None] * (shared.smooth(naked, 12) - smooth)
    fold, lumps = folds(rng, sites), folds(rng, sites)
    flare = bottom.flare_m * np.clip(sites.along_leg / 2, 0, 1)
    out = on_bottom * (0.003 + (bottom.loose_m + flare) * (0.35 + 0.65 * fold))
    out = np.maximum(out, on_top * (0.006 + top.loose_m * (0.3 + 0.7 * fold)))
    crown = 0.65 + 0.35 * np.clip((sites.position[:, 1] - 1.55) / 0.1, 0, 1)
    hairdo = on_hair * (0.004 + hair.volume_m * crown * (0.7 + 0.3 * lumps))
    out = np.maximum(np.maximum(out, on_shoes * (shoes.thick_m + 0.006)), hairdo)
    normals = vertex_normals(TriangleSurface(smooth, shared.faces))
    return (smooth + shared.smooth(out, 2)[:, None] * normals).astype(np.float32)


def _added(
    dressed: Float[np.ndarray, "V 3"], outfit: ProceduralOutfit, head: HeadSpace, rng: np.random.Generator
) -> list[LoftedPart]:
    """Skirt or coat tail, the hair's own part, hood or brim."""
    parts = []
    if outfit.tail is not None:
        parts.append(skirt(dressed, outfit.tail.waist_m, outfit.tail.length, outfit.tail.flare_m, rng))
    parts += _hair_parts(outfit.hair, head, rng)
    if outfit.hood:
        parts.append(mantle("hair" if outfit.hair.is_hat else "extra", head, 1.475, 1.36, 0.05, 100))
    return parts


def _shoes(dressed: Float[np.ndarray, "V 3"], outfit: ProceduralOutfit, body: Body, turns: Turns) -> list[LoftedPart]:
    if outfit.shoes.kind == "barefoot":
        return []
    rotation, _ = place_bones(body, turns)
    return [shoe(side, dressed, rotation[body.armature.index(f"foot.{end}")], 0.004) for side, end in SIDES]


def _hair_parts(hair: Hairstyle, head: HeadSpace, rng: np.random.Generator) -> list[LoftedPart]:
    bow = np.linspace(0, 1, 9)
    if hair.kind in ("long", "medium"):
        return [mantle("hair", head, 1.67, hair.low_m, hair.volume_m + 0.012, rng.uniform(85, 112))]
    if hair.kind == "bun":
        height, size = rng.uniform(1.6, 1.7), rng.uniform(0.032, 0.055)
        centre = np.array([0, height, -0.06 + 0.5 * max(height - 1.63, 0)])
        spine = centre + (bow[:, None] - 0.5) * 1.9 * size * np.array([0, 0.5, -0.87])
        return [blob("hair", head, spine, size * np.sqrt(np.clip(1 - (2 * bow - 1) ** 2, 0.02, 1)))]
    if hair.kind == "tail":
        drop, size = rng.uniform(0.12, 0.36), rng.uniform(0.022, 0.04)
        spine = np.stack([0 * bow, 1.62 + 0.03 * np.sin(3 * bow) - drop * bow, -0.03 - 0.11 * np.sqrt(bow)], axis=1)
        return [blob("hair", head, spine, size * (0.45 + 0.75 * np.sin(np.pi * bow**0.7)) * (1.02 - bow**4))]
    if hair.kind in ("cap", "hat"):
        ahead, wide = (0.10, 0.075) if hair.kind == "cap" else (0.045, rng.uniform(0.14, 0.18))
        heights = np.array([1.643, 1.641, 1.634, 1.632])
        spine = np.stack([0 * heights, heights, np.full(4, ahead)], axis=1)
        return [blob("extra", head, spine, wide * np.array([0.9, 1, 1, 0.9]), 1.35 if hair.kind == "cap" else 1.15)]
    return []


def _painted(outfit: ProceduralOutfit, body: Body, rng: np.random.Generator) -> tuple[Colors, dict[str, Paint], dict]:
    """Colours of the body's texels, painters of the added parts, and tags."""
    sites = texels().sites
    tone, shade = skin_tone(rng)
    hair_name, strands = hair_color(rng, shade, body.age)
    beard = rng.uniform(0.35, 0.9) if body.sex == "male" and body.age > 0.55 and rng.random() < 0.35 else 0.0
    seed = int(rng.integers(1 << 30))
    upper, lower = sample_cloth(rng), sample_cloth(rng, "denim" if rng.random() < 0.3 else None)
    if outfit.tail is not None and outfit.tail.kind == "dress":
        lower = upper
    lipstick = body.sex == "female" and body.age > 0.55 and rng.random() < 0.35
    colors = paint_skin(rng, sites, tone, strands, beard, lipstick)
    colors = _paint_bottom(colors, sites, outfit, lower, rng)
    shoes = _shoe_paint(outfit, rng)
    colors = _paint_shoes(colors, sites, outfit, shoes, rng)
    colors = _paint_top(colors, sites, outfit, upper, rng)
    hat = sample_cloth(rng)

    def hair(position: Float[np.ndarray, "N 3"]) -> Colors:
        return paint_hair(position, strands, seed)

    colors = _paint_head(colors, sites, outfit, hair, hat, seed)
    tail = upper if outfit.tail is not None and outfit.tail.kind != "skirt" else lower
    paints = {"skirt": tail.paint, "hair": hair, "extra": hat.paint, "left_shoe": shoes, "right_shoe": shoes}
    if outfit.hood:
        paints["hair" if outfit.hair.is_hat else "extra"] = upper.paint
    return colors, paints, {"skin": shade, "hair_colour": hair_name}


def _paint_head(colors: Colors, sites: Sites, outfit: ProceduralOutfit, hair: Paint, hat: Cloth, seed: int) -> Colors:
    """Hair, and over it the hat."""
    sites, index = sites.where((sites.head > 0.4) & (sites.position[:, 1] > 1.44))
    head, style = colors[index], outfit.hair
    if not style.is_hat or seed % 8:
        cropped = replace(style, nape_m=1.5, front_m=1.64) if style.is_hat else style
        ragged = 0.006 * ripple(sites.position, seed + 4, 0.012)
        head = mix(head, hair(sites.position), edge(garments.hair_cover(cropped, sites) + ragged, 0.003))
    if style.is_hat:
        head = mix(head, hat.paint(sites.position), edge(garments.hair_cover(style, sites), 0.002))
    colors[index] = head
    return colors


def _paint_bottom(
    colors: Colors, sites: Sites, outfit: ProceduralOutfit, fabric: Cloth, rng: np.random.Generator
) -> Colors:
    sites, index = sites.where(garments.bottom_cover(outfit.bottom, sites) > -0.005)
    cover = garments.bottom_cover(outfit.bottom, sites)
    painted = cloth.hem_line(fabric.paint(sites.cloth, sites.axis), cover, rng)
    if outfit.tail is None or outfit.tail.kind == "coat":
        painted = cloth.trouser_details(painted, sites.cloth, outfit.bottom.waist_m, rng)
    colors[index] = mix(colors[index], painted, edge(cover, 0.002))
    return colors


def _shoe_paint(outfit: ProceduralOutfit, rng: np.random.Generator) -> Paint:
    """Leather or canvas, a sole, perhaps laces."""
    upper, sole, lace = cloth.fabric_color(rng), rng.choice([0.07, 0.15, 0.9, 0.95]), rng.choice([0.1, 0.95])
    height, laced, seed = rng.uniform(0.008, 0.024), outfit.shoes.kind == "sneakers", int(rng.integers(1 << 30))

    def paint(position: Float[np.ndarray, "N 3"]) -> Colors:
        x, y, z = position.T
        painted = upper * (1 + 0.08 * ripple(position, seed, 0.03))[:, None]
        painted = mix(painted, np.full(3, sole), edge(height - y, 0.002))
        if not laced:
            return painted
        middle = np.abs(np.abs(x) - 0.185 - 0.05 * (z - 0.05))
        laces = edge(0.022 - middle, 0.002) * (np.sin(z * 260) > 0) * (z > 0.04) * (z < 0.13) * (y > 0.035)
        return mix(painted, np.full(3, lace), laces)

    return paint


def _paint_shoes(
    colors: Colors, sites: Sites, outfit: ProceduralOutfit, paint: Paint, rng: np.random.Generator
) -> Colors:
    """The part of the shoes that is the body's surface, and socks above low shoes now and then."""
    sites, index = sites.where((sites.leg > 0.5) & (sites.position[:, 1] < 0.45))
    feet, height = colors[index], sites.position[:, 1]
    if outfit.shoes.kind in ("shoes", "sneakers") and rng.random() < 0.4:
        top = outfit.shoes.height_m + rng.uniform(0.02, 0.14)
        sock = edge(top - height, 0.002) * (garments.bottom_cover(outfit.bottom, sites) < 0)
        feet = mix(feet, cloth.fabric_color(rng), sock)
    colors[index] = mix(feet, paint(sites.position), edge(garments.shoes_cover(outfit.shoes, sites), 0.002))
    return colors


def _paint_top(
    colors: Colors, sites: Sites, outfit: ProceduralOutfit, fabric: Cloth, rng: np.random.Generator
) -> Colors:
    sites, index = sites.where(garments.top_cover(outfit.top, sites) > -0.005)
    cover, kind = garments.top_cover(outfit.top, sites), outfit.top.kind
    painted = fabric.paint(sites.cloth, sites.axis)
    if rng.random() < 0.1:
        sleeves = (sites.arm > 0.5) * (np.abs(sites.position[:, 0]) > 0.14)
        painted = mix(painted, cloth.fabric_color(rng), sleeves)
    painted = cloth.hem_line(painted, cover, rng)
    if kind in ("jacket", "coat", "shirt") or (kind == "hoodie" and rng.random() < 0.5):
        open_ = sample_cloth(rng).paint(sites.cloth, sites.axis) if kind != "shirt" and rng.random() < 0.45 else None
        trunk = (sites.arm < 0.5)[:, None]
        painted = np.where(trunk, cloth.front_line(painted, sites.cloth, rng, open_), painted)
    elif rng.random() < 0.45:
        trunk = (sites.arm < 0.5)[:, None]
        painted = np.where(trunk, cloth.print_on_chest(rng, painted, sites.cloth), painted)
    colors[index] = mix(colors[index], painted, edge(cover, 0.002))
    return colors
