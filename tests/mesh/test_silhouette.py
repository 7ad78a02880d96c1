"""A surface meets the outlines of photos: balls that are too small or too large, and a limb beside its picture."""

import numpy as np
import pytest
import torch
import trimesh

from humanlrm.frame import CAMERA_DISTANCE, VIEW_SPAN, canonical_camera, project_ndc
from humanlrm.mesh.clean import is_sound
from humanlrm.mesh.extract import extract_surface
from humanlrm.mesh.raycast import RayScene, pixel_rays
from humanlrm.mesh.silhouette import extract_outlines, fit_silhouette, smooth_photo_border
from humanlrm.mesh.surface import TriangleSurface, vertex_normals

RADIUS, SIZE = 0.6, 256


def ball(radius: float = RADIUS) -> TriangleSurface:
    mesh = trimesh.creation.icosphere(subdivisions=5, radius=radius)
    return TriangleSurface(np.asarray(mesh.vertices, np.float32), np.asarray(mesh.faces, np.int32))


def seen_radius(radius: float) -> float:
    """A ball's outline lies nearer than its middle, and looks larger; in the plane z = 0."""
    return radius * CAMERA_DISTANCE / np.sqrt(CAMERA_DISTANCE**2 - radius**2)


def picture(radius: float = RADIUS) -> torch.Tensor:
    """RGB, alpha and known of a ball's silhouette."""
    line = (torch.arange(SIZE) + 0.5) / SIZE * 2 - 1
    y, x = torch.meshgrid(-line, line, indexing="ij")
    edge = project_ndc(torch.tensor([[seen_radius(radius), 0.0, 0.0]]))[0, 0]
    mask = (torch.stack([x, y], -1).norm(dim=-1) < edge).float()
    return torch.stack([mask, mask, mask, mask, torch.ones_like(mask)])[None]


def silhouette(surface: TriangleSurface) -> np.ndarray:
    return RayScene(surface.vertices, surface.faces).first_hit(*pixel_rays(canonical_camera(SIZE))).hit


def agreement(surface: TriangleSurface, image: torch.Tensor) -> float:
    mask, seen = image[0, 3].numpy() > 0.5, silhouette(surface)
    return float((mask & seen).sum() / (mask | seen).sum())


@pytest.mark.parametrize("radius", [RADIUS - 0.025, RADIUS + 0.025])
def test_a_ball_of_another_size_becomes_the_pictures_and_stays_round(radius):
    before, image = ball(radius), picture()
    found = fit_silhouette(before, extract_outlines(image))
    assert is_sound(found)
    assert agreement(before, image) < 0.93
    assert agreement(found, image) > 0.99
    # No rim, no plateau: an ellipsoid as wide as the picture's ball and as deep as before.
    across = np.linalg.norm(found.vertices[:, :2], axis=1)
    level = np.sqrt((across / RADIUS) ** 2 + (found.vertices[:, 2] / radius) ** 2)
    assert np.abs(level - 1).max() < 0.035
    assert np.ptp(found.vertices[:, 2]) == pytest.approx(2 * radius, abs=0.004)


def test_a_limb_a_little_beside_its_picture_moves_as_a_whole():
    along = torch.tensor([0.0, 1.0, 0.0])
    before = extract_surface(lambda p: (p - p[:, 1:2].clamp(-0.6, 0.6) * along).norm(dim=-1) - 0.06, resolution=128)
    image = torch.zeros(1, 5, SIZE, SIZE)
    image[:, 4] = 1
    image[0, 3] = torch.from_numpy(np.roll(silhouette(before), 2, axis=1)).float()
    found = fit_silhouette(before, extract_outlines(image))
    shift = found.vertices - before.vertices
    middle = np.abs(before.vertices[:, 1]) < 0.4
    wanted = np.array([2 * VIEW_SPAN / SIZE, 0, 0])
    assert np.abs(shift[middle] - wanted).max() < 0.006
    assert shift[middle].mean(0) == pytest.approx(wanted, abs=0.002)


def test_what_nothing_hides_is_brought_in_from_farther_away():
    before, image = ball(), picture()
    top = 0.5
    image[:, 3, : round((1 - float(project_ndc(torch.tensor([[0.0, top, 0.0]]))[0, 1])) / 2 * SIZE)] = 0
    kept = fit_silhouette(before, extract_outlines(image))
    assert kept.vertices[:, 1].max() > top + 0.06  # for all that is known something in front hides it
    bare = fit_silhouette(before, extract_outlines(image), before.vertices[:, 1] > 0)
    assert is_sound(bare)
    assert bare.vertices[:, 1].max() < top + 0.03
    assert agreement(bare, image) > 0.985
    below = before.vertices[:, 1] < -0.3
    assert np.abs(bare.vertices[below] - before.vertices[below]).max() < 0.01


def test_what_something_in_front_hides_stays():
    before, image = ball(), picture()
    image[:, 3, SIZE // 2 :] = 0  # a table hides the lower half: the photo goes on, the mask does not
    found = fit_silhouette(before, extract_outlines(image))
    assert np.abs(found.vertices - before.vertices).max() < 0.01


def test_beyond_the_border_nobody_knows_an_outline():
    before, image = ball(RADIUS - 0.02), picture()
    image[:, 3:, SIZE // 2 :] = 0  # the photo ends at the waist
    found = fit_silhouette(before, extract_outlines(image))
    shift = np.linalg.norm(found.vertices - before.vertices, axis=1)
    assert shift[before.vertices[:, 1] > 0.5].max() > 0.015
    assert shift[before.vertices[:, 1] < -0.5].max() < 0.01


def test_a_step_at_the_photos_border_is_smoothed_and_the_rest_stays():
    """A ball that bulges by 1 cm below the border."""

    def sdf(points: torch.Tensor) -> torch.Tensor:
        return points.norm(dim=-1) - RADIUS - 0.012 * (points[:, 1] < 0)

    before, known = extract_surface(sdf, resolution=128), np.ones((SIZE, SIZE), bool)
    assert smooth_photo_border(before, known) is before
    known[SIZE // 2 :] = False
    found = smooth_photo_border(before, known)
    assert is_sound(found)
    shift = np.linalg.norm(found.vertices - before.vertices, axis=1)
    assert shift[np.abs(before.vertices[:, 1]) > 0.08].max() == 0
    upright = lambda s: np.abs(vertex_normals(s)[:, 1])[(np.abs(before.vertices[:, 1]) < 0.015)].max()  # noqa: E731
    assert upright(found) < 0.5 * upright(before)


def test_an_outline_out_of_reach_is_another_things():
    before = ball(RADIUS - 0.1)
    assert fit_silhouette(before, extract_outlines(picture())) is before


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_without_an_outline_the_surface_is_returned(alpha):
    image = torch.full((1, 5, 64, 64), alpha)
    image[:, 4] = 1
    before = ball(0.3)
    assert fit_silhouette(before, extract_outlines(image)) is before


def test_a_surface_that_the_view_does_not_show_is_returned():
    before = ball(0.3)
    aside = TriangleSurface(before.vertices + np.float32([3, 0, 0]), before.faces)
    assert fit_silhouette(aside, extract_outlines(picture())) is aside


def test_views_from_several_sides_have_their_say_together():
    turn = torch.tensor([[0.0, 0.0, -1.0, 0.0], [0.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    half = torch.diag(torch.tensor([0.5, 0.5, 0.5, 1.0]))
    # In the common frame everything is twice as large as the views show it.
    outlines = extract_outlines(picture().expand(2, -1, -1, -1), torch.stack([half, half @ turn]))
    found = fit_silhouette(ball(2 * (RADIUS - 0.015)), outlines)
    assert np.ptp(found.vertices, axis=0) == pytest.approx([4 * RADIUS] * 3, abs=0.02)
