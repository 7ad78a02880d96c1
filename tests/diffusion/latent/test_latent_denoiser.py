"""Laws of the denoiser's network."""

from dataclasses import asdict, replace

import pytest
import torch
from tiny_diffusion import lively, small_tokens, some_condition

from humanlrm.diffusion.latent.denoiser import (
    Denoiser,
    DenoiserConfig,
    denoiser_from_pretrained,
    small_denoiser,
    tiny_denoiser,
)
from humanlrm.model.config import from_fields, read_config
from humanlrm.model.pretrained import SHIPPED, CheckpointError, from_pretrained, save_pretrained


@pytest.fixture
def noisy() -> torch.Tensor:
    return torch.randn(2, 3, 8, 8, 8)


def answer(network, noisy, condition, level=0.0):
    with torch.no_grad():
        return network(noisy, torch.full((len(noisy),), level), condition)


def test_a_new_network_outputs_0():
    network = Denoiser(replace(tiny_denoiser(), memory=6))
    assert not answer(network, torch.randn(2, 3, 8, 8, 8), some_condition()).any()


def test_tokens_that_do_not_count_have_no_influence(noisy):
    network, condition = small_tokens(), some_condition()
    other = condition.tokens.clone()
    other[:, -2:] = 100 * torch.randn(2, 2, 6)
    before = answer(network, noisy, condition)
    assert torch.equal(answer(network, noisy, replace(condition, tokens=other)), before)
    assert not torch.allclose(
        answer(network, noisy, replace(condition, tokens=other, counts=torch.ones_like(condition.counts))), before
    )
    other[:, 0] += 1
    assert not torch.allclose(answer(network, noisy, replace(condition, tokens=other)), before)


def test_a_dropped_condition_has_no_influence(noisy):
    network, condition = small_tokens(), some_condition()
    nothing = condition.without(torch.tensor([True, False]))
    changed = replace(nothing, tokens=condition.tokens + 1, latent=condition.latent + 1)
    before, after = answer(network, noisy, nothing), answer(network, noisy, changed)
    assert torch.equal(before[0], after[0])
    assert not torch.allclose(before[1], after[1])


def test_a_photo_without_any_token_that_counts_has_an_answer(noisy):
    network, condition = small_tokens(), some_condition()
    found = answer(network, noisy, replace(condition, counts=torch.zeros_like(condition.counts)))
    assert found.isfinite().all()


def test_latent_hint_noise_level_and_place_matter(noisy):
    network, condition = small_tokens(), some_condition()
    before = answer(network, noisy, condition)
    assert not torch.allclose(answer(network, noisy, condition, 0.5), before)
    assert not torch.allclose(answer(network, noisy, replace(condition, latent=-condition.latent)), before)
    turned = answer(network, noisy[:, [1, 2, 0]], replace(condition, latent=condition.latent[:, [1, 2, 0]]))
    assert not torch.allclose(turned, before[:, [1, 2, 0]])


def test_every_plane_depends_on_every_other(noisy):
    network, condition = small_tokens(), some_condition()
    before = answer(network, noisy, condition)
    for plane in range(3):
        other = noisy.clone()
        other[:, plane, :, 0, 0] += 1
        moved = (answer(network, other, condition) - before).abs().amax((0, 2, 3, 4))
        assert bool((moved > 1e-5).all())


def test_people_do_not_influence_each_other(noisy):
    network, condition = small_tokens(), some_condition()
    alone = type(condition)(*(value[1:] for value in vars(condition).values()))
    torch.testing.assert_close(
        answer(network, noisy[1:], alone), answer(network, noisy, condition)[1:], atol=1e-5, rtol=1e-4
    )


def test_gradients_reach_every_parameter(noisy):
    network, condition = small_tokens().train(), some_condition()
    network(noisy, torch.zeros(2), condition).square().sum().backward()
    assert [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_statistics_are_stored_with_the_weights(tmp_path):
    mean, scale = tuple(range(24)), tuple(0.5 + k / 7 for k in range(24))
    config = replace(tiny_denoiser(), memory=6, mean=mean, scale=scale)
    network = lively(Denoiser(config))
    save_pretrained(tmp_path, config, dict(network.named_parameters()))
    loaded = denoiser_from_pretrained(tmp_path)
    assert loaded.config == config
    latent = torch.randn(2, 3, 8, 8, 8)
    normal = loaded.normalised(latent)
    torch.testing.assert_close(loaded.restored(normal), latent)
    torch.testing.assert_close(normal[0, 1, 2, 3, 4], (latent[0, 1, 2, 3, 4] - mean[10]) / scale[10])
    with pytest.raises(CheckpointError, match="give the folder of a reconstruction model"):
        from_pretrained(tmp_path)


def test_a_reconstruction_model_is_no_denoiser():
    with pytest.raises(CheckpointError, match="give the folder of a denoiser"):
        denoiser_from_pretrained(SHIPPED)


def test_a_config_comes_back_from_json():
    config = replace(small_denoiser(), mean=(0.1,) * 48, scale=(2.0,) * 48)
    assert from_fields(DenoiserConfig, {**asdict(config), "mean": [0.1] * 48}) == config
    with pytest.raises(ValueError, match="denoiser"):
        read_config(asdict(config))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"side": 9}, "multiple of patch"),
        ({"heads": 5}, "multiple of heads"),
        ({"mean": (1.0,), "scale": (1.0,)}, "3 x 16"),
        ({"mean": (0.0,) * 48, "scale": (0.0,) * 48}, "positive"),
        ({"depth": 0}, "depth must be positive"),
    ],
)
def test_configs_that_cannot_be_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        DenoiserConfig(**changes)


def test_latents_of_another_size_are_refused():
    with pytest.raises(ValueError, match="the config says"):
        small_tokens()(torch.zeros(2, 3, 8, 4, 4), torch.zeros(2), some_condition())
