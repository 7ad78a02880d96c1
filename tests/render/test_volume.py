"""Pictures of bodies whose pictures are known. Tolerances: beta is 0.005 unless a test says otherwise."""

import pytest
import torch
from analytic_fields import RED, box, by_place, field_of, sphere, union

from humanlrm.camera import Cameras
from humanlrm.frame import canonical_camera
from humanlrm.rays import Rays, image_rays, pixel_rays
from humanlrm.render.density import LaplaceDensity, SoftplusDensity
from humanlrm.render.sampling import absorbed, even_edges, fine_edges, quantiles
from humanlrm.render.settings import PLAIN, Sampling
from humanlrm.render.volume import Rendering, integrate, render_rays, to_image

RAYS = image_rays(canonical_camera(24))
SAMPLINGS = [PLAIN, Sampling(24, 12, None), Sampling(), Sampling(24, 48, None)]


def sphere_hit(rays: Rays, radius: float = 0.5) -> tuple[torch.Tensor, torch.Tensor]:
    """Distance to the sphere around the origin, and whether the ray meets it (NaN: it grazes)."""
    along = (rays.origins * rays.directions).sum(-1)
    room = along**2 - (rays.origins**2).sum(-1) + radius**2
    met = torch.where(room.abs() < 0.04, torch.nan, (room > 0).float())
    return -along - room.clamp(min=0).sqrt(), met


@pytest.mark.parametrize("sampling", SAMPLINGS, ids=str)
def test_a_rendered_sphere_has_analytic_depth_silhouette_and_normal(sampling):
    seen = render_rays(field_of(sphere()), RAYS, sampling)
    t, met = sphere_hit(RAYS)
    hit, miss = met == 1, met == 0
    # An expected depth lies up to a few beta before or behind the surface.
    assert (seen.depth - t * RAYS.cosine)[hit].abs().max() < 0.015
    assert seen.alpha[hit].min() > 0.99
    assert seen.alpha[miss].max() < 0.02
    truth = torch.nn.functional.normalize(RAYS.at(t[..., None])[:, :, 0], dim=-1)
    assert (seen.normal - truth)[hit].norm(dim=-1).max() < 0.03
    torch.testing.assert_close(seen.rgb[hit], RED.expand_as(seen.rgb[hit]), rtol=0, atol=1e-3)
    assert seen.eikonal.max() < 1e-6


@pytest.mark.parametrize("sampling", SAMPLINGS, ids=str)
def test_a_rendered_box_shows_its_flat_front(sampling):
    seen = render_rays(field_of(box((0.6, 0.4, 0.2)), by_place), RAYS, sampling)
    z = RAYS.origins[..., 2] + RAYS.directions[..., 2] * ((0.2 - RAYS.origins[..., 2]) / RAYS.directions[..., 2])
    at = RAYS.at(((z - RAYS.origins[..., 2]) / RAYS.directions[..., 2])[..., None])[:, :, 0]
    front = (at[..., 0].abs() < 0.55) & (at[..., 1].abs() < 0.35)
    assert int(front.sum()) > 50
    assert (seen.depth - (4 - 0.2))[front].abs().max() < 0.01
    assert (seen.normal - torch.tensor([0.0, 0.0, 1.0]))[front].norm(dim=-1).max() < 0.02
    assert (seen.rgb - by_place(at))[front].abs().max() < 0.01


@pytest.mark.parametrize("sampling", SAMPLINGS, ids=str)
def test_of_two_overlapping_spheres_the_nearer_surface_is_seen(sampling):
    near, far = sphere(0.4, (0.2, 0.0, 0.2)), sphere(0.4, (-0.2, 0.0, -0.2))
    both = render_rays(field_of(union(near, far)), RAYS, sampling)
    alone = [render_rays(field_of(part), RAYS, Sampling(24, 48, None)) for part in (near, far)]
    shown = [torch.where(one.alpha > 0.5, one.depth, torch.inf) for one in alone]
    expected = torch.minimum(*shown)
    solid = torch.maximum(alone[0].alpha, alone[1].alpha)
    clear = (solid > 0.99) & ((shown[0] - shown[1]).abs() > 0.05)
    assert int(clear.sum()) > 80
    assert (both.depth - expected)[clear].abs().max() < 0.02
    assert both.alpha[solid > 0.99].min() > 0.98


def test_the_plain_integral_converges_with_samples():
    field = field_of(sphere(), by_place, beta=0.03)
    exact = render_rays(field, RAYS, Sampling(0, 2048, None), chunk=64)

    def error(count: int) -> float:
        return float((render_rays(field, RAYS, Sampling(0, count, None)).alpha - exact.alpha).abs().mean())

    errors = [error(count) for count in (16, 32, 64, 128)]
    assert errors[0] > errors[1] > errors[2] > errors[3]
    assert errors[3] < 2e-4


def test_chosen_samples_converge_to_the_plain_integral():
    field = field_of(union(sphere(0.4, (0.2, 0.0, 0.2)), sphere(0.05, (-0.5, 0.0, 0.0))), by_place, beta=0.01)
    exact = render_rays(field, RAYS, Sampling(0, 1024, None), chunk=128)

    def error(fine: int) -> float:
        found = render_rays(field, RAYS, Sampling(32, fine, None))
        return float((found.over(torch.ones(1, 1, 3)) - exact.over(torch.ones(1, 1, 3))).abs().mean())

    errors = [error(fine) for fine in (6, 12, 24, 96)]
    assert errors[0] > errors[1] > errors[2] > errors[3]
    assert errors[1] < 3e-3
    assert errors[3] < 3e-4


def test_a_limb_between_two_coarse_samples_is_found():
    limb = sphere(0.03, (0.0, 0.0, 0.13))
    rays = pixel_rays(canonical_camera(8), torch.tensor([[[4.0, 4.0]]]))
    for coarse in (9, 10, 11, 12, 13, 14, 15):
        assert render_rays(field_of(limb, beta=0.003), rays, Sampling(coarse, 12)).alpha > 0.97


def test_opacity_is_beers_law():
    # A constant density (softplus of a constant) over the box's depth of 2 units.
    constant = lambda points: torch.full(points.shape[:-1], 3.0)  # noqa: E731
    density = float(SoftplusDensity()(torch.tensor([3.0])))
    rays = pixel_rays(canonical_camera(8), torch.tensor([[[4.0, 4.0]]]))
    edges = even_edges(rays, 64)
    alpha = absorbed(torch.full((1, 1, 64), density), edges.diff(dim=-1)).sum(-1)
    field = field_of(lambda points: constant(points) + 0 * points.sum(-1), density=SoftplusDensity())
    torch.testing.assert_close(integrate(field, rays, edges).alpha, alpha)
    torch.testing.assert_close(alpha, 1 - torch.exp(torch.tensor([[-2 * density]])))


@pytest.mark.parametrize("dimension", [0, 1, 2, 3])
@pytest.mark.parametrize("shaded", [None, 5])
def test_gradients_match_finite_differences(dimension, shaded):
    camera = canonical_camera(6)
    rays = image_rays(Cameras(camera.K.double(), camera.w2c.double(), camera.size_px))
    edges = even_edges(rays, 48)

    def values(of: torch.Tensor) -> torch.Tensor:
        density = LaplaceDensity(0.05).double().requires_grad_(False)
        field = field_of(sphere(of[0]), lambda p: torch.sigmoid(p * 0.5 + of[1:]), density)
        seen = integrate(field, rays, edges, shaded)
        return torch.stack([seen.over(torch.ones(1, 1, 3).double()).mean(), seen.alpha.mean(), seen.depth.mean()])

    start = torch.tensor([0.5, 0.2, -0.4, 0.1], dtype=torch.float64)
    step = torch.zeros_like(start)
    step[dimension] = 1e-6
    measured = (values(start + step) - values(start - step)) / 2e-6
    exact = torch.autograd.functional.jacobian(values, start)[:, dimension]
    torch.testing.assert_close(exact, measured, rtol=1e-4, atol=1e-7)


def test_beta_has_the_gradient_of_finite_differences():
    rays, edges = RAYS, even_edges(RAYS, 64)

    def alpha(density: LaplaceDensity) -> torch.Tensor:
        return integrate(field_of(sphere(), density=density), rays, edges).alpha.mean()

    density = LaplaceDensity(0.05)
    alpha(density).backward()
    found = density.log_beta.grad.clone()
    with torch.no_grad():
        density.log_beta += 1e-2
        above = alpha(density)
        density.log_beta -= 2e-2
        below = alpha(density)
    torch.testing.assert_close(found, (above - below) / 2e-2, rtol=0.02, atol=0)


@pytest.mark.parametrize("sampling", [Sampling(24, 12, 4), Sampling(0, 32, None)], ids=str)
def test_chunks_and_recomputed_activations_change_nothing(sampling):
    def render(**options) -> tuple[Rendering, torch.Tensor]:
        radius = torch.tensor(0.5, requires_grad=True)
        seen = render_rays(field_of(sphere(radius), by_place), RAYS, sampling, **options)
        (seen.depth.mean() + seen.over(torch.ones(1, 1, 3)).mean()).backward()
        return seen, radius.grad

    plain, gradient = render()
    for options in ({"chunk": 50}, {"recompute": True}, {"chunk": 50, "recompute": True}):
        other, other_gradient = render(**options)
        for name, value in vars(plain).items():
            torch.testing.assert_close(getattr(other, name), value, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(other_gradient, gradient, rtol=1e-3, atol=1e-5)


def test_random_places_depend_on_the_seed_only():
    field = field_of(sphere(), by_place, beta=0.02)

    def depth(seed: int) -> torch.Tensor:
        return render_rays(field, RAYS, Sampling(), torch.Generator().manual_seed(seed)).depth

    torch.testing.assert_close(depth(1), depth(1), rtol=0, atol=0)
    assert not torch.equal(depth(1), depth(2))


def test_edges_ascend_from_near_to_far_and_jitter_stays_in_its_cell():
    rng = torch.Generator().manual_seed(0)
    edges = even_edges(RAYS, 16, rng)
    assert bool((edges.diff(dim=-1) > 0).all())
    torch.testing.assert_close(edges[..., 0], RAYS.near)
    torch.testing.assert_close(edges[..., -1], RAYS.far)
    fine = fine_edges(field_of(sphere()), RAYS, 24, 12, rng)
    assert bool((fine.diff(dim=-1) >= 0).all())
    assert bool((fine >= RAYS.near[..., None] - 1e-5).all() & (fine <= RAYS.far[..., None] + 1e-5).all())


def test_quantiles_invert_the_distribution():
    edges, weight = torch.tensor([[[0.0, 1.0, 3.0, 4.0]]]), torch.tensor([[[1.0, 0.0, 3.0]]])
    found = quantiles(edges, weight, torch.tensor([[[0.0, 0.125, 0.5, 1.0]]]))
    torch.testing.assert_close(found, torch.tensor([[[0.0, 0.5, 3 + 1 / 3, 4.0]]]))


def test_rays_that_miss_the_box_are_transparent_and_have_finite_gradients():
    radius = torch.tensor(0.5, requires_grad=True)
    rays = pixel_rays(canonical_camera(8), torch.tensor([[[-300.0, 4.0], [4.0, 4.0]]]))
    for sampling in (PLAIN, Sampling()):
        seen = render_rays(field_of(sphere(radius)), rays, sampling)
        assert seen.alpha[0, 0] == 0
        (gradient,) = torch.autograd.grad(seen.depth.sum() + seen.rgb.sum() + seen.normal.sum(), radius)
        assert gradient.isfinite()


def test_subjects_of_a_batch_do_not_see_each_other():
    radii = torch.tensor([[0.3], [0.6]])
    rays = Rays(*(value.expand(2, *value.shape[1:]) for value in vars(RAYS).values()))
    both = render_rays(field_of(sphere(radii)), rays, Sampling())
    for i, radius in enumerate((0.3, 0.6)):
        alone = render_rays(field_of(sphere(radius)), RAYS, Sampling())
        torch.testing.assert_close(both.alpha[i], alone.alpha[0])


def test_an_image_has_its_first_row_at_the_top():
    seen = render_rays(field_of(sphere(0.2, (0.4, 0.6, 0.0))), RAYS, Sampling())
    image = to_image(seen.alpha, (24, 24))[0, 0]
    rows, columns = (image > 0.5).nonzero(as_tuple=True)
    assert rows.max() < 12
    assert columns.min() > 12


@pytest.mark.parametrize("wrong", [{"coarse": -1}, {"fine": 0}, {"shaded": 0}, {"fine": 4, "shaded": 5}])
def test_impossible_samplings_are_refused(wrong):
    with pytest.raises(ValueError, match="Sampling needs"):
        Sampling(**wrong)
