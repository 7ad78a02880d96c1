from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh
from analytic_bodies import BLUE, RED, ball, blue_field, photo_of, position_field, surface_of

from humanlrm.body.parts import Anatomy, BodyParts, HairRegion
from humanlrm.frame import CAMERA_DISTANCE, FOCAL, SquareCrop, project_ndc
from humanlrm.mesh.export import vertex_colors
from humanlrm.mesh.texels import rasterize
from humanlrm.mesh.unwrap import unwrap
from humanlrm.texture.bake import bake, color_vertices, heat_map
from humanlrm.texture.complete import apply_tone, back_tone
from humanlrm.texture.project import PhotoProjection, PhotoView


def doughnut():
    return surface_of(trimesh.creation.torus(0.5, 0.2, 48, 24))


def one(points):
    return np.zeros(len(points), int)


def parts_by(limb, clothes):
    """Of two limbs, by the number of the one to which points belong, and of what covers them."""

    def parts(points):
        apart = np.where(np.arange(2) == limb(points)[:, None], 0, 1).astype(np.float32)
        return BodyParts(apart, clothes(points), points[:, 1], np.arange(2), np.zeros(2, bool))

    return parts


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
    mesh = bake(surface, blue_field, [photo_of(surface)], size_px=256, match_colors=False)
    colors, z = vertex_colors(mesh), mesh.normals[:, 2]
    np.testing.assert_allclose(colors[z > 0.7], np.broadcast_to(RED, colors[z > 0.7].shape), atol=0.02)
    np.testing.assert_allclose(colors[z < 0], np.broadcast_to(BLUE, colors[z < 0].shape), atol=0.02)


def test_photo_pixels_land_at_their_own_place():
    """The photo's colour is a function of the pixel, the crop reaches beyond the photo, x right and y down."""
    surface = ball()
    size = 200
    crop = SquareCrop((90.0, 110.0), 260.0)
    y, x = np.mgrid[:size, :size] + 0.5
    photo = PhotoProjection(
        np.stack([x / size, y / size, 0 * x], -1).astype(np.float32), np.ones((size, size), np.float32), crop
    )
    mesh = bake(surface, blue_field, [photo], size_px=512, match_colors=False)
    sure = (mesh.normals[:, 2] > 0.7) & (np.abs(mesh.vertices[:, :2]).max(axis=-1) < 0.4)
    # A box unit at z = 0 is 260 / 2.1 px, and perspective enlarges by 4 / (4 - z).
    px = mesh.vertices[:, :2] * (4 / (4 - mesh.vertices[:, 2:])) * (260 / 2.1) * [1, -1] + [90, 110]
    assert sure.sum() > 100
    np.testing.assert_allclose(vertex_colors(mesh)[sure, :2], px[sure] / size, atol=0.012)


def test_background_never_bleeds_into_the_texture():
    surface = ball()
    mesh = bake(surface, blue_field, [photo_of(surface)], size_px=256, match_colors=False)
    assert mesh.texture[..., 1].max() < 0.15 * 255


def test_what_is_hidden_by_a_nearer_part_takes_the_fields_color():
    """A small ball before a large plate: the photo shows the ball's red, which must not be printed on the plate."""
    plate = trimesh.creation.box((1.6, 1.6, 0.1)).subdivide().subdivide().subdivide().subdivide()
    plate.apply_translation([0, 0, -0.4])
    front = trimesh.creation.icosphere(3, 0.3)
    front.apply_translation([0, 0, 0.3])
    surface = surface_of(trimesh.util.concatenate([plate, front]))
    mesh = bake(surface, blue_field, [photo_of(surface)], size_px=512, match_colors=False)
    middle = (mesh.vertices[:, 2] < 0) & (mesh.normals[:, 2] > 0.9) & (np.abs(mesh.vertices[:, :2]).max(axis=-1) < 0.2)
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


def test_color_matching_closes_the_gap_at_the_border_and_fades_away_from_it():
    surface = ball()
    plain = vertex_colors(bake(surface, blue_field, [photo_of(surface)], size_px=256, match_colors=False))
    matched_mesh = bake(surface, blue_field, [photo_of(surface)], size_px=256)
    matched, z = vertex_colors(matched_mesh), matched_mesh.normals[:, 2]
    border, behind = (z < 0.15) & (z > 0), z < -0.8
    assert np.abs(matched[border] - RED).mean() < 0.7 * np.abs(plain[border] - RED).mean()
    assert np.abs(matched[behind] - BLUE).mean() < 0.3 * np.abs(matched[border] - BLUE).mean()


def test_colors_go_on_beyond_the_photos_border_and_fade_away_from_it():
    surface = ball()
    photo = photo_of(surface, RED)
    cut = replace(photo, rgb=photo.rgb[: len(photo.rgb) // 2], alpha=photo.alpha[: len(photo.alpha) // 2])

    def field(points, normals):
        """Red where the photo is, blue below it: it does not know what goes on."""
        return torch.where(points[:, 1:2] > 0, torch.tensor(RED), torch.tensor(BLUE)).float()

    mesh = bake(surface, field, [cut], 256)
    red, height = vertex_colors(mesh)[:, 0], mesh.vertices[:, 1]
    assert red[(height < -0.03) & (height > -0.06)].min() > 0.6
    assert red[height > 0.03].min() > 0.65
    assert red[height < -0.5].mean() < 0.3 < red[(height < -0.2) & (height > -0.3)].mean() + 0.15


def test_beyond_the_border_colors_go_on_to_the_end_of_the_part():
    surface = ball()
    photo = photo_of(surface, RED)
    cut = replace(photo, rgb=photo.rgb[: len(photo.rgb) // 2], alpha=photo.alpha[: len(photo.alpha) // 2])
    below = lambda points: (points[:, 1] < -0.3).astype(np.int64)  # noqa: E731
    parts = parts_by(below, below)
    mesh = bake(surface, blue_field, [cut], 256, anatomy=Anatomy(parts=parts))
    colors, height = vertex_colors(mesh), mesh.vertices[:, 1]
    front, middle = mesh.normals[:, 2] > 0.6, np.abs(mesh.vertices[:, 0]) < 0.2
    shown = colors[front & (height > 0.1)].mean(0)
    part, other = front & middle & (height < -0.02) & (height > -0.2), front & (height < -0.4)
    np.testing.assert_allclose(colors[part], np.broadcast_to(shown, colors[part].shape), atol=0.15)
    assert np.abs(colors[other] - BLUE).mean() < np.abs(colors[other] - RED).mean()


@pytest.mark.parametrize(("top", "told"), [(0.03, False), (0.3, True)])
def test_a_few_pixels_at_the_border_are_not_the_color_of_trousers(top: float, told: bool):
    surface = ball()
    photo = photo_of(surface, RED)
    cut = replace(photo, rgb=photo.rgb[: len(photo.rgb) // 2], alpha=photo.alpha[: len(photo.alpha) // 2])
    below = lambda points: (points[:, 1] < top).astype(np.int64)  # noqa: E731
    mesh = bake(surface, blue_field, [cut], 256, anatomy=Anatomy(parts=parts_by(below, below)))
    far = vertex_colors(mesh)[(mesh.vertices[:, 1] < -0.4) & (mesh.normals[:, 2] > 0)]
    assert (np.abs(far - RED).mean() < np.abs(far - BLUE).mean()) == told


@pytest.mark.parametrize("bare", [True, False])
def test_hands_beyond_the_border_are_as_bare_as_the_face(bare: bool):
    surface = ball()
    photo = photo_of(surface, RED)
    cut = replace(photo, rgb=photo.rgb[: len(photo.rgb) // 2], alpha=photo.alpha[: len(photo.alpha) // 2])
    below = lambda points: (points[:, 1] < -0.2).astype(np.int64)  # noqa: E731

    def parts(points):
        return replace(parts_by(below, below)(points), bare=np.array([False, bare]))

    face = lambda points: (points[:, 1] > 0.2).astype(np.float32)  # noqa: E731
    mesh = bake(surface, blue_field, [cut], 256, anatomy=Anatomy(parts=parts, face=face))
    hand = vertex_colors(mesh)[mesh.vertices[:, 1] < -0.35]
    assert (np.abs(hand - RED).mean() < np.abs(hand - BLUE).mean()) == bare


def test_a_hand_in_front_is_not_painted_onto_the_back():
    hand_at, hand_radius = np.array([0.0, 0.0, 0.75]), 0.15
    trunk, hand = trimesh.creation.icosphere(5, 0.6), trimesh.creation.icosphere(3, hand_radius)
    surface = surface_of(trimesh.util.concatenate([trunk, hand.apply_translation(hand_at)]))
    photo = photo_of(surface, BLUE)
    row, column = np.mgrid[: photo.rgb.shape[0], : photo.rgb.shape[1]] + 0.5
    ndc = photo.crop.to_ndc(np.stack([column, row], axis=-1))
    shown = np.linalg.norm(ndc, axis=-1) < 1.25 * hand_radius * FOCAL / CAMERA_DISTANCE
    photo = replace(photo, rgb=np.where(shown[..., None], RED, photo.rgb).astype(np.float32))

    def ghost(points, normals):
        """The pixel's colour all along its ray."""
        ray = project_ndc(points).norm(dim=-1, keepdim=True)
        return torch.where(ray < 1.25 * hand_radius * FOCAL / CAMERA_DISTANCE, torch.tensor(RED), torch.tensor(BLUE))

    limb = lambda points: (np.linalg.norm(points - hand_at, axis=1) < hand_radius + 0.01).astype(np.int64)  # noqa: E731
    plain, parted = (
        bake(surface, ghost, [photo], 256, anatomy=Anatomy(parts=parts)) for parts in (None, parts_by(limb, limb))
    )
    back = (plain.vertices[:, 2] < -0.55) & (np.linalg.norm(plain.vertices[:, :2], axis=1) < 0.1)
    on_hand = plain.vertices[:, 2] > 0.85
    np.testing.assert_allclose(vertex_colors(plain)[back].mean(0), RED, atol=0.15)
    np.testing.assert_allclose(vertex_colors(parted)[back].mean(0), BLUE, atol=0.15)
    np.testing.assert_allclose(vertex_colors(parted)[on_hand].mean(0), RED, atol=0.1)


def test_where_a_surface_runs_along_the_rays_it_takes_the_colors_around_it():
    surface = ball()

    def striped(points, normals):
        """As a field that reads pixels: what the rim's pixels show goes along the rays."""
        stripes = (points[:, 1:2] * 40).sin() * (normals[:, 2:3].abs() < 0.5)
        return 0.5 + 0.3 * stripes.expand(-1, 3)

    photo = photo_of(surface, np.full(3, 0.5))
    plain, calm = (bake(surface, striped, [photo], 256, match_colors=matched) for matched in (False, True))
    rim = np.abs(plain.normals[:, 2]) < 0.15
    before, after = (vertex_colors(mesh)[rim].std() for mesh in (plain, calm))
    assert before > 0.15
    assert after < 0.3 * before
    np.testing.assert_allclose(vertex_colors(calm)[rim].mean(), 0.5, atol=0.05)


def test_a_calm_back_takes_the_colors_around_it_and_the_front_stays():
    surface = ball()

    def ghost(points, normals):
        """What the photo shows in the middle, on the back."""
        behind = (normals[:, 2:3] < 0) & (points[:, :2].norm(dim=-1, keepdim=True) < 0.15)
        return torch.where(behind, torch.tensor(RED), torch.tensor(BLUE)).float()

    photo = photo_of(surface, BLUE)
    plain, calm = (
        bake(surface, ghost, [photo], 256, anatomy=Anatomy(head=share))
        for share in (None, lambda points: np.ones(len(points)))
    )
    back, front = plain.normals[:, 2] < -0.98, plain.normals[:, 2] > 0.8
    assert np.abs(vertex_colors(plain)[back] - RED).mean() < 0.7 * np.abs(vertex_colors(plain)[back] - BLUE).mean()
    assert np.abs(vertex_colors(calm)[back] - BLUE).mean() < np.abs(vertex_colors(calm)[back] - RED).mean()
    np.testing.assert_allclose(vertex_colors(calm)[front], vertex_colors(plain)[front], atol=0.01)


def test_the_back_of_a_head_takes_the_color_of_its_crown():
    """A ball whose upper quarter is red in the photo and whose face is grey; behind, the field sees the face again."""
    surface = ball()
    top = 0.35
    hair = HairRegion(lambda points: points[:, 1], lambda points: (points[:, 2] < -0.2).astype(np.float32))

    def face(points, normals):
        return torch.full_like(points, 0.6)

    photo = photo_of(surface, np.full(3, 0.6))
    row, column = np.mgrid[: photo.rgb.shape[0], : photo.rgb.shape[1]] + 0.5
    high = photo.crop.to_ndc(np.stack([column, row], axis=-1))[..., 1] > top * FOCAL / CAMERA_DISTANCE
    photo = replace(photo, rgb=np.where(high[..., None], RED, photo.rgb).astype(np.float32))
    head = lambda points: np.ones(len(points), np.float32)  # noqa: E731
    bald, haired = (bake(surface, face, [photo], 256, anatomy=Anatomy(head, hair=some)) for some in (None, hair))
    back = (bald.normals[:, 2] < -0.9) & (np.abs(bald.vertices[:, 1]) < 0.15)
    front = bald.normals[:, 2] > 0.7
    red = lambda mesh: np.abs(vertex_colors(mesh)[back] - RED).mean()  # noqa: E731
    assert red(haired) < 0.6 * red(bald)
    np.testing.assert_allclose(vertex_colors(haired)[front], vertex_colors(bald)[front], atol=0.01)
    nobody = HairRegion(lambda points: np.full(len(points), -np.inf), hair.back)
    unknown = bake(surface, face, [photo], 256, anatomy=Anatomy(head, hair=nobody))
    np.testing.assert_allclose(vertex_colors(unknown), vertex_colors(bald))


def test_a_dark_guess_of_a_back_is_brought_nearer_to_the_front():
    surface, color = ball(), np.array([0.8, 0.4, 0.2], np.float32)
    one_piece = parts_by(one, one)

    def dark(points, normals):
        return torch.full_like(points, 0.1)

    plain, told = (
        bake(surface, dark, [photo_of(surface, color)], 256, anatomy=Anatomy(parts=parts))
        for parts in (None, one_piece)
    )
    back, front = plain.normals[:, 2] < -0.9, plain.normals[:, 2] > 0.8
    before, after = (vertex_colors(mesh)[back].mean(0) for mesh in (plain, told))
    assert before.mean() < 0.4 * color.mean()
    assert 0.75 * color.mean() < after.mean() < 1.05 * color.mean()
    assert after[0] > 1.3 * after[1] > 1.3 * after[2]
    np.testing.assert_allclose(vertex_colors(told)[front], vertex_colors(plain)[front], atol=0.01)


def test_a_back_that_is_about_as_bright_as_the_front_keeps_its_brightness():
    front, back = np.array([0.3, 0.5, 0.4], np.float32), np.array([0.6, 0.4, 0.5], np.float32)
    found = apply_tone(back[None], back_tone(front, back)[None])[0]
    np.testing.assert_allclose(found, 0.75 * back + 0.25 * front, atol=1e-6)


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

    bake(surface, recording, [photo_of(surface)], size_px=256, match_colors=False)
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
    mesh = bake(surface, position_field, [photo_of(surface), behind], size_px=256, match_colors=False)
    colors, z = vertex_colors(mesh), mesh.vertices[:, 2]
    np.testing.assert_allclose(colors[z > 0.35], np.broadcast_to(RED, colors[z > 0.35].shape), atol=0.02)
    np.testing.assert_allclose(colors[z < -0.35], np.broadcast_to(BLUE, colors[z < -0.35].shape), atol=0.02)
    middle = np.abs(z) < 0.03
    np.testing.assert_allclose(colors[middle], mesh.vertices[middle] / 2 + 0.5, atol=0.05)


def test_of_two_photos_the_one_that_faces_a_place_decides():
    surface = ball()
    aside = replace(
        photo_of(surface, color=BLUE), to_frame=trimesh.transformations.rotation_matrix(-np.pi / 2, [0, 1, 0])
    )
    mesh = bake(surface, position_field, [photo_of(surface), aside], size_px=256, match_colors=False)
    colors = vertex_colors(mesh)
    front, side = mesh.vertices @ [0, 0, 1], mesh.vertices @ [1, 0, 0]
    between = (front > 0.2) & (side > 0.2)
    np.testing.assert_allclose(colors[between & (front > 1.6 * side)].mean(0), RED, atol=0.08)
    np.testing.assert_allclose(colors[between & (side > 1.6 * front)].mean(0), BLUE, atol=0.08)


def test_a_print_on_the_front_is_hardly_seen_on_the_back():
    surface = ball()

    def ghost(points, normals):
        spot = points[:, :2].norm(dim=-1, keepdim=True) < 0.05
        return torch.where(spot, torch.tensor(RED), torch.tensor(BLUE)).float()

    mesh = bake(surface, ghost, [photo_of(surface, BLUE)], 256)
    back = (mesh.normals[:, 2] < 0) & (np.linalg.norm(mesh.vertices[:, :2], axis=1) < 0.03)
    assert np.abs(vertex_colors(mesh)[back] - BLUE).mean() < 0.5 * np.abs(RED - BLUE).mean()
    assert np.abs(vertex_colors(bake(surface, ghost, [], 256))[back] - RED).mean() < 0.1


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


def test_where_two_limbs_are_one_body_neither_is_in_front_of_the_other():
    surface = ball()
    front = surface.vertices[:, 2] > 0
    view, back = PhotoView(photo_of(surface, RED), surface), surface.vertices[:, 2] < -0.3

    def covered(other):
        """How much of the back, if the front is so much farther from the back's limb than from its own."""
        limbs = np.where(front[:, None], [0.05, 0.05 + other], [0.3, 0.05]).astype(np.float32)
        return view.covered(surface.vertices, limbs)[back].mean()

    assert covered(0.02) == 0
    assert covered(0.2) > 0.9


def test_what_turns_its_back_ends_where_the_front_does():
    """A ball whose upper half is red and whose lower half is blue in the photo; behind, the field goes over softly."""
    surface = ball()
    halves = lambda points: (points[:, 1] > 0).astype(int)  # noqa: E731
    photo = photo_of(surface, RED)
    row = np.mgrid[: photo.rgb.shape[0], : photo.rgb.shape[1]][0]
    lower = row > photo.rgb.shape[0] / 2
    photo = replace(photo, rgb=np.where(lower[..., None], BLUE, photo.rgb).astype(np.float32))

    def soft(points, normals):
        share = (points[:, 1:2] / 0.6 + 0.5).clamp(0, 1)
        return (share * torch.tensor(RED) + (1 - share) * torch.tensor(BLUE)).float()

    vague, worn = (
        bake(surface, soft, [photo], 256, anatomy=Anatomy(parts=parts)) for parts in (None, parts_by(one, halves))
    )
    height, back = vague.vertices[:, 1], vague.normals[:, 2] < -0.6
    near = back & (np.abs(height) > 0.1) & (np.abs(height) < 0.2)
    truth = np.where(height[near, None] > 0, RED, BLUE)
    off = lambda mesh: np.abs(vertex_colors(mesh)[near] - truth).mean()  # noqa: E731
    assert off(worn) < 0.5 * off(vague)


def test_vertices_have_the_colors_that_are_baked():
    surface = ball()
    anatomy = Anatomy(parts=parts_by(one, one))
    photo = photo_of(surface, RED)
    colors = color_vertices(surface, blue_field, [photo], anatomy)
    mesh = bake(surface, blue_field, [photo], 512, anatomy=anatomy)
    assert colors.shape == surface.vertices.shape
    np.testing.assert_allclose(colors[mesh.welded], vertex_colors(mesh), atol=0.08)
    assert np.abs(colors[surface.vertices[:, 2] > 0.5] - RED).max() < 0.02
