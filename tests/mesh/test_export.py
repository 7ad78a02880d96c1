import os
from pathlib import Path

import numpy as np
import pytest
import trimesh
from analytic_bodies import ball, blue_field, position_field, surface_of
from hypothesis import given, settings
from hypothesis import strategies as st

from humanlrm.mesh.export import metric_vertices, save
from humanlrm.mesh.surface import TexturedMesh
from humanlrm.texture.bake import bake

not_on_windows = pytest.mark.skipif(os.name == "nt", reason="names are text there")


@pytest.fixture(scope="module")
def mesh() -> TexturedMesh:
    body = trimesh.creation.capsule(height=1.0, radius=0.3)
    body.apply_transform(trimesh.transformations.rotation_matrix(-np.pi / 2, [1, 0, 0]))
    body.apply_translation([0.2, 0.1, -0.3])
    body.merge_vertices()
    return bake(surface_of(body), position_field, size_px=128)


@pytest.mark.parametrize("suffix", [".glb", ".obj"])
def test_saved_files_are_watertight_after_merging_seams(mesh: TexturedMesh, tmp_path: Path, suffix: str):
    path = save(tmp_path / f"person{suffix}", mesh, height_m=1.73)
    loaded = trimesh.load(path, force="mesh", process=False)
    assert len(loaded.vertices) > mesh.welded.max() + 1
    loaded.merge_vertices(merge_tex=True, merge_norm=True)
    assert len(loaded.vertices) == mesh.welded.max() + 1
    assert loaded.is_watertight
    assert loaded.is_winding_consistent
    assert loaded.volume > 0


@settings(max_examples=10, deadline=None)
@given(st.floats(0.3, 2.5))
def test_seams_stay_closed_at_any_height(height_m: float):
    body = ball(3)
    mesh = bake(body, blue_field, size_px=64)
    vertices = metric_vertices(mesh, height_m=height_m)
    merged = trimesh.Trimesh(vertices, mesh.faces, process=False)
    merged.merge_vertices()
    assert merged.is_watertight
    assert len(merged.vertices) == len(body.vertices)


@pytest.mark.parametrize("suffix", [".glb", ".obj", ".ply"])
def test_saved_people_stand_on_the_ground_in_metres(mesh: TexturedMesh, tmp_path: Path, suffix: str):
    loaded = trimesh.load(save(tmp_path / f"person{suffix}", mesh, height_m=1.73), force="mesh", process=False)
    low, high = loaded.bounds
    assert low[1] == pytest.approx(0, abs=1e-6)
    assert high[1] == pytest.approx(1.73, abs=1e-5)
    np.testing.assert_allclose((low + high)[[0, 2]], 0, atol=1e-6)


def test_metres_per_unit_scales_without_looking_at_the_height(mesh: TexturedMesh):
    size = np.ptp(metric_vertices(mesh, metres_per_unit=0.9), axis=0)
    np.testing.assert_allclose(size, 0.9 * np.ptp(mesh.vertices, axis=0), rtol=1e-5)


def test_glb_keeps_texture_normals_and_material(mesh: TexturedMesh, tmp_path: Path):
    path = save(tmp_path / "person.glb", mesh, height_m=1.7)
    # As a scene: flattening it to one mesh would compute new normals.
    (loaded,) = trimesh.load(path, process=False).geometry.values()
    material = loaded.visual.material
    np.testing.assert_array_equal(np.asarray(material.baseColorTexture.convert("RGB")), mesh.texture)
    np.testing.assert_allclose(loaded.visual.uv, mesh.uv, atol=1e-6)
    np.testing.assert_allclose(loaded.vertex_normals, mesh.normals, atol=1e-5)
    assert material.metallicFactor == 0
    assert 0.9 <= material.roughnessFactor <= 1
    assert b'"generator":"humanlrm' in path.read_bytes()


@pytest.mark.parametrize(
    "name", ["my person.obj", "ümit 李.obj", pytest.param(os.fsdecode(b"caf\xe9.obj"), marks=not_on_windows)]
)
def test_an_obj_of_any_name_finds_its_texture(mesh: TexturedMesh, tmp_path: Path, name: str):
    """White space ends a name in these files, and bytes that are no text cannot be written."""
    path = save(tmp_path / name, mesh, height_m=1.7)
    (material,), (texture,) = (list(tmp_path.glob(f"*.{end}")) for end in ("mtl", "png"))
    assert not any(letter.isspace() for letter in material.name + texture.name)
    assert f"mtllib {material.name}" in path.read_text(encoding="utf-8")
    assert f"map_Kd {texture.name}" in material.read_text(encoding="utf-8")
    assert texture.stat().st_size > 100


def test_what_is_in_a_file_does_not_depend_on_its_name(mesh: TexturedMesh, tmp_path: Path):
    for suffix in (".glb", ".ply"):
        contents = {save(tmp_path / f"{name}{suffix}", mesh, height_m=1.7).read_bytes() for name in ("anna", "otto")}
        assert len(contents) == 1


def test_obj_brings_its_material_and_texture(mesh: TexturedMesh, tmp_path: Path):
    save(tmp_path / "anna.obj", mesh, height_m=1.7)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["anna.mtl", "anna.obj", "anna.png"]
    assert "map_Kd anna.png" in (tmp_path / "anna.mtl").read_text(encoding="utf-8")


def test_ply_vertices_have_the_textures_colors(mesh: TexturedMesh, tmp_path: Path):
    loaded = trimesh.load(save(tmp_path / "person.ply", mesh, metres_per_unit=1.0), process=False)
    assert loaded.is_watertight
    back = (
        loaded.vertices
        + mesh.vertices.min(0) * [0, 1, 0]
        + (mesh.vertices.min(0) + mesh.vertices.max(0)) / 2 * [1, 0, 1]
    )
    np.testing.assert_allclose(loaded.visual.vertex_colors[:, :3] / 255, back / 2 + 0.5, atol=0.03)


def test_attributes_of_the_vertices_come_back(mesh: TexturedMesh, tmp_path: Path):
    height = mesh.vertices[:, 1].astype(np.float32)
    glb, ply = (
        trimesh.load(save(tmp_path / f"a{suffix}", mesh, 1.7, attributes={"_HEIGHT": height}), process=False)
        for suffix in (".glb", ".ply")
    )
    (person,) = glb.geometry.values()
    np.testing.assert_allclose(person.vertex_attributes["_HEIGHT"].ravel(), height, atol=1e-6)
    found = ply.metadata["_ply_raw"]["vertex"]["data"]["_HEIGHT"]
    scale = 1.7 / np.ptp(mesh.vertices[:, 1])
    np.testing.assert_allclose(ply.vertices[:, 1], (np.ravel(found) - mesh.vertices[:, 1].min()) * scale, atol=1e-5)


@pytest.mark.parametrize("suffix", [".glb", ".obj"])
def test_failed_save_leaves_no_file(mesh: TexturedMesh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str):
    def full_disk(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(OSError, match="no space"):
        save(tmp_path / f"person{suffix}", mesh, height_m=1.7)
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_target_leaves_nothing_beside_it(mesh: TexturedMesh, tmp_path: Path):
    (tmp_path / "person.glb").mkdir()
    with pytest.raises(OSError, match=r"person\.glb"):
        save(tmp_path / "person.glb", mesh, height_m=1.7)
    assert [p.name for p in tmp_path.iterdir()] == ["person.glb"]


def test_missing_folders_are_made(mesh: TexturedMesh, tmp_path: Path):
    assert save(tmp_path / "a" / "b" / "person.glb", mesh, height_m=1.7).is_file()


@pytest.mark.parametrize(
    ("name", "scales", "match"),
    [
        ("person.fbx", {"height_m": 1.7}, "glb"),
        ("person", {"height_m": 1.7}, "without suffix"),
        ("person.glb", {}, "one of them"),
        ("person.glb", {"height_m": 1.7, "metres_per_unit": 1.0}, "one of them"),
        ("person.glb", {"height_m": -1.0}, "positive"),
        ("person.glb", {"metres_per_unit": float("nan")}, "positive"),
    ],
)
def test_wrong_requests_are_refused_before_anything_is_written(
    mesh: TexturedMesh, tmp_path: Path, name: str, scales: dict, match: str
):
    with pytest.raises(ValueError, match=match):
        save(tmp_path / "new" / name, mesh, **scales)
    assert not (tmp_path / "new").exists()
