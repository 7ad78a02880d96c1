"""Laws of the solvers, on people whose latents are Gaussian: there the best denoiser is known (Tweedie's formula)."""

import numpy as np
import pytest
import torch
from tiny_diffusion import small_tokens, some_condition

from humanlrm.diffusion.process import denoised
from humanlrm.diffusion.sample import corrected, draw_noise, guided, noise_levels, sample_ddim, sample_heun

#: Two correlated channels of planes of one pixel stand for a latent.
SHAPE = (3, 2, 1, 1)
MEAN = torch.tensor([0.7, -0.4], dtype=torch.float64)
COVARIANCE = torch.tensor([[1.3, 0.6], [0.6, 0.5]], dtype=torch.float64)


def best(noisy: torch.Tensor, sigma: float) -> torch.Tensor:
    gain = COVARIANCE @ torch.linalg.inv(COVARIANCE + sigma**2 * torch.eye(2, dtype=torch.float64))
    return (MEAN + (noisy.movedim(2, -1) - MEAN) @ gain.T).movedim(-1, 2)


def exact(noise: torch.Tensor, levels: list[float]) -> torch.Tensor:
    """The probability-flow equation's solution from the first level to 0."""
    values, vectors = torch.linalg.eigh(COVARIANCE)
    shrink = (values / (values + levels[0] ** 2)).sqrt()
    start = noise.movedim(2, -1) * levels[0]
    return (MEAN + ((start - MEAN) @ vectors * shrink) @ vectors.T).movedim(-1, 2)


def whitened(count: int) -> torch.Tensor:
    """Noise of mean 0 and covariance 1, not only about so: what differs below is the solver's doing."""
    noise = torch.randn(3, count, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    noise = noise - noise.mean(1, keepdim=True)
    root = torch.linalg.cholesky(noise.transpose(1, 2) @ noise / (count - 1))
    return torch.linalg.solve_triangular(root, noise.transpose(1, 2), upper=False).permute(2, 0, 1)[..., None, None]


def error(solver, steps: int, noise: torch.Tensor) -> float:
    levels = noise_levels(steps)
    return float((solver(best, noise, levels) - exact(noise, levels)).square().mean().sqrt())


@pytest.fixture
def noise() -> torch.Tensor:
    return whitened(400)


@pytest.mark.parametrize(
    ("solver", "steps", "tolerance"), [(sample_heun, 18, 0.02), (sample_heun, 8, 0.05), (sample_ddim, 50, 0.1)]
)
def test_samples_have_the_datas_mean_and_covariance(solver, steps, tolerance, noise):
    found = solver(best, noise, noise_levels(steps))[:, 0, :, 0, 0]
    torch.testing.assert_close(found.mean(0), MEAN, atol=0.02, rtol=0)
    torch.testing.assert_close(found.T.cov(), COVARIANCE, atol=tolerance, rtol=0)


def test_heun_is_of_second_order_and_ddim_of_first(noise):
    assert 1.6 < error(sample_ddim, 40, noise) / error(sample_ddim, 80, noise) < 2.5
    assert 3.2 < error(sample_heun, 40, noise) / error(sample_heun, 80, noise) < 5
    assert error(sample_heun, 8, noise) < 0.3 * error(sample_ddim, 16, noise)


def test_a_single_person_is_found_exactly_by_any_number_of_steps():
    person = torch.randn(1, *SHAPE)
    for solver in (sample_heun, sample_ddim):
        for steps in (2, 5, 50):
            found = solver(lambda x, _: person.expand_as(x), torch.randn(4, *SHAPE), noise_levels(steps))
            torch.testing.assert_close(found, person.expand_as(found))


def test_levels_fall_from_most_to_0():
    levels = noise_levels(12)
    assert len(levels) == 13
    assert levels[0] == pytest.approx(80)
    assert 0 < levels[-2] < 0.02
    assert levels[-1] == 0
    assert all(np.diff(levels) < 0)
    for steps, most in ((1, 80.0), (12, 0.0)):
        with pytest.raises(ValueError, match="steps >= 2"):
            noise_levels(steps, most)
    with pytest.raises(ValueError, match="must end with 0"):
        sample_heun(best, draw_noise(0, 1, SHAPE), levels[:-1])


def test_a_sample_depends_on_seed_and_number_only():
    three = draw_noise(5, 3, SHAPE)
    assert torch.equal(draw_noise(5, 8, SHAPE)[:3], three)
    assert not torch.equal(draw_noise(6, 3, SHAPE), three)
    assert not torch.equal(draw_noise(6, 3, SHAPE)[:2], three[1:])


# ---- guidance


def test_guidance_goes_along_the_line_from_nothing_to_the_condition():
    network, condition, noisy = small_tokens(), some_condition(), torch.randn(2, 3, 8, 8, 8)
    level = torch.full((2,), 0.5)
    with torch.no_grad():
        told = denoised(network, noisy, level, condition)
        untold = denoised(network, noisy, level, condition.without(torch.ones(2, dtype=torch.bool)))
        for guidance in (0.0, 0.5, 1.0, 3.0):
            found = guided(network, condition, guidance)(noisy, 0.5)
            torch.testing.assert_close(found, untold + guidance * (told - untold), atol=1e-5, rtol=1e-4)
    assert not torch.allclose(told, untold, atol=1e-3)


def test_a_correction_has_the_last_word():
    found = corrected(lambda x, s: x + s, lambda x, s: 2 * x - s)(torch.ones(1, *SHAPE), 3.0)
    torch.testing.assert_close(found, torch.full((1, *SHAPE), 5.0))
