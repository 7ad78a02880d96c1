"""``make_person``: from a seed to a textured, closed, metric person with true landmarks."""

import numpy as np
from jaxtyping import Float, UInt8

from humanlrm.data.scan import Scan
from humanlrm.people.bodies import Body, rig, sample_body, skin, vertex_normals
from humanlrm.people.garments import (
    Bottom,
    Hair,
    Shoes,
    Top,
    bottom_cover,
    folds,
    hair_cover,
    sample_bottom,
    sample_hair,
    sample_shoes,
    sample_top,
    shoes_cover,
    soft,
    top_cover,
)
from humanlrm.people.materials import HAIR_COLOURS, cloth_colour, mix, paint_cloth, paint_skin, skin_tone, to_bytes
from humanlrm.people.poses import bone_turns, sample_pose
from humanlrm.people.sites import ATLAS_PX, texels, vertex_sites

Outfit = tuple[Top, Bottom, Shoes, Hair]


def make_person(seed: int) -> Scan:
    """A random person. The same seed gives the same Scan bit for bit, whatever was made before.

    Raises:
        ValueError: a negative seed.
    """
    if seed < 0:
        raise ValueError(f"make_person: seed must be 0 or more, got {seed}")
    shape, pose_dice, cloth, paint = (np.random.default_rng([seed, part]) for part in range(4))
    body, pose = sample_body(shape), sample_pose(pose_dice)
    outfit = sample_top(cloth), sample_bottom(cloth), sample_shoes(cloth), sample_hair(cloth, body.sex)
    naked = skin(body, bone_turns(body, pose))
    vertices = _dressed(naked, outfit, cloth)
    texture, tags = _painted(outfit, body, paint)
    ground = np.array([0, vertices[:, 1].min(), 0], np.float32)
    shared = rig()
    tags |= {"pose": pose.family, "sex": body.sex, "age": body.age, "height_m": body.height_m}
    return Scan(
        id=f"procedural-{seed:07d}",
        source="procedural",
        licence="CC0-1.0",
        vertices=vertices - ground,
        faces=shared.faces,
        uv=shared.uv,
        uv_faces=shared.uv_faces,
        texture=texture,
        landmarks=(shared.regressor @ naked - ground).astype(np.float32),
        tags=tags | {name: part.kind for name, part in zip(("top", "bottom", "shoes", "hair"), outfit, strict=True)},
    )


def _dressed(naked: Float[np.ndarray, "V 3"], outfit: Outfit, rng: np.random.Generator) -> Float[np.ndarray, "V 3"]:
    """Skin smoothed under the cloth, then moved out along its normals."""
    shared, sites = rig(), vertex_sites()
    top, bottom, shoes, hair = outfit
    on_top, on_bottom = soft(top_cover(top, sites)), soft(bottom_cover(bottom, sites))
    on_shoes, on_hair = soft(shoes_cover(shoes, sites)), soft(hair_cover(hair, sites), 0.03)
    cloth = np.maximum(on_top, on_bottom)[:, None]
    smooth = naked + cloth * (shared.smooth(naked, 8) - naked)
    smooth = smooth + on_shoes[:, None] * (shared.smooth(naked, 40) - smooth)
    fold = folds(rng, sites)
    flare = bottom.flare_m * np.clip(sites.along_leg / 2, 0, 1)
    out = on_bottom * (0.003 + (bottom.loose_m + flare) * (0.4 + 0.6 * fold))
    out = np.maximum(out, on_top * (0.005 + top.loose_m * (0.4 + 0.6 * fold)))
    out = np.maximum(np.maximum(out, on_shoes * (shoes.thick_m + 0.006)), on_hair * hair.volume_m * (0.7 + 0.3 * fold))
    return (smooth + shared.smooth(out, 2)[:, None] * vertex_normals(smooth, shared.faces)).astype(np.float32)


def _painted(outfit: Outfit, body: Body, rng: np.random.Generator) -> tuple[UInt8[np.ndarray, "H W 3"], dict]:
    table = texels()
    sites = table.sites
    top, bottom, shoes, hair = outfit
    tone, shade = skin_tone(rng)
    name = str(rng.choice(list(HAIR_COLOURS)))
    strands = np.array(HAIR_COLOURS[name]) * rng.uniform(0.8, 1.2)
    beard = rng.uniform(0.3, 0.9) if body.sex == "male" and body.age > 0.55 and rng.random() < 0.35 else 0.0
    colours = paint_skin(rng, sites, tone, strands, beard)

    def over(cover: Float[np.ndarray, "N"], paint: Float[np.ndarray, "*n 3"]) -> None:
        nonlocal colours
        colours = mix(colours, paint, np.clip(cover / 0.003, 0, 1))

    over(bottom_cover(bottom, sites), paint_cloth(rng, sites.position))
    over(shoes_cover(shoes, sites), cloth_colour(rng))
    over(top_cover(top, sites), paint_cloth(rng, sites.position))
    over(hair_cover(hair, sites), cloth_colour(rng) if hair.kind == "hat" else strands)
    texture = to_bytes(colours)[table.nearest].reshape(ATLAS_PX, ATLAS_PX, 3)
    return texture, {"skin": shade, "hair_colour": name}
