import math

import pytest
import torch

from humanlrm.render.density import SURFACE_DENSITY, LaplaceDensity, SoftplusDensity, laplace_density


def test_density_is_the_laplace_distribution_function_over_beta():
    sdf = torch.linspace(-0.3, 0.3, 25, dtype=torch.float64)
    beta = torch.tensor(0.07, dtype=torch.float64)
    expected = torch.distributions.Laplace(torch.tensor(0.0, dtype=torch.float64), beta).cdf(-sdf) / beta
    torch.testing.assert_close(laplace_density(sdf, beta), expected)


def test_deep_inside_is_one_over_beta_and_the_surface_half_of_it():
    density = LaplaceDensity(beta=0.05)
    inside, surface, outside = density(torch.tensor([-5.0, 0.0, 5.0])).tolist()
    assert inside == pytest.approx(20)
    assert surface == pytest.approx(10)
    assert outside == pytest.approx(0)


def test_beta_is_learned_and_stays_above_its_least_value():
    density = LaplaceDensity(beta=0.05, least=0.01)
    optimizer = torch.optim.SGD(density.parameters(), lr=1.0)
    for _ in range(50):
        optimizer.zero_grad()
        density(torch.tensor([-1.0])).neg().sum().backward()
        optimizer.step()
    assert 0.01 <= float(density.beta) < 0.02


def test_a_nonsensical_beta_is_refused():
    with pytest.raises(ValueError, match="0 < least < beta"):
        LaplaceDensity(beta=0.001)


def test_blurring_widens_but_never_sharpens():
    density, sdf = LaplaceDensity(beta=0.02), torch.tensor([[0.03]])
    assert float(density.blurred(sdf, torch.tensor([[0.4]]))) == pytest.approx(math.exp(-0.3) / 0.2)
    torch.testing.assert_close(density.blurred(sdf, torch.tensor([[0.01]])), density(sdf))


def test_far_distances_have_finite_gradients():
    sdf = torch.tensor([-50.0, 50.0], requires_grad=True)
    (LaplaceDensity(beta=0.01)(sdf).sum() + SoftplusDensity()(sdf).sum()).backward()
    assert sdf.grad.isfinite().all()


def test_the_free_density_falls_outwards_and_has_its_surface_at_zero():
    density = SoftplusDensity()(torch.tensor([-3.0, 0.0, 3.0]))
    assert float(density[1]) == pytest.approx(SURFACE_DENSITY)
    assert bool((density.diff() < 0).all())
    assert bool((density > 0).all())
