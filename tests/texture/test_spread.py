"""Colors of photos and generated views on a surface, and between them."""

from dataclasses import replace

import numpy as np
import trimesh
from analytic_bodies import BLUE, RED, ball, blue_field, photo_of, position_field, surface_of

from humanlrm.mesh.export import vertex_colors
from humanlrm.texture.bake import bake, color_vertices
from humanlrm.texture.project import PhotoView


def test_the_fields_detail_counts_only_far_from_what_pictures_show():
    surface = ball()

    def striped(points, normals):
        """As a field that reads pixels: what the rim's pixels show goes along the rays."""
        return 0.5 + 0.3 * (points[:, 1:2] * 60).sin().expand(-1, 3)

    front = photo_of(surface, np.full(3, 0.5))
    alone, both = (
        bake(surface, striped, [], 256, generated=groups)
        for groups in ([[front]], [[front], [replace(front, side="back")]])
    )
    z = alone.normals[:, 2]
    assert vertex_colors(both)[np.abs(z) < 0.3].std() < 0.1
    assert vertex_colors(alone)[z < -0.9].std() > 0.15


def test_a_back_picture_colors_what_the_rays_leave_and_nothing_else():
    surface = ball()
    back = replace(photo_of(surface, BLUE), side="back")
    mesh = bake(surface, position_field, [photo_of(surface)], 256, generated=[[back]])
    colors, z = vertex_colors(mesh), mesh.normals[:, 2]
    np.testing.assert_allclose(colors[z > 0.7], np.broadcast_to(RED, colors[z > 0.7].shape), atol=0.02)
    np.testing.assert_allclose(colors[z < -0.7], np.broadcast_to(BLUE, colors[z < -0.7].shape), atol=0.02)


def test_a_back_picture_is_not_printed_on_what_another_part_hides_from_behind():
    """A large plate behind a small ball: the rays leave through the plate, so the ball has no back picture."""
    plate = trimesh.creation.box((1.6, 1.6, 0.1)).subdivide().subdivide().subdivide().subdivide()
    plate.apply_translation([0, 0, -0.4])
    front = trimesh.creation.icosphere(3, 0.3)
    front.apply_translation([0, 0, 0.3])
    surface = surface_of(trimesh.util.concatenate([plate, front]))
    mesh = bake(surface, blue_field, [], 512, generated=[[replace(photo_of(surface), side="back")]])
    colors, z, away = vertex_colors(mesh), mesh.vertices[:, 2], mesh.normals[:, 2] < -0.9
    middle = np.abs(mesh.vertices[:, :2]).max(axis=-1) < 0.6
    assert (colors[away & (z > 0)] @ (BLUE - RED) > 0).all()
    assert (colors[away & (z < -0.4) & middle][:, 0] > 0.7).all()


def test_what_an_earlier_group_shows_counts_before_all_later_ones():
    surface = ball()
    photo = photo_of(surface)
    half = len(photo.rgb) // 2
    cut = replace(photo, rgb=photo.rgb[:half], alpha=photo.alpha[:half])
    generated = photo_of(surface, BLUE)
    mesh = bake(surface, position_field, [cut], 256, generated=[[generated]])
    colors, height, facing = vertex_colors(mesh), mesh.vertices[:, 1], mesh.normals[:, 2] > 0.6
    np.testing.assert_allclose(colors[facing & (height > 0.1)].mean(0), RED, atol=0.02)
    np.testing.assert_allclose(colors[facing & (height < -0.1)].mean(0), BLUE, atol=0.02)


def test_a_picture_that_ends_fades_at_its_border_and_a_photo_does_not():
    surface = ball()
    photo = photo_of(surface, size_px=800)
    cut = replace(photo, rgb=photo.rgb[:400], alpha=photo.alpha[:400])
    points = np.array([[0, 0.004, np.sqrt(0.36 - 0.004**2)]], np.float32)  # a pixel above the border
    goes_on, ends = (
        PhotoView(replace(cut, ends=ending), surface).weight(points, points / np.float32(0.6))[0][0]
        for ending in (False, True)
    )
    assert goes_on > ends + 0.3


def test_vertices_have_the_colors_that_are_baked():
    surface = ball()
    photos, generated = [photo_of(surface, RED)], [[replace(photo_of(surface, BLUE), side="back")]]
    colors = color_vertices(surface, blue_field, photos, generated=generated)
    mesh = bake(surface, blue_field, photos, 512, generated=generated)
    assert colors.shape == surface.vertices.shape
    np.testing.assert_allclose(colors[mesh.welded], vertex_colors(mesh), atol=0.08)
    assert np.abs(colors[surface.vertices[:, 2] > 0.5] - RED).max() < 0.02
