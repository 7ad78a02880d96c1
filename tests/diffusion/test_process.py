"""Laws of noise, preconditioning and loss."""

import pytest
import torch

from humanlrm.diffusion.latent.denoiser import TriplaneCondition
from humanlrm.diffusion.process import (
    NoiseLevels,
    add_noise,
    append_dims,
    denoised,
    denoising_loss,
    scalings,
)

SHAPE = (4000, 3, 1, 2, 2)
SIGMA = torch.tensor([0.01, 0.3, 1.0, 4.0, 60.0])


def people(count: int) -> TriplaneCondition:
    return TriplaneCondition(
        torch.ones(count, dtype=torch.bool),
        torch.zeros(count, 1, 1),
        torch.ones(count, 1, dtype=torch.bool),
        torch.zeros(count, *SHAPE[1:]),
    )


@pytest.mark.parametrize("sigma", SIGMA.tolist())
def test_noisy_latents_have_the_variance_of_both_and_the_network_sees_variance_1(sigma):
    clean, noise, level = torch.randn(SHAPE), torch.randn(SHAPE), torch.full((SHAPE[0],), sigma)
    noisy = add_noise(clean, noise, level)
    assert float(noisy.var()) == pytest.approx(1 + sigma**2, rel=0.03)
    assert float((scalings(level)[2][0] * noisy).var()) == pytest.approx(1, rel=0.03)


@pytest.mark.parametrize("sigma", SIGMA.tolist())
def test_the_networks_target_has_variance_1_at_every_level(sigma):
    clean, noise, level = torch.randn(SHAPE), torch.randn(SHAPE), torch.full((SHAPE[0],), sigma)
    c_skip, c_out, _ = (c[0] for c in scalings(level))
    target = (clean - c_skip * add_noise(clean, noise, level)) / c_out
    assert float(target.var()) == pytest.approx(1, rel=0.03)


def velocity_of(clean: torch.Tensor, noise: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """Slope along the circle: in the variance-preserving picture x(a) = cos(a) clean + sin(a) noise, and v is dx/da."""
    angle = append_dims(sigma.atan(), clean)
    return angle.cos() * noise - angle.sin() * clean


def test_the_raw_output_is_minus_the_velocity():
    clean, noise = torch.randn(2, 5, 3, 2, 4, 4).double()
    sigma = SIGMA.double()
    noisy = add_noise(clean, noise, sigma)
    velocity = velocity_of(clean, noise, sigma)
    torch.testing.assert_close(denoised(lambda *_: -velocity, noisy, sigma, people(5)), clean)
    wrong = torch.randn_like(clean)
    loss = denoising_loss(lambda *_: wrong, clean, noise, sigma, people(5))
    torch.testing.assert_close(loss, (wrong + velocity).square().flatten(1).mean(1))


def test_a_network_that_says_nothing_has_loss_1_and_the_truth_has_loss_0():
    clean, noise = torch.randn(2, *SHAPE)
    sigma = SIGMA.repeat(SHAPE[0] // 5)
    nothing = denoising_loss(lambda x, *_: torch.zeros_like(x), clean, noise, sigma, people(SHAPE[0]))
    for k in range(5):
        assert float(nothing[k::5].mean()) == pytest.approx(1, rel=0.1)
    truth = -velocity_of(clean, noise, sigma)
    assert float(denoising_loss(lambda *_: truth, clean, noise, sigma, people(SHAPE[0])).max()) < 1e-4


def test_noise_levels_are_log_normal_and_repeatable():
    draw = lambda: NoiseLevels(-0.4, 1.2).draw(20000, torch.Generator().manual_seed(1))  # noqa: E731
    levels = draw()
    assert torch.equal(levels, draw())
    assert float(levels.log().mean()) == pytest.approx(-0.4, abs=0.03)
    assert float(levels.log().std()) == pytest.approx(1.2, abs=0.03)
