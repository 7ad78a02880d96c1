from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh
from analytic_bodies import BLUE, RED, ball, blue_field, photo_of, position_field, surface_of

from humanlrm.frame import SquareCrop
from humanlrm.mesh.export import vertex_colors
from humanlrm.mesh.texels import rasterize
from humanlrm.mesh.unwrap import unwrap
from humanlrm.texture.bake import bake, color_vertices, heat_map
from humanlrm.texture.project import PhotoProjection


def doughnut():
    return surface_of(trimesh.creation.torus(0.5, 0.2, 48, 24))


def small_body(name: str):
    return {"ball": ball, "doughnut": doughnut, "box": lambda: surface_of(trimesh.creation.box((0.5, 1.5, 0.3)))}[
        name
    ]()


@pytest.mark.parametrize("name", ["ball", "doughnut", "box"])
def test_charts_do_not_overlap_and_keep_their_orientation(name: str):
    surface = small_body(name)
    cut = unwrap(surface, 256)
    corners = cut.uv[cut.faces].astype(np.float64)
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]) / 2
    assert (area > 0).all()
    covered = len(rasterize(cut, 256).row) / 256**2
    # Overlaps would show as a total area above the area covered.
    assert area.sum() == pytest.approx(covered, rel=0.02)
    assert covered > 0.2


def test_a_front_that_hides_itself_is_cut_into_charts_without_overlap():
    angle = np.linspace(0, 3.6 * np.pi, 120)
    spine = np.stack([0.5 * np.cos(angle), 0.5 * np.sin(angle), 0.05 * angle - 0.3], axis=-1)
    ring = np.linspace(0, 2 * np.pi, 13)[:-1]
    outward = spine * [1, 1, 0] / 0.5
    vertices = spine[:, None] + 0.1 * (
        np.cos(ring)[None, :, None] * outward[:, None] + np.sin(ring)[None, :, None] * np.array([0.0, 0, 1])
    )
    index = np.arange(120 * 12).reshape(120, 12)
    a, b = index[:-1], np.roll(index, -1, axis=1)[:-1]
    c, d = index[1:], np.roll(index, -1, axis=1)[1:]
    quads = np.concatenate([np.stack([a, c, b], -1).reshape(-1, 3), np.stack([b, c, d], -1).reshape(-1, 3)])
    caps = [[index[0, 0], index[0, i], index[0, i + 1]] for i in range(1, 11)]
    caps += [[index[-1, 0], index[-1, i + 1], index[-1, i]] for i in range(1, 11)]
    spiral = trimesh.Trimesh(vertices.reshape(-1, 3), np.concatenate([quads, caps]))
    spiral.fix_normals()
    assert spiral.is_watertight
    cut = unwrap(surface_of(spiral), 512)
    corners = cut.uv[cut.faces].astype(np.float64)
    e, f = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = (e[:, 0] * f[:, 1] - e[:, 1] * f[:, 0]).sum() / 2
    assert area == pytest.approx(len(rasterize(cut, 512).row) / 512**2, rel=0.02)


def test_texels_know_where_on_the_surface_they_are():
    surface = ball()
    texels = rasterize(unwrap(surface, 128), 128)
    radius = np.linalg.norm(texels.interpolate(surface, surface.vertices), axis=-1)
    np.testing.assert_allclose(radius, 0.6, atol=0.01)


def test_without_a_photo_the_field_colors_everything():
    surface = ball()
    mesh = bake(surface, position_field, size_px=256)
    np.testing.assert_allclose(vertex_colors(mesh), mesh.vertices / 2 + 0.5, atol=0.02)


def test_photo_colors_land_where_the_photo_sees():
    surface = ball()
    mesh = bake(surface, blue_field, [photo_of(surface)], size_px=256)
    colors, z = vertex_colors(mesh), mesh.normals[:, 2]
    np.testing.assert_allclose(colors[z > 0.7], np.broadcast_to(RED, colors[z > 0.7].shape), atol=0.02)
    np.testing.assert_allclose(colors[z < -0.7], np.broadcast_to(BLUE, colors[z < -0.7].shape), atol=0.02)


def test_photo_pixels_land_at_their_own_place():
    """The photo's colour is a function of the pixel, the crop reaches beyond the photo, x right and y down."""
    surface = ball()
    size = 200
    crop = SquareCrop((90.0, 110.0), 260.0)
    y, x = np.mgrid[:size, :size] + 0.5
    photo = PhotoProjection(
        np.stack([x / size, y / size, 0 * x], -1).astype(np.float32), np.ones((size, size), np.float32), crop
    )
    mesh = bake(surface, blue_field, [photo], size_px=512)
    sure = (mesh.normals[:, 2] > 0.7) & (np.abs(mesh.vertices[:, :2]).max(axis=-1) < 0.4)
    # A box unit at z = 0 is 260 / 2.1 px, and perspective enlarges by 4 / (4 - z).
    px = mesh.vertices[:, :2] * (4 / (4 - mesh.vertices[:, 2:])) * (260 / 2.1) * [1, -1] + [90, 110]
    assert sure.sum() > 100
    np.testing.assert_allclose(vertex_colors(mesh)[sure, :2], px[sure] / size, atol=0.012)


def test_background_never_bleeds_into_the_texture():
    surface = ball()
    mesh = bake(surface, blue_field, [photo_of(surface)], size_px=256)
    assert mesh.texture[..., 1].max() < 0.15 * 255


def test_what_is_hidden_by_a_nearer_part_takes_the_fields_color():
    """A small ball before a large plate: the photo shows the ball's red, which must not be printed on the plate."""
    plate = trimesh.creation.box((1.6, 1.6, 0.1)).subdivide().subdivide().subdivide().subdivide()
    plate.apply_translation([0, 0, -0.4])
    front = trimesh.creation.icosphere(3, 0.3)
    front.apply_translation([0, 0, 0.3])
    surface = surface_of(trimesh.util.concatenate([plate, front]))
    mesh = bake(surface, blue_field, [photo_of(surface)], size_px=512)
    middle = (mesh.vertices[:, 2] < 0) & (mesh.normals[:, 2] > 0.9) & (np.abs(mesh.vertices[:, :2]).max(axis=-1) < 0.06)
    rim = (
        (mesh.vertices[:, 2] < 0)
        & (mesh.normals[:, 2] > 0.9)
        & (np.abs(mesh.vertices[:, 0]) > 0.55)
        & (np.abs(mesh.vertices[:, :2]).max(axis=-1) < 0.7)
    )
    assert middle.any()
    assert rim.any()
    assert (vertex_colors(mesh)[middle] @ (BLUE - RED) > 0).all()
    assert (vertex_colors(mesh)[rim][:, 0] > 0.5).all()


def test_a_heat_map_is_blue_where_numbers_are_small_and_red_where_they_are_large():
    mesh = bake(ball(), blue_field, size_px=128)
    share = mesh.vertices[:, 1] / 1.2 + 0.5
    heat = replace(mesh, texture=heat_map(mesh, share, 128))
    colors = vertex_colors(heat)
    assert (colors[share < 0.1][:, 2] > 2 * colors[share < 0.1][:, 0]).all()
    assert (colors[share > 0.9][:, 0] > 3 * colors[share > 0.9][:, 2]).all()


def test_the_field_is_asked_only_where_the_photo_does_not_decide():
    surface, asked = ball(), []

    def recording(points: torch.Tensor, normals: torch.Tensor) -> torch.Tensor:
        asked.append(normals)
        return blue_field(points, normals)

    bake(surface, recording, [photo_of(surface)], size_px=256)
    assert torch.cat(asked)[:, 2].max() < 0.75


def test_gutters_repeat_the_nearest_color():
    mesh = bake(ball(), blue_field, size_px=128)
    np.testing.assert_allclose(mesh.texture / 255, np.broadcast_to(BLUE, mesh.texture.shape), atol=0.003)


def test_seams_duplicate_positions_bit_by_bit():
    surface = ball()
    mesh = bake(surface, blue_field, size_px=128)
    assert len(mesh.vertices) > len(surface.vertices)
    np.testing.assert_array_equal(mesh.vertices, surface.vertices[mesh.welded])
    np.testing.assert_array_equal(mesh.welded[mesh.faces], surface.faces)


def test_mismatched_arguments_are_refused():
    with pytest.raises((ValueError, TypeError), match="Photo"):
        replace(photo_of(ball()), alpha=np.zeros((3, 3), np.float32))
    with pytest.raises(ValueError, match="16 px"):
        bake(ball(), blue_field, size_px=4)


def test_several_photos_color_the_sides_that_they_show():
    surface = ball()
    about = trimesh.transformations.rotation_matrix(np.pi, [0, 1, 0])
    behind = replace(photo_of(surface, color=BLUE), to_frame=about)
    mesh = bake(surface, position_field, [photo_of(surface), behind], size_px=256)
    colors, z = vertex_colors(mesh), mesh.vertices[:, 2]
    np.testing.assert_allclose(colors[z > 0.35], np.broadcast_to(RED, colors[z > 0.35].shape), atol=0.02)
    np.testing.assert_allclose(colors[z < -0.35], np.broadcast_to(BLUE, colors[z < -0.35].shape), atol=0.02)
    middle = np.abs(z) < 0.03
    assert (colors[middle].mean(0) < np.maximum(RED, BLUE) - 0.1)[[0, 2]].all()


def test_of_two_photos_the_one_that_faces_a_place_decides():
    surface = ball()
    aside = replace(
        photo_of(surface, color=BLUE), to_frame=trimesh.transformations.rotation_matrix(-np.pi / 2, [0, 1, 0])
    )
    mesh = bake(surface, position_field, [photo_of(surface), aside], size_px=256)
    colors = vertex_colors(mesh)
    front, side = mesh.vertices @ [0, 0, 1], mesh.vertices @ [1, 0, 0]
    between = (front > 0.2) & (side > 0.2)
    np.testing.assert_allclose(colors[between & (front > 1.6 * side)].mean(0), RED, atol=0.08)
    np.testing.assert_allclose(colors[between & (side > 1.6 * front)].mean(0), BLUE, atol=0.08)


def test_a_back_has_the_weave_that_the_field_tells():
    surface = ball()

    def woven(points, normals):
        return 0.5 + 0.04 * (80 * points[:, 1:2]).sin().expand(-1, 3)

    mesh = bake(surface, woven, [photo_of(surface, np.full(3, 0.5, np.float32))], 512)
    back = (mesh.normals[:, 2] < -0.8) & (np.abs(mesh.vertices[:, 1]) < 0.3)
    wanted = 0.04 * np.sin(80 * mesh.vertices[back, 1])
    found = vertex_colors(mesh)[back].mean(axis=1) - 0.5
    assert np.corrcoef(wanted, found)[0, 1] > 0.9
    assert found.std() > 0.7 * wanted.std()


def test_vertices_have_the_colors_that_are_baked():
    surface = ball()
    photo = photo_of(surface, RED)
    colors = color_vertices(surface, blue_field, [photo])
    mesh = bake(surface, blue_field, [photo], 512)
    assert colors.shape == surface.vertices.shape
    np.testing.assert_allclose(colors[mesh.welded], vertex_colors(mesh), atol=0.08)
    assert np.abs(colors[surface.vertices[:, 2] > 0.5] - RED).max() < 0.02
