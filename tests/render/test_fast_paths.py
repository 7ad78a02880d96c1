"""The fast paths against their twin, plain volume rendering."""

import pytest
import torch
from analytic_fields import box, by_place, field_of, sphere, union

from humanlrm.frame import canonical_camera
from humanlrm.rays import Rays, clip_to_box, image_rays
from humanlrm.render.surface import (
    Tracing,
    first_surface,
    occupancy,
    orbit_rotation,
    packed,
    render_surface,
    turntable,
)
from humanlrm.render.volume import Sampling, render_rays

RAYS = image_rays(canonical_camera(32))
FIGURE = union(
    box((0.2, 0.35, 0.12)), sphere(0.15, (0.0, 0.55, 0.0)), sphere(0.06, (0.45, 0.1, 0.2)), sphere(0.04, (-0.5, 0.8, 0))
)


@pytest.fixture
def figure():
    return field_of(FIGURE, by_place, beta=0.005)


@pytest.mark.parametrize("resolution", [16, 32])
def test_nothing_within_reach_of_the_surface_is_skipped(figure, resolution):
    clipped = occupancy(figure, 1, resolution, reach=0.03).clip(RAYS)
    t = torch.linspace(3.0, 5.2, 400).expand(1, RAYS.near.shape[1], 400)
    near = FIGURE(RAYS.at(t)) < 0.03
    skipped = (t < clipped.near[..., None]) | (t > clipped.far[..., None])
    in_the_box = (t > RAYS.near[..., None]) & (t < RAYS.far[..., None])
    assert not bool((near & skipped & in_the_box).any())


def test_not_even_a_speck_in_the_corner_of_a_coarse_cell_is_skipped():
    """One speck per subject, and a ray that passes it at a distance below ``reach``: what the bound promises."""
    specks = torch.rand(400, 1, 3) * 1.9 - 0.95
    reach, speck = 0.02, 1e-3
    field = field_of(lambda points: (points - specks).norm(dim=-1) - speck)
    away = torch.nn.functional.normalize(torch.randn(400, 1, 3), dim=-1)
    aside = torch.nn.functional.normalize(torch.linalg.cross(away, torch.randn(400, 1, 3)), dim=-1)
    origins = specks + aside * (reach + speck) * 0.9 - away * 4
    rays = Rays(origins, away, torch.ones(400, 1), *clip_to_box(origins, away))
    clipped = occupancy(field, 400, resolution=4, reach=reach).clip(rays)
    inside = (rays.near < 4) & (rays.far > 4)
    assert bool(((clipped.near <= 4) & (clipped.far >= 4))[inside].all())
    assert float((clipped.far - clipped.near).mean()) < 0.9 * float((rays.far - rays.near).mean())


def test_most_of_the_space_is_skipped(figure):
    clipped = occupancy(figure, 1).clip(RAYS)
    assert (clipped.far - clipped.near).sum() < 0.35 * (RAYS.far - RAYS.near).sum()


@pytest.mark.parametrize("skip", [False, True])
def test_traced_surfaces_agree_with_the_plain_path(skip):
    sharp = field_of(FIGURE, by_place, beta=0.002)
    plain = render_rays(sharp, RAYS, Sampling(0, 512, None), chunk=256)
    grid = occupancy(sharp, 1) if skip else None
    fast = render_surface(sharp, RAYS, grid=grid)
    clear = (plain.alpha < 0.01) | (plain.alpha > 0.99)
    assert float(clear.float().mean()) > 0.9
    assert ((fast.alpha > 0.5) == (plain.alpha > 0.5))[clear].float().mean() > 0.995
    solid = (plain.alpha > 0.99) & (fast.alpha > 0.5)
    error = (fast.depth - plain.depth)[solid].abs()
    assert error.mean() < 2e-3
    assert (fast.normal - plain.normal)[solid].norm(dim=-1).median() < 0.02
    assert (fast.rgb - plain.rgb)[solid].abs().mean() < 2e-3


def test_a_traced_sphere_has_analytic_depth():
    t, hit = first_surface(field_of(sphere()), RAYS)
    along = (RAYS.origins * RAYS.directions).sum(-1)
    room = along**2 - (RAYS.origins**2).sum(-1) + 0.25
    clear = room.abs() > 0.01
    assert bool((hit == (room > 0))[clear].all())
    met = clear & hit
    torch.testing.assert_close(t[met], (-along - room.clamp(min=0).sqrt())[met], rtol=0, atol=1e-4)


def test_distances_that_are_too_large_or_saturate_are_survived():
    learned = lambda points: 1.1 * sphere()(points).clamp(-0.05, 0.15)  # noqa: E731
    t, hit = first_surface(field_of(learned), RAYS)
    exact, hit_exact = first_surface(field_of(sphere()), RAYS, Tracing(steps=500))
    assert float((hit == hit_exact).float().mean()) > 0.99
    both = hit & hit_exact
    assert (t - exact)[both].abs().mean() < 1e-3


def test_a_ray_that_starts_inside_has_arrived():
    zeros = torch.zeros_like(RAYS.near)
    inside = Rays(RAYS.directions * 0.3, RAYS.directions, RAYS.cosine, zeros, zeros + 1)
    t, hit = first_surface(field_of(sphere()), inside)
    assert bool(hit.all())
    torch.testing.assert_close(t, inside.near)


def test_an_empty_box_renders_nothing():
    nothing = field_of(lambda points: points.norm(dim=-1) * 0 + 0.5)
    for seen in (
        render_surface(nothing, RAYS),
        render_surface(nothing, RAYS, grid=occupancy(nothing, 1)),
    ):
        assert not seen.alpha.any()
        assert seen.rgb.shape == (1, 1024, 3)


def test_subjects_of_a_batch_are_traced_on_their_own():
    radii = torch.tensor([[0.2], [0.6]])
    rays = Rays(*(value.expand(2, *value.shape[1:]) for value in vars(RAYS).values()))
    field = field_of(sphere(radii), by_place)
    both = render_surface(field, rays, grid=occupancy(field, 2))
    for i, radius in enumerate((0.2, 0.6)):
        alone = field_of(sphere(radius), by_place)
        torch.testing.assert_close(both.depth[i], render_surface(alone, RAYS).depth[0], rtol=0, atol=1e-3)


def test_packing_lists_wanted_rays_first():
    index = packed(torch.tensor([[False, True, False, True], [False, False, True, False]]))
    assert index.tolist()[0] == [1, 3]
    assert index.tolist()[1][0] == 2


def test_a_turntable_shows_each_side_with_its_color_and_normal():
    sides = field_of(sphere(0.6), by_place)
    image = turntable(sides, size_px=24)
    assert image.shape == (1, 3, 48, 96)
    assert image.min() >= 0
    assert image.max() <= 1
    for i, yaw_deg in enumerate((0.0, 90.0, 180.0, 270.0)):
        toward = orbit_rotation(yaw_deg)[:3, 2]  # where the camera stands
        torch.testing.assert_close(image[0, :, 12, 24 * i + 12], toward * 0.3 + 0.5, rtol=0, atol=0.06)
        torch.testing.assert_close(image[0, :, 36, 24 * i + 12], torch.tensor([0.5, 0.5, 1.0]), rtol=0, atol=0.06)
    assert image[0, :, 0, 0].min() == 1
