"""The MakeHuman garments, hair, eyes and skins of the asset pack (``makehuman/``, see its README), and outfits."""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from humanlrm.people.dye import Dye, find_dye
from humanlrm.people.makehuman.atlas import SLOTS, filled_under_alpha
from humanlrm.people.makehuman.base_mesh import base_mesh
from humanlrm.people.makehuman.mhclo import Garment, load_garment
from humanlrm.people.poses.pack import POSE_INDEX, PosePack, Split, load_poses, world_rotations


@dataclass(frozen=True)
class GarmentPiece:
    """One asset that a person wears or has.

    Attributes:
        garment: its mesh; alpha-tested.
        texture: sRGB at the size of its slot's tile; plain white for untextured pieces.
        dye: its colour groups.
        weights: skinning weights of its vertices.
        plain: it has no texture of its own, or one without a drawing.
    """

    id: str
    kind: str
    licence: str
    garment: Garment
    texture: UInt8[np.ndarray, "H H 3"]
    dye: Dye
    weights: Float[np.ndarray, "V B"]
    plain: bool


#: Kind of asset -> slot of the atlas.
SLOT_OF = {
    "suit": "upper", "dress": "upper", "top": "upper", "bottom": "lower", "skirt": "lower", "coat": "over",
    "hair": "hair", "shoes": "shoes", "eyes": "eyes", "eyebrows": "brows", "hat": "hat",
    "glasses": "glasses", "socks": "socks",
}  # fmt: skip
#: Textures with less spread than this (0..255) have nothing to keep but their shading.
_PLAIN_SPREAD = 14.0
#: Not street clothes, or not solid: on f_dress_03 a quarter of the winding number's zero crossings lie over 1 cm from
#: the ray's first hit, on others 0.3 to 4%.
_NOT_WORN = {"female_skinsuit_01", "male_skinsuit_01", "universal_heel", "heelsandal", "pith_helmet", "crudeleggings",
             "f_dress_03", "high_poly_eyes"}  # fmt: skip
#: Pieces made for women that men wear as well.
_SHARED = {"crudefemaletshirt", "toigo_basic_tucked_t_shirt", "runningshoes", "winterboots"}
#: Boots that reach the calves: over bare legs and narrow trousers, and not under wide ones, which they would pierce.
_TALL_BOOTS = {"winterboots", "culturalibre_male_boots"}
_NARROW = {"tightjeans", "shortjeans"}


class MakeHumanAssets:
    """The MakeHuman assets by kind, and the poses of one side of the split.

    Args:
        assets: root of the asset pack; ``makehuman/`` and ``poses/poses.npz`` are used.
        split: which poses to use; garments are the same on both sides.

    Raises:
        FileNotFoundError: the folder or the pose pack is missing.
    """

    def __init__(self, assets: Path, split: Split):
        self.folder = Path(assets) / "makehuman"
        manifest = self.folder / "manifest.json"
        if not manifest.is_file():
            raise FileNotFoundError(f"MakeHumanAssets: no {manifest}; `assets` must be the root of the asset pack")
        self.split: Split = split
        self.records = {
            r["id"]: r for r in json.loads(manifest.read_text(encoding="utf-8")) if r["id"] not in _NOT_WORN
        }
        self.poses: PosePack = load_poses(Path(assets) / "poses" / "poses.npz").of_split(split)
        self.piece = lru_cache(maxsize=96)(self._piece)
        self.image = lru_cache(maxsize=24)(self._image)
        self.iris = lru_cache(maxsize=24)(self._iris)

    def choices(self, kind: str, sex: str) -> tuple[str, ...]:
        """Ids of the pieces of a kind that fit a sex ("female" or "male")."""
        fits = (sex, "unisex")
        records = ((name, record) for name, record in self.records.items() if record["kind"] == kind)
        return tuple(sorted(name for name, record in records if record["fit"] in fits or name in _SHARED))

    def _image(self, name: str) -> UInt8[np.ndarray, "H W 4"]:
        """The diffuse texture of a piece, skin or iris, with alpha, at the size it has on disk."""
        record = self.records[name]
        path = self.folder / record["dir"] / record["files"]["diffuse"]
        if not path.is_file():
            raise FileNotFoundError(f"MakeHumanAssets: no texture {path}; is the asset pack complete?")
        return np.asarray(Image.open(path).convert("RGBA"))

    def _iris(self, name: str) -> UInt8[np.ndarray, "h h 3"]:
        """An iris at the size of its tile, its transparent texels filled."""
        image = self._image(name)
        filled = Image.fromarray(filled_under_alpha(image[..., :3], image[..., 3]))
        size = SLOTS[SLOT_OF["eyes"]].size
        return np.asarray(filled.resize((size, size), Image.Resampling.BILINEAR))

    def _piece(self, name: str) -> GarmentPiece:
        record = self.records[name]
        folder, files = self.folder / record["dir"], record["files"]
        garment = load_garment(folder / files["obj"], folder / files["mhclo"])
        size, plain = SLOTS[SLOT_OF[record["kind"]]].size, "diffuse" not in files
        texture = np.full((size, size, 3), 235, np.uint8)
        if not plain:
            garment, texture = _cut_out(garment, self.image(name), size, cards=record["kind"] in ("hair", "eyebrows"))
        nowhere = np.zeros(texture.shape[:2], bool)
        return GarmentPiece(
            id=name,
            kind=record["kind"],
            licence=record["licence"],
            garment=garment,
            texture=texture,
            dye=find_dye(texture, nowhere, nowhere, np.array([[1.0, 255.0, 1.0]])),
            weights=garment.weighted(base_mesh().weights),
            plain=plain or (record["kind"] != "suit" and float(texture.std(axis=(0, 1)).max()) < _PLAIN_SPREAD),
        )


def _cut_out(
    garment: Garment, image: UInt8[np.ndarray, "H W 4"], size: int, *, cards: bool
) -> tuple[Garment, UInt8[np.ndarray, "size size 3"]]:
    """The garment without its transparent faces, and its texture without alpha. Cards are subdivided: finer edges."""
    alpha = image[..., 3]
    if (alpha < 128).mean() > 0.002:
        garment = (garment.subdivided() if cards else garment).opaque(alpha)
    texture = Image.fromarray(filled_under_alpha(image[..., :3], alpha))
    return garment, np.asarray(texture.resize((size, size), Image.Resampling.BOX))


#: Pieces on the head besides hair, and their probability.
ACCESSORIES = {"hat": 0.08, "glasses": 0.1}


@dataclass(frozen=True)
class GarmentOutfit:
    """Clothes of one person: ids of pieces, inner first; ids of skin, iris, and the pieces on the head."""

    clothes: tuple[str, ...]
    skin: str
    iris: str
    head: tuple[str, ...]


Skirts = Literal["all", "short", "none"]
_SHORT_SKIRTS = {"miniskirt", "jeansskirt", "tubedress", "female_elegantsuit01", "f_beach_dress_01"}
_SKIRTS = ("dress", "skirt", "coat")


def skirts_for(quats: Float[np.ndarray, "22 4"]) -> Skirts:
    """Skirts that a pose does not tear: skinned cloth follows the thighs."""
    world = world_rotations(quats)
    thighs = [world[POSE_INDEX[f"{side}_hip"]] @ (0, -1, 0) for side in ("left", "right")]
    spread = np.rad2deg(np.arccos(np.clip(thighs[0] @ thighs[1], -1, 1)))
    trunk = world[POSE_INDEX["spine1"]] @ (0, -1, 0)
    bent = max(np.rad2deg(np.arccos(np.clip(thigh @ trunk, -1, 1))) for thigh in thighs)
    shanks = [world[POSE_INDEX[f"{side}_knee"]] @ (0, -1, 0) for side in ("left", "right")]
    knee = max(np.rad2deg(np.arccos(np.clip(a @ b, -1, 1))) for a, b in zip(thighs, shanks, strict=True))
    if spread < 50 and bent < 50 and knee < 65:
        return "all"
    return "short" if spread < 28 else "none"


def random_outfit(
    assets: MakeHumanAssets, sex: str, age: float, rng: np.random.Generator, *, skirts: Skirts = "all"
) -> GarmentOutfit:
    """Clothes that make a whole, and a skin of about the right age.

    Args:
        skirts: which skirts, dresses and coats the pose allows.
    """

    def possible(name: str) -> bool:
        tube = assets.records[name]["kind"] in _SKIRTS or name in _SHORT_SKIRTS
        return not tube or skirts == "all" or (skirts == "short" and name in _SHORT_SKIRTS)

    def choose(kind: str) -> str:
        options = [name for name in assets.choices(kind, sex) if possible(name)]
        if not options:
            raise ValueError(f"random_outfit: the asset pack has no {kind} for a {sex} person")
        return options[int(rng.integers(len(options)))]

    draw = rng.random()
    if draw < (0.3 if sex == "female" else 0.5):
        clothes = [choose("suit")]
    elif sex == "female" and draw < 0.45 and skirts != "none":
        clothes = [choose("dress")]
    else:
        lower = choose("skirt") if sex == "female" and skirts != "none" and rng.random() < 0.25 else choose("bottom")
        clothes = [lower, choose("top")]
    bare = {assets.records[name]["kind"] for name in clothes} & {"dress", "skirt"}
    wide = not bare and not _NARROW & set(clothes)
    if sex == "female" and skirts == "all" and rng.random() < 0.12:
        clothes.append(choose("coat"))
    if rng.random() < 0.95:
        shoes = choose("shoes")
        while wide and shoes in _TALL_BOOTS:
            shoes = choose("shoes")
        clothes.insert(len(clothes) if shoes in _TALL_BOOTS else 0, shoes)
    if (bare or "shortjeans" in clothes) and assets.choices("socks", sex) and rng.random() < 0.4:
        clothes.insert(0, choose("socks"))
    head = [choose("eyes"), choose("eyebrows")]
    if rng.random() < (0.97 if sex == "female" else 0.88):
        head.append(choose("hair"))
    for kind, share in ACCESSORIES.items():
        if assets.choices(kind, sex) and rng.random() < share:
            head.append(choose(kind))
    word = "young" if age < 0.72 else "middleage" if age < 0.85 else "old"
    skins = [s for s in assets.choices("skin", sex) if word in s and "special_suit" not in s]
    if not skins:
        raise ValueError(f"random_outfit: the asset pack has no {word} skin for a {sex} person")
    skin = skins[int(rng.integers(len(skins)))]
    brown = [n for n in assets.choices("eye_texture", sex) if "brown" in n]
    dark = "darkskinned" in skin or rng.random() < 0.5
    iris = brown[int(rng.integers(len(brown)))] if dark and brown else choose("eye_texture")
    return GarmentOutfit(tuple(clothes), skin, iris, tuple(head))
