"""Every format, read back by a library that did not write it."""

import io
import struct
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh
from gltf_files import GltfFile, gltf_issues, validator_missing
from jointed_bodies import arms_out, capsule_body
from PIL import Image

from humanlrm import __version__
from humanlrm.mesh.export.model import PersonModel
from humanlrm.mesh.export.save import FORMATS, save, write_model
from humanlrm.mesh.surface import TexturedMesh
from humanlrm.output import Deliverable, write
from humanlrm.output_settings import MESH_FORMATS, OutputSettings, missing_extra
from humanlrm.rig.skeleton import JOINTS

_METRES_PER_UNIT = 0.93
_SETTINGS = {
    "plain.glb": OutputSettings(),
    "webp.glb": OutputSettings(texture_format="webp"),
    "text.gltf": OutputSettings(rig=True),
    "rig.glb": OutputSettings(rig=True),
    "moving.glb": OutputSettings(pose="a", animate=("wave",)),
    "ar.glb": OutputSettings(purpose="ar"),
    "person.vrm": OutputSettings(author="Anna"),
}


@pytest.fixture(scope="module")
def person(standing) -> Deliverable:
    marks = arms_out(standing)
    made = Deliverable(capsule_body(marks), marks, _METRES_PER_UNIT, {}, {"weights_sha256": "0" * 64})
    assert made.rigged.contacts == ()
    return made


@pytest.fixture(scope="module")
def metric(person) -> TexturedMesh:
    low, high = person.mesh.vertices.min(0), person.mesh.vertices.max(0)
    ground = np.array([(low[0] + high[0]) / 2, low[1], (low[2] + high[2]) / 2])
    return replace(person.mesh, vertices=((person.mesh.vertices - ground) * _METRES_PER_UNIT).astype(np.float32))


@pytest.mark.parametrize("name", sorted(_SETTINGS))
def test_khronos_validator_finds_no_error_and_no_warning(person, tmp_path, name):
    if (reason := validator_missing()) is not None:
        pytest.skip(reason)
    write(tmp_path / name, person, _SETTINGS[name])
    assert gltf_issues(tmp_path / name) == []


def test_khronos_validator_is_asked_for_levels_of_detail(person, tmp_path, monkeypatch):
    from humanlrm import output_settings

    plan = output_settings.PLANS["game"]._replace(level_faces=(1500, 600))
    monkeypatch.setitem(output_settings.PLANS, "game", plan)
    written = write(tmp_path / "a.glb", person, OutputSettings(purpose="game").completed())
    assert [path.name for path in written] == ["a.glb", "a.lod1.glb"]
    for path, faces in zip(written, plan.level_faces, strict=True):
        file = GltfFile(path)
        primitive = file.tree["meshes"][0]["primitives"][0]
        assert len(file.array(primitive["indices"])) / 3 == pytest.approx(faces, rel=0.1)
        assert "normalTexture" in file.tree["materials"][primitive["material"]]
        assert file.joint_names == list(JOINTS)
        np.testing.assert_allclose(file.vertices(), file.attribute("POSITION"), atol=1e-5)
        if validator_missing() is None:
            assert gltf_issues(path) == []


@pytest.mark.parametrize("name", ["plain.glb", "webp.glb", "text.gltf", "a.obj"])
def test_trimesh_reads_size_and_colors_back(person, metric, tmp_path, name):
    write(tmp_path / name, person, _SETTINGS.get(name, OutputSettings()))
    loaded = trimesh.load(tmp_path / name, process=False)
    mesh = next(iter(loaded.geometry.values())) if isinstance(loaded, trimesh.Scene) else loaded
    np.testing.assert_allclose(mesh.bounds, [metric.vertices.min(0), metric.vertices.max(0)], atol=1e-4)
    material = mesh.visual.material
    image = material.image if name.endswith("obj") else material.baseColorTexture
    difference = np.abs(np.asarray(image.convert("RGB"), int) - metric.texture)
    assert difference.mean() < 2


def test_objs_name_their_material_without_spaces(person, tmp_path):
    write(tmp_path / "anna at home.obj", person, OutputSettings())
    text = (tmp_path / "anna at home.obj").read_text(encoding="utf-8")
    assert "mtllib anna_at_home.mtl" in text
    assert "map_Kd anna_at_home.png" in (tmp_path / "anna_at_home.mtl").read_text(encoding="utf-8")


@pytest.mark.parametrize("suffix", [".stl", ".3mf"])
@pytest.mark.parametrize("base", [False, True])
def test_prints_are_closed_and_in_millimetres(person, metric, tmp_path, suffix, base):
    pytest.importorskip("lxml")
    output = OutputSettings(base=base, height_mm=120.0 if base else None)
    loaded = trimesh.load(write(tmp_path / f"a{suffix}", person, output)[0], force="mesh")
    loaded.merge_vertices()
    height = 120.0 * 1.01 if base else np.ptp(metric.vertices[:, 1]) * 1000
    assert loaded.is_watertight
    assert loaded.volume > 0
    assert loaded.bounds[0, 2] == pytest.approx(0, abs=1e-3)
    assert loaded.extents[2] == pytest.approx(height, rel=1e-4)
    assert loaded.body_count == (2 if base else 1)


@pytest.mark.parametrize("without", [False, True])
def test_a_print_stands_on_a_base_unless_it_is_left_out(without):
    assert OutputSettings(purpose="print", without_base=without).completed().base != without
    with pytest.raises(ValueError, match="exclude"):
        OutputSettings(base=True, without_base=True)


def test_3mf_says_its_unit(person, tmp_path):
    with zipfile.ZipFile(write(tmp_path / "a.3mf", person, OutputSettings())[0]) as archive:
        assert b'unit="millimeter"' in archive.read("3D/3dmodel.model")


def test_usdz_is_what_phones_take(person, metric, tmp_path):
    pxr = pytest.importorskip("pxr")
    from pxr import UsdGeom, UsdValidation

    path = write(tmp_path / "a.usdz", person, OutputSettings())[0]
    stage = pxr.Usd.Stage.Open(str(path))
    validators = UsdValidation.ValidationRegistry().GetOrLoadAllValidators()
    assert {v.GetMetadata().name.rpartition(":")[2] for v in validators} >= {"UsdzPackageValidator"}
    assert [error.GetMessage() for error in UsdValidation.ValidationContext(validators).Validate(stage)] == []
    # ARKit's rules, which usd-core no longer checks: up, binary layer first, plain pictures, known shaders.
    assert UsdGeom.GetStageUpAxis(stage) == "Y"
    assert UsdGeom.GetStageMetersPerUnit(stage) == 1
    shaders = {p.GetAttribute("info:id").Get() for p in stage.Traverse() if p.GetTypeName() == "Shader"}
    assert shaders <= {"UsdPreviewSurface", "UsdUVTexture", "UsdPrimvarReader_float2"}
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        assert [Path(entry.filename).suffix for entry in entries] == [".usdc", ".png"]
        color = np.asarray(Image.open(io.BytesIO(archive.read(entries[1]))).convert("RGB"), int)
    data = path.read_bytes()
    for entry in entries:
        assert entry.compress_type == zipfile.ZIP_STORED
        name, extra = struct.unpack_from("<HH", data, entry.header_offset + 26)
        assert (entry.header_offset + 30 + name + extra) % 64 == 0
    np.testing.assert_array_equal(color, metric.texture)
    points = np.array(stage.GetPrimAtPath("/person/mesh").GetAttribute("points").Get())
    np.testing.assert_allclose(points, metric.vertices, atol=1e-6)


def test_vrm_names_bones_and_rights(person, tmp_path):
    file = GltfFile(write(tmp_path / "anna.vrm", person, OutputSettings(author="Anna"))[0])
    vrm = file.tree["extensions"]["VRMC_vrm"]
    assert vrm["specVersion"] == "1.0"
    assert vrm["meta"]["authors"] == ["Anna"]
    assert vrm["meta"]["licenseUrl"] == "https://vrm.dev/licenses/1.0/"
    nodes = file.tree["nodes"]
    assert {bone: nodes[entry["node"]]["name"] for bone, entry in vrm["humanoid"]["humanBones"].items()} == {
        joint: joint for joint in JOINTS
    }
    hand, shoulder = (
        file.array(file.tree["skins"][0]["inverseBindMatrices"]).reshape(-1, 4, 4)[JOINTS.index(name), 3, :3] * -1
        for name in ("leftHand", "leftUpperArm")
    )
    # The arms of a T-pose are level.
    assert abs(hand[1] - shoulder[1]) < 0.02 * np.linalg.norm(hand - shoulder)


def test_every_gltf_says_where_it_comes_from(person, tmp_path):
    asset = GltfFile(write(tmp_path / "a.glb", person, OutputSettings(albedo=True, rig=True))[0]).tree["asset"]
    assert asset["generator"].startswith("humanlrm ")
    assert "Apache-2.0" in asset["copyright"]
    assert asset["extras"]["humanlrm"]["weights_sha256"] == "0" * 64
    assert asset["extras"]["humanlrm"]["output"] == {"albedo": True, "rig": True}
    assert asset["extras"]["humanlrm"]["light"] == "removed by estimate"


@pytest.mark.parametrize("suffix", [".gltf", ".obj", ".mtl", ".ply", ".stl", ".3mf", ".usdz", ".vrm"])
def test_every_format_says_where_it_comes_from(person, tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    write(path.with_suffix(".obj") if suffix == ".mtl" else path, person, OutputSettings())
    if suffix == ".3mf":
        text = zipfile.ZipFile(path).read("3D/3dmodel.model").decode()
    elif suffix == ".usdz":
        usd = pytest.importorskip("pxr.Usd")
        stage = usd.Stage.Open(str(path))  # the layer does not live longer
        layer = stage.GetRootLayer()
        text = layer.customLayerData["humanlrm"] + layer.comment
    else:
        text = path.read_bytes().decode("latin-1")
    assert f"humanlrm {__version__}" in text
    assert "0" * 16 in text
    if suffix != ".stl":  # 80 bytes are free there
        assert "Rights to the photo and of the person shown are theirs" in text


def test_a_read_only_folder_gets_nothing(person, tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(PermissionError):
        write(tmp_path / "a.glb", person, OutputSettings(rig=True))
    assert list(tmp_path.iterdir()) == []


def test_values_of_vertices_are_written_to_gltf(metric, tmp_path):
    values = metric.vertices[:, 1].copy()
    path = write_model(tmp_path / "a.glb", PersonModel(metric, attributes={"_HEIGHT": values}))
    np.testing.assert_array_equal(GltfFile(path).attribute("_HEIGHT"), values)


def test_every_format_that_is_written_is_described_and_says_what_lies_beside_it(metric: TexturedMesh, tmp_path: Path):
    assert set(FORMATS) == set(MESH_FORMATS)
    for suffix, described in MESH_FORMATS.items():
        if missing_extra(suffix) is not None:
            continue
        folder = tmp_path / suffix[1:]
        save(folder / f"person{suffix}", metric, height_m=1.7)
        assert {path.name for path in folder.iterdir()} == {f"person{end}" for end in (suffix, *described.beside)}
