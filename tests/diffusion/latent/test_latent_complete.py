"""Laws of sampling people: agreement with the photo, determinism, uncertainty."""

from dataclasses import fields, replace
from functools import partial

import pytest
import torch
from painted import cut_at, whole
from tiny_diffusion import lively, tiny_lrm

from humanlrm.diffusion.latent.complete import LatentSampling, complete
from humanlrm.diffusion.latent.condition import encode_latent, fit_config, latent_condition
from humanlrm.diffusion.latent.denoiser import Denoiser, tiny_denoiser
from humanlrm.diffusion.latent.guidance import GuidanceSettings, ReconstructionGuidance
from humanlrm.diffusion.uncertainty import SampledPoses, landmark_spread, measure_uncertainty, surface_offsets
from humanlrm.frame import canonical_camera
from humanlrm.model.triplane import InputView
from humanlrm.rays import image_rays
from humanlrm.render.density import LaplaceDensity, RadianceField
from humanlrm.render.settings import Sampling
from humanlrm.render.volume import render_rays, to_image
from humanlrm.views import Inputs

SIDE = 32
LIGHT = GuidanceSettings(rays=256, steps=2, rate=0.05, sampling=Sampling(8, 6, 2))


@pytest.fixture(scope="module")
def lrm():
    return tiny_lrm()


@pytest.fixture(scope="module")
def denoiser(lrm):
    torch.manual_seed(1)
    scale = tuple(0.5 + 0.01 * k for k in range(24))
    return lively(Denoiser(fit_config(replace(tiny_denoiser(), mean=(0.1,) * 24, scale=scale), lrm)))


# ---- condition


def test_what_lies_outside_of_the_photo_is_not_looked_at(lrm, denoiser):
    given = cut_at(0.6).inputs
    condition, _ = latent_condition(lrm, denoiser, given)
    counts = condition.counts[0].view(4, 4)
    known = given.image[0, 4].view(4, 16, 4, 16).mean((1, 3)) >= 0.25
    assert bool((counts <= known).all())
    assert 0 < int(counts.sum()) < 16
    assert latent_condition(lrm, denoiser, whole().inputs)[0].counts.sum() > counts.sum()


def test_the_condition_holds_the_single_view_models_guess(lrm, denoiser):
    given = whole().inputs
    condition, seen = latent_condition(lrm, denoiser, given)
    with torch.no_grad():
        latent = encode_latent(lrm, given.image, None, given.landmarks, given.detector_features)[0]
    torch.testing.assert_close(denoiser.restored(condition.latent), latent, atol=1e-5, rtol=1e-4)
    assert torch.equal(seen.image[:, 3:], given.image[:, 3:])


def test_a_model_that_starts_from_the_silhouette_cannot_be_completed():
    with pytest.raises(ValueError, match="depth_prior=False"):
        fit_config(tiny_denoiser(), tiny_lrm(depth_prior=True))


# ---- reconstruction guidance


def portrait(lrm, denoiser, clean: torch.Tensor) -> InputView:
    """What the canonical camera sees of the person with this latent."""
    given = InputView(torch.zeros(1, 5, SIDE, SIDE), None, None, None)
    with torch.no_grad():
        planes = lrm.decoder.from_latent(denoiser.restored(clean), given)
        field = RadianceField(partial(lrm.field.distance, planes), partial(lrm.field, planes), LaplaceDensity())
        seen = render_rays(field, image_rays(canonical_camera(SIDE)), LIGHT.sampling)
    alpha = (to_image(seen.alpha, (SIDE, SIDE)) > 0.5).float()
    return InputView(
        torch.cat([to_image(seen.rgb, (SIDE, SIDE)) * alpha, alpha, torch.ones_like(alpha)], dim=1), None, None, None
    )


@pytest.fixture(scope="module")
def scene(lrm, denoiser):
    """The photo of a person, and the latents of three others."""
    clean = torch.randn(4, 3, 8, 8, 8, generator=torch.Generator().manual_seed(3))
    return portrait(lrm, denoiser, clean[:1]), clean[:1], clean[1:]


def test_guidance_pulls_samples_towards_the_photo(lrm, denoiser, scene):
    seen, truth, others = scene
    nothing = torch.zeros(1, SIDE, SIDE, dtype=torch.bool)
    guidance = ReconstructionGuidance(lrm, denoiser, seen, nothing, LIGHT)
    pixels = torch.cat([guidance.person, guidance.background])
    with torch.no_grad():
        before, least = guidance.error(others, pixels), guidance.error(truth, pixels)
    moved = others
    for _ in range(8):
        moved = guidance(moved, 0.5)
    with torch.no_grad():
        after = guidance.error(moved, pixels)
    assert bool((least < 0.5 * before).all())
    assert bool((after - least < 0.75 * (before - least)).all())


def test_guidance_leaves_early_steps_alone_and_is_seeded(lrm, denoiser, scene):
    seen, _, others = scene
    nothing = torch.zeros(1, SIDE, SIDE, dtype=torch.bool)
    make = lambda seed: ReconstructionGuidance(lrm, denoiser, seen, nothing, LIGHT, seed)  # noqa: E731
    assert make(0)(others, LIGHT.start + 0.1) is others
    first = make(0)(others, 0.5)
    assert torch.equal(make(0)(others, 0.5), first)
    assert not torch.equal(make(1)(others, 0.5), first)


def test_hidden_pixels_do_not_pull(lrm, denoiser, scene):
    seen, _, others = scene
    hidden = torch.zeros(1, SIDE, SIDE, dtype=torch.bool)
    hidden[:, SIDE // 2 :] = True
    painted = seen.image.clone()
    painted[:, :3, SIDE // 2 :] = 1 - painted[:, :3, SIDE // 2 :]
    other = replace(seen, image=painted)
    one, two = (ReconstructionGuidance(lrm, denoiser, view, hidden, LIGHT)(others, 0.5) for view in (seen, other))
    assert torch.equal(one, two)
    shown = torch.zeros_like(hidden)
    one, two = (ReconstructionGuidance(lrm, denoiser, view, shown, LIGHT)(others, 0.5) for view in (seen, other))
    assert not torch.equal(one, two)


def test_a_photo_that_shows_nothing_cannot_guide(lrm, denoiser, scene):
    with pytest.raises(ValueError, match="shows nothing"):
        ReconstructionGuidance(lrm, denoiser, scene[0], torch.ones(1, SIDE, SIDE, dtype=torch.bool))


# ---- the whole


def test_samples_depend_on_photo_seed_and_number_only(lrm, denoiser):
    given, plan = cut_at(0.6).inputs, LatentSampling(samples=3, steps=4)
    found = complete(lrm, denoiser, given, plan)
    assert found.latents.shape == (3, 3, 8, 8, 8)
    assert len(found.planes) == 3
    assert torch.equal(complete(lrm, denoiser, given, plan).latents, found.latents)
    alone = complete(lrm, denoiser, given, replace(plan, samples=1)).latents
    torch.testing.assert_close(alone, found.latents[:1], atol=1e-4, rtol=1e-3)
    assert not torch.allclose(found.latents[0], found.latents[1], atol=1e-2)
    for changed in (replace(plan, seed=1), replace(plan, guidance=3.0), replace(plan, solver="ddim")):
        assert not torch.allclose(complete(lrm, denoiser, given, changed).latents, found.latents, atol=1e-2)
    other = complete(lrm, denoiser, whole().inputs, plan).latents
    assert not torch.allclose(other, found.latents, atol=1e-2)


def test_planes_are_those_of_the_latents(lrm, denoiser):
    given = whole().inputs
    found = complete(lrm, denoiser, given, LatentSampling(samples=2, steps=4))
    with torch.no_grad():
        seen = encode_latent(lrm, given.image, None, given.landmarks, given.detector_features)[1]
        second = lrm.decoder.from_latent(found.latents[1:], seen)
    torch.testing.assert_close(found.planes[1].zy, second.zy)


def test_completion_with_guidance_runs_and_differs(lrm, denoiser):
    given, plan = cut_at(0.6).inputs, LatentSampling(samples=1, steps=4)
    plain = complete(lrm, denoiser, given, plan).latents
    agreed = complete(lrm, denoiser, given, replace(plan, reconstruction=LIGHT)).latents
    assert agreed.isfinite().all()
    assert not torch.allclose(plain, agreed)


@pytest.mark.parametrize("changes", [{"samples": 0}, {"steps": 3}, {"steps": 51}, {"seed": -1}, {"guidance": -1.0}])
def test_settings_that_make_no_sense_are_refused(changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        LatentSampling(**changes)


def test_one_photo_at_a_time(lrm, denoiser):
    given = whole().inputs
    two = Inputs(*(getattr(given, f.name).repeat_interleave(2, 0) for f in fields(Inputs)))
    with pytest.raises(ValueError, match="expected one photo, got 2"):
        complete(lrm, denoiser, two)


# ---- uncertainty

RADII = torch.tensor([0.45, 0.5, 0.52, 0.55])


def ball(radius: float, stretch: float = 1.0, offset: float = 0.0):
    def sdf(points: torch.Tensor) -> torch.Tensor:
        centre = torch.tensor([offset, 0.0, 0.0])
        return stretch * ((points - centre).norm(dim=-1) - radius)

    return sdf


def directions(count: int = 500) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(count, 3), dim=-1)


@pytest.mark.parametrize("stretch", [1.0, 0.3, 4.0])
def test_the_spread_of_balls_is_that_of_their_radii_whatever_the_fields_scale(stretch):
    out = directions()
    found = measure_uncertainty(0.5 * out, out, [ball(float(r), stretch) for r in RADII])
    torch.testing.assert_close(found.spread, RADII.std(correction=0).expand(500), atol=1e-3, rtol=0)


def test_samples_that_agree_have_no_spread_and_no_absence():
    out = directions()
    found = measure_uncertainty(0.5 * out, out, [ball(0.5)] * 3)
    assert float(found.spread.max()) < 1e-6
    assert float(found.absence.max()) < 0.01


def test_spread_is_where_the_samples_differ():
    """Balls that are shifted along x differ at their poles on x, not at those on y."""
    x, y = torch.tensor([[1.0, 0, 0]]), torch.tensor([[0, 1.0, 0]])
    out = torch.cat([x, y])
    found = measure_uncertainty(0.5 * out, out, [ball(0.5, offset=d) for d in (-0.05, 0.0, 0.05)])
    assert float(found.spread[0]) == pytest.approx(0.05 * (2 / 3) ** 0.5, abs=1e-3)
    assert float(found.spread[1]) < 0.003


def test_sampled_landmarks_carry_the_surface_along():
    """All landmarks move along x by 0.1 or -0.1: a surface that faces x is there or there, one that faces y stays."""
    torch.manual_seed(0)
    reference, out = torch.randn(19, 3), torch.eye(3)[[0, 1]]
    shifts = 0.1 * torch.tensor([1.0, -1.0, 1.0, -1.0])[:, None, None] * torch.tensor([1.0, 0, 0])
    poses = SampledPoses(reference, reference + shifts)
    torch.testing.assert_close(landmark_spread(0.5 * out, out, poses), torch.tensor([0.1, 0.0]), atol=1e-6, rtol=0)
    agreed = measure_uncertainty(0.5 * out, out, [ball(0.5)] * 3, poses)
    torch.testing.assert_close(agreed.spread, torch.tensor([0.1 / 2**0.5, 0.0]), atol=1e-5, rtol=0)


def test_a_vertex_moves_with_the_landmarks_around_it():
    reference = torch.zeros(19, 3)
    reference[1:, 0] = 3.0
    samples = reference.repeat(2, 1, 1)
    samples[:, 0, 1] = 0.2
    up = torch.tensor([[0.0, 1.0, 0.0]] * 2)
    near, far = landmark_spread(torch.tensor([[0.0, 0, 0], [3.0, 0, 0]]), up, SampledPoses(reference, samples))
    assert float(near) == pytest.approx(0.2, abs=1e-3)
    assert float(far) < 1e-3


def test_absence_is_the_share_of_samples_without_a_surface():
    out = directions()
    found = measure_uncertainty(0.5 * out, out, [ball(0.5), ball(0.1), ball(0.1), ball(0.5)])
    torch.testing.assert_close(found.absence, torch.full((500,), 0.5), atol=0.01, rtol=0)
    assert float(found.spread.min()) > 0.07


def test_offsets_say_how_far_along_the_normals_a_surface_is():
    out = directions(30)
    found = surface_offsets(0.5 * out, out, [ball(0.5), ball(0.55), ball(0.42), ball(0.9)])
    # What is farther away than is looked counts as at the end, on the side where the surface must be.
    expected = torch.tensor([0.0, 0.05, -0.08, 0.15])[:, None].expand(4, 30)
    torch.testing.assert_close(found, expected, atol=2e-3, rtol=0)


def test_chunks_do_not_matter_and_one_sample_has_no_spread():
    out = directions(9000)
    balls = [ball(float(r)) for r in RADII]
    whole, part = (measure_uncertainty(0.5 * some, some, balls) for some in (out, out[4080:4110]))
    torch.testing.assert_close(whole.spread[4080:4110], part.spread)
    with pytest.raises(ValueError, match="at least two"):
        measure_uncertainty(0.5 * out, out, balls[:1])
