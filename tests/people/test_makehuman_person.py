"""The laws of composed people: garments hang on bodies as their files say. The pieces are cut from the base mesh here;
the real ones are used only if the asset pack is given."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from humanlrm.body.landmarks import INDEX
from humanlrm.people.body_model import body_model
from humanlrm.people.makehuman.assets import SLOT_OF, MakeHumanAssets, random_outfit, skirts_for
from humanlrm.people.makehuman.atlas import ATLAS_PX, SLOTS, filled_under_alpha
from humanlrm.people.makehuman.base_mesh import BODY_VERTICES, Hand, armature_of, base_mesh, bone_rotations
from humanlrm.people.makehuman.dress import tucked
from humanlrm.people.makehuman.mhclo import Garment, load_garment
from humanlrm.people.makehuman.paint import print_cloth
from humanlrm.people.makehuman.person import make_composed
from humanlrm.people.poses import everyday
from humanlrm.people.poses.pack import POSE_JOINTS

KINDS = {
    "suit": ("spine", "upperleg"),
    "dress": ("spine",),
    "top": ("spine",),
    "bottom": ("upperleg",),
    "skirt": ("pelvis",),
    "coat": ("spine",),
    "shoes": ("foot",),
    "eyes": ("head",),
    "eyebrows": ("head",),
    "hair": ("head",),
}


def cut_from_body(folder: Path, name: str, bones: tuple[str, ...], outward: float) -> dict[str, str]:
    """Writes a piece: the body's faces on some bones, its vertices ``outward`` decimetres in front of the body's."""
    mesh = base_mesh()
    columns = [i for i, bone in enumerate(mesh.bones) if bone.startswith(bones)]
    mine = (mesh.weights[:, columns].sum(1) > 0.2)[mesh.faces].all(1)
    used, faces = np.unique(mesh.faces[mine], return_inverse=True)
    faces = faces.reshape(-1, 3) + 1
    lines = ["v 0 0 0"] * len(used) + ["vt 0.2 0.2", "vt 0.8 0.2", "vt 0.5 0.8"]
    lines += [f"f {a}/1 {b}/2 {c}/3" for a, b, c in faces]
    (folder / f"{name}.obj").write_text("\n".join(lines), encoding="utf-8")
    rows = [f"{v} {v} {v} 1 0 0 0 0 {outward}" for v in used]
    hidden = f"delete_verts\n{used[0]} - {used[0] + 2} {used[-1]}"
    (folder / f"{name}.mhclo").write_text(
        "\n".join(["name x", "verts 0", "material m", *rows, "", hidden]), encoding="utf-8"
    )
    return {"obj": f"{name}.obj", "mhclo": f"{name}.mhclo"}


@pytest.fixture(scope="module")
def assets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("assets")
    folder = root / "makehuman"
    folder.mkdir()
    records = []
    for kind, bones in KINDS.items():
        files = cut_from_body(folder, kind, bones, outward=0.1)
        records.append({"id": kind, "kind": kind, "fit": "unisex", "licence": "CC0-1.0", "dir": ".", "files": files})
    for name, kind, color in (
        ("skin_young_a", "skin", (200, 150, 120)),
        ("skin_middleage_a", "skin", (200, 150, 120)),
        ("skin_old_a", "skin", (200, 150, 120)),
        ("iris_brown_eye", "eye_texture", (90, 60, 30)),
    ):
        Image.new("RGB", (32, 32), color).save(folder / f"{name}.png")
        files = {"diffuse": f"{name}.png"}
        records.append({"id": name, "kind": kind, "fit": "unisex", "licence": "CC0-1.0", "dir": ".", "files": files})
    (folder / "manifest.json").write_text(json.dumps(records), encoding="utf-8")
    (root / "poses").mkdir()
    quats = np.tile(np.float32([1, 0, 0, 0]), (20, 22, 1))
    sources = np.array([f"clip{i}" for i in range(20)])
    np.savez(root / "poses" / "poses.npz", joint_names=np.array(POSE_JOINTS), quat_wxyz=quats, source=sources)
    return root


def patch(offset: tuple[float, float, float], references: tuple[tuple[int, int, float], ...] | None) -> Garment:
    """A triangle that hangs on three base vertices."""
    return Garment(
        faces=np.array([[0, 1, 2]], np.int32),
        uv=np.array([(0, 0), (1, 0), (0, 1)], np.float32),
        uv_faces=np.array([[0, 1, 2]], np.int32),
        anchors=np.array([[10, 20, 30], [11, 21, 31], [12, 22, 32]]),
        shares=np.full((3, 3), 1 / 3),
        offsets=np.tile(np.array(offset), (3, 1)),
        references=references,
        hidden=np.zeros(0, np.int64),
    )


def test_a_garment_grows_with_the_body_it_is_fitted_to():
    base, _ = body_model("makehuman").rest({})
    garment = patch((0.2, 0.3, 0.4), ((5399, 11998, 1.4), (791, 881, 2.4), (962, 5320, 2.0)))
    np.testing.assert_allclose(garment.fitted(2 * base), 2 * garment.fitted(base), atol=1e-5)


def test_offsets_without_references_are_decimetres():
    base, _ = body_model("makehuman").rest({})
    away = patch((1.0, 2.0, 3.0), None).fitted(base) - patch((0.0, 0.0, 0.0), None).fitted(base)
    np.testing.assert_allclose(away, np.tile([0.1, 0.2, 0.3], (3, 1)), atol=1e-6)


def test_subdivision_keeps_the_surface_and_its_texture():
    base, _ = body_model("makehuman").rest({})
    garment = patch((0, 0, 0), None)
    fine = garment.subdivided().subdivided()
    assert len(fine.faces) == 16

    def area(points: np.ndarray, faces: np.ndarray) -> float:
        a, b, c = (points[faces[:, k]] for k in range(3))
        return float(np.linalg.norm(np.cross(b - a, c - a), axis=-1).sum())

    flat = np.pad(fine.uv, ((0, 0), (0, 1)))
    np.testing.assert_allclose(
        area(fine.fitted(base), fine.faces), area(garment.fitted(base), garment.faces), rtol=1e-4
    )
    np.testing.assert_allclose(area(flat, fine.uv_faces), 1.0, rtol=1e-5)
    weights = fine.weighted(base_mesh().weights)
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-5)
    assert len(weights) == len(fine.fitted(base))


def test_transparent_faces_are_dropped():
    alpha = np.zeros((16, 16), np.uint8)
    garment = patch((0, 0, 0), None)
    assert len(garment.opaque(alpha).faces) == 0
    assert len(garment.opaque(alpha + np.uint8(255)).faces) == 1


def test_files_that_do_not_belong_together_are_refused(tmp_path: Path):
    one, two = cut_from_body(tmp_path, "one", ("foot",), 0.1), cut_from_body(tmp_path, "two", ("head",), 0.1)
    with pytest.raises(ValueError, match="anchors"):
        load_garment(tmp_path / one["obj"], tmp_path / two["mhclo"])
    with pytest.raises(FileNotFoundError, match="no file"):
        load_garment(tmp_path / "none.obj", tmp_path / one["mhclo"])


def test_hidden_ranges_are_read_whole(tmp_path: Path):
    files = cut_from_body(tmp_path, "one", ("foot",), 0.1)
    hidden = load_garment(tmp_path / files["obj"], tmp_path / files["mhclo"]).hidden
    assert len(hidden) == 4
    np.testing.assert_array_equal(np.diff(hidden[:3]), 1)


def test_tucked_skin_lies_below_the_cloth_and_the_rest_stays():
    x, y = np.meshgrid(np.linspace(0, 0.3, 31), np.linspace(0, 0.1, 11))
    skin = np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], axis=1).astype(np.float32)
    row = np.arange(30)[None] + 31 * np.arange(10)[:, None]
    a, b, c, d = (row + k for k in (0, 1, 32, 31))
    faces = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
    cloth = skin[skin[:, 0] < 0.15] + np.float32([0, 0, 0.001])
    moved = tucked(skin, faces, cloth, gap_m=0.004)
    np.testing.assert_allclose(moved[skin[:, 0] < 0.14, 2], -0.003, atol=1e-5)
    np.testing.assert_array_equal(moved[skin[:, 0] > 0.17], skin[skin[:, 0] > 0.17])


def test_slots_of_the_atlas_do_not_overlap():
    taken = np.zeros(ATLAS_PX, int)
    for tile in SLOTS.values():
        taken[tile.row : tile.row + tile.size, tile.column : tile.column + tile.size] += 1
    assert taken.max() == 1
    assert set(SLOT_OF.values()) <= set(SLOTS)


def test_a_tile_shows_the_texel_that_the_part_showed():
    image = np.random.default_rng(0).integers(0, 255, (256, 256, 3)).astype(np.uint8)
    atlas = np.zeros((*ATLAS_PX, 3), np.uint8)
    SLOTS["shoes"].paste(atlas, image)
    u, v = SLOTS["shoes"].coordinates(np.array([[100.5 / 256, 1 - 30.5 / 256]]))[0]
    np.testing.assert_array_equal(atlas[int((1 - v) * ATLAS_PX[0]), int(u * ATLAS_PX[1])], image[30, 100])


def test_color_under_transparency_comes_from_the_opaque_texels():
    rgb, alpha = np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64), np.uint8)
    rgb[:, :32], alpha[:, :32] = (200, 100, 50), 255
    np.testing.assert_allclose(filled_under_alpha(rgb, alpha)[:, 33:].mean((0, 1)), (200, 100, 50), atol=3)


def test_prints_keep_the_shading():
    texture = np.full((64, 64, 3), 200, np.uint8)
    texture[:32] = 80
    for seed in range(8):
        image = print_cloth(texture, np.random.default_rng(seed))
        assert image[:32].mean() < image[32:].mean()


def test_fingers_bend_toward_the_palm():
    mesh = base_mesh()
    _, heads = body_model("makehuman").rest({})
    rig = armature_of(heads)
    turns = bone_rotations(rig, np.tile(np.eye(3), (22, 1, 1)), (Hand(30.0, 1.0), Hand(30.0, 1.0)))
    for side in ("L", "R"):
        knuckle, tip = (heads[mesh.bones.index(f"finger3-{k}.{side}")] for k in (1, 3))
        palm = turns[mesh.bones.index(f"wrist.{side}")]
        bent = turns[mesh.bones.index(f"finger3-1.{side}")]
        assert ((bent - palm) @ (tip - knuckle))[1] < -0.005


@pytest.mark.parametrize("seed", range(3))
def test_a_composed_person_is_whole(assets: Path, seed: int):
    scan, again = make_composed(assets, seed), make_composed(assets, seed)
    np.testing.assert_array_equal(scan.vertices, again.vertices)
    np.testing.assert_array_equal(scan.texture, again.texture)
    np.testing.assert_allclose(scan.vertices[:, 1].min(), 0, atol=1e-5)
    assert scan.faces.max() == len(scan.vertices) - 1
    assert scan.uv_faces.max() < len(scan.uv)
    assert scan.faces.shape == scan.uv_faces.shape
    assert scan.landmarks is not None
    low, high = scan.vertices.min(0), scan.vertices.max(0)
    assert ((scan.landmarks > low - 0.01) & (scan.landmarks < high + 0.01)).all()
    head, neck, nose = (scan.landmarks[INDEX[n]] for n in ("head", "neck", "nose"))
    assert 0.05 < np.linalg.norm(head - neck) < 0.35
    assert 0.04 < np.linalg.norm(nose - head) < 0.2


def test_outfits_cover_a_person_from_shoulder_to_hip(assets: Path):
    pack = MakeHumanAssets(assets, "train")
    for seed in range(20):
        kinds = random_outfit(pack, "female", 0.6, np.random.default_rng(seed)).clothes
        whole = {"suit", "dress"} & set(kinds)
        assert whole or ({"top"} <= set(kinds) and {"bottom", "skirt"} & set(kinds))


def test_gowns_go_with_standing_and_not_with_kneeling_or_sitting():
    for name, allowed in (("attention", "all"), ("strolling", "all"), ("sitting", "short"), ("lunging", "none")):
        assert skirts_for(everyday.everyday_pose(name, np.random.default_rng(2))) == allowed, name
    assert skirts_for(everyday.everyday_pose("kneeling", np.random.default_rng(2))) != "all"


def test_no_gown_is_drawn_for_a_pose_that_tears_it(assets: Path):
    pack = MakeHumanAssets(assets, "train")
    for seed in range(30):
        clothes = random_outfit(pack, "female", 0.6, np.random.default_rng(seed), skirts="none").clothes
        assert not {"dress", "skirt", "coat"} & set(clothes)


def test_a_missing_pack_is_named(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="manifest"):
        MakeHumanAssets(tmp_path, "train")


@pytest.mark.skipif("HUMANLRM_ASSETS" not in os.environ, reason="needs the asset pack")
def test_real_pieces_fit_close_to_the_body():
    pack = MakeHumanAssets(Path(os.environ["HUMANLRM_ASSETS"]), "train")
    base, _ = body_model("makehuman").rest({"gender": 1.0, "age": 0.6})
    low, high = base[:BODY_VERTICES].min(0) - 0.25, base[:BODY_VERTICES].max(0) + 0.25
    for kind in ("suit", "dress", "shoes", "hair"):
        for name in pack.choices(kind, "female"):
            points = pack.piece(name).garment.fitted(base)
            assert (points > low).all(), name
            assert (points < high).all(), name
