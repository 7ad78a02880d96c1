import numpy as np
import pytest
import trimesh
from PIL import Image

from humanlrm.evaluate.baselines import read_colored_mesh
from humanlrm.evaluate.sources import find_orphans, read_scan
from humanlrm.mesh.surface import is_closed

RED, BLUE = [200, 40, 40], [40, 40, 200]


def test_vertex_colors_become_a_texture_that_shows_them(tmp_path):
    ball = trimesh.creation.icosphere(2, 0.9)
    ball.visual.vertex_colors = np.where(ball.vertices[:, :1] > 0, RED, BLUE).astype(np.uint8)
    ball.export(tmp_path / "a.ply")
    scan = read_scan(tmp_path / "a.ply", "scans")
    uv = scan.uv[scan.uv_faces].mean(1)
    height, width = scan.texture.shape[:2]
    color = scan.texture[((1 - uv[:, 1]) * height).astype(int), (uv[:, 0] * width).astype(int)]
    side = scan.vertices[scan.faces][:, :, 0]
    np.testing.assert_allclose(color[(side > 0.1).all(1)], [RED] * (side > 0.1).all(1).sum(), atol=1)
    np.testing.assert_allclose(color[(side < -0.1).all(1)], [BLUE] * (side < -0.1).all(1).sum(), atol=1)


def test_a_texture_is_kept_and_seams_are_no_holes(tmp_path):
    box = trimesh.creation.box((1, 1.7, 1))
    box.unmerge_vertices()
    uv = np.tile([0.5, 0.5], (len(box.vertices), 1))
    box.visual = trimesh.visual.TextureVisuals(uv=uv, image=Image.new("RGB", (8, 8), tuple(RED)))
    box.export(tmp_path / "a.glb")
    scan = read_scan(tmp_path / "a.glb", "scans")
    assert is_closed(scan.faces)
    np.testing.assert_array_equal(scan.texture[4, 4], RED)
    mesh = read_colored_mesh(tmp_path / "a.glb")
    assert is_closed(mesh.surface.faces)
    np.testing.assert_allclose(mesh.colors * 255, [RED] * len(mesh.colors), atol=1)


def test_vertex_colors_are_read_at_their_vertices(tmp_path):
    ball = trimesh.creation.icosphere(2, 0.9)
    ball.visual.vertex_colors = np.where(ball.vertices[:, :1] > 0, RED, BLUE).astype(np.uint8)
    ball.export(tmp_path / "a.ply")
    mesh = read_colored_mesh(tmp_path / "a.ply")
    side = mesh.surface.vertices[:, 0]
    for chosen, color in ((side > 0.1, RED), (side < -0.1, BLUE)):
        np.testing.assert_allclose(mesh.colors[chosen] * 255, [color] * chosen.sum(), atol=1)


def test_all_parts_of_a_file_belong_to_the_scan(tmp_path):
    upper, lower = trimesh.creation.box((0.5, 0.9, 0.3)), trimesh.creation.box((0.5, 0.8, 0.3))
    upper.apply_translation([0, 1.3, 0])
    lower.apply_translation([0, 0.4, 0])
    trimesh.Scene([upper, lower]).export(tmp_path / "a.glb")
    scan = read_scan(tmp_path / "a.glb", "scans")
    assert np.ptp(scan.vertices[:, 1]) == pytest.approx(1.75)
    assert len(scan.faces) == 24


@pytest.mark.parametrize(("scale", "height"), [(1.0, 1.8), (100.0, 1.8), (1000.0, 1.8), (0.01, 1.70)])
def test_heights_tell_units_and_impossible_ones_become_a_metre_seventy(tmp_path, scale, height):
    trimesh.creation.box((0.5 * scale, 1.8 * scale, 0.3 * scale)).export(tmp_path / "a.ply")
    scan = read_scan(tmp_path / "a.ply", "scans")
    assert np.ptp(scan.vertices[:, 1]) == pytest.approx(height)
    assert scan.tags["height_m"] == pytest.approx(height)


def test_a_scan_that_is_inside_out_is_turned(tmp_path):
    box = trimesh.creation.box((0.5, 1.8, 0.3))
    box.invert()
    box.export(tmp_path / "a.ply")
    scan = read_scan(tmp_path / "a.ply", "scans")
    assert trimesh.Trimesh(scan.vertices, scan.faces).volume > 0


@pytest.mark.parametrize("content", [b"", b"ply\nformat ascii 1.0\n", b"\x00" * 100])
def test_a_damaged_file_names_itself(tmp_path, content):
    (tmp_path / "a.ply").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.ply"):
        read_scan(tmp_path / "a.ply", "scans")


def test_scans_and_photos_without_a_partner_are_named(tmp_path):
    for name in ("a", "b"):
        trimesh.creation.box((0.5, 1.8, 0.3)).export(tmp_path / f"{name}.ply")
    for name in ("a", "c"):
        (tmp_path / f"{name}.jpg").write_bytes(b"")
    assert find_orphans(tmp_path) == ["b.ply", "c.jpg"]
