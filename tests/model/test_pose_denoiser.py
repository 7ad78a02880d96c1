"""Laws of the network that denoises landmarks."""

from dataclasses import replace

import pytest
import torch

from humanlrm.body.landmarks import COUNT
from humanlrm.model.pose_denoiser import PoseCondition, PoseDenoiser, PoseDenoiserConfig

CONFIG = PoseDenoiserConfig(token_channels=7, share=4, width=32, depth=2)


def lively() -> PoseDenoiser:
    torch.manual_seed(0)
    model = PoseDenoiser(CONFIG)
    for layer in (model.modulate, model.leave):
        torch.nn.init.normal_(layer.weight, std=0.1)
    return model.eval()


def some_people(count: int = 3) -> PoseCondition:
    rng = torch.Generator().manual_seed(1)
    random = lambda *shape: torch.randn(count, COUNT, *shape, generator=rng)  # noqa: E731
    return PoseCondition(torch.ones(count, dtype=torch.bool), random(7), random(3), random().abs())


def test_a_new_network_says_nothing():
    assert not PoseDenoiser(CONFIG)(torch.randn(3, COUNT, 3), torch.zeros(3), some_people()).any()


def test_everything_that_is_told_matters_unless_nothing_is_known():
    model, people, noisy, level = lively(), some_people(), torch.randn(3, COUNT, 3), torch.zeros(3)
    plain = model(noisy, level, people)
    assert not torch.allclose(plain, model(noisy + 0.1, level, people))
    assert not torch.allclose(plain, model(noisy, level + 1, people))
    other = replace(people, tokens=people.tokens.flip(0))
    assert not torch.allclose(plain, model(noisy, level, other))
    nobody = torch.ones(3, dtype=torch.bool)
    known_nothing = [model(noisy, level, told.without(nobody)) for told in (people, other)]
    torch.testing.assert_close(*known_nothing)
    assert not torch.allclose(plain, known_nothing[0])


def test_landmarks_and_their_errors_are_inverses():
    model = PoseDenoiser(PoseDenoiserConfig(scale=tuple(0.01 * (k + 1) for k in range(3 * COUNT))))
    points, estimate = torch.randn(2, 4, COUNT, 3)
    torch.testing.assert_close(model.restored(model.normalised(points, estimate), estimate), points)


@pytest.mark.parametrize("wrong", [{"width": 0}, {"scale": (1.0, 2.0)}, {"scale": (0.0,) * (3 * COUNT)}])
def test_sizes_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match=r"must be positive|positive numbers"):
        PoseDenoiserConfig(**wrong)
