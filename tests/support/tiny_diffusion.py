"""A reconstruction model and a denoiser at the size of tests."""

from dataclasses import replace

import torch
from tiny_paper import tiny_paper

from humanlrm.diffusion.latent.denoiser import Denoiser, TriplaneCondition, tiny_denoiser
from humanlrm.model.lrm import HumanLRM, build


def lively(module: torch.nn.Module) -> torch.nn.Module:
    """None of its layers are zero."""
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.ndim >= 2 and not parameter.any():
                torch.nn.init.normal_(parameter, std=0.1)
    return module.eval()


def tiny_lrm(**changes) -> HumanLRM:
    config = tiny_paper(**{"depth": 1, "field_depth": 2} | changes)
    torch.manual_seed(5)
    return lively(build(config))


def small_tokens() -> Denoiser:
    """A denoiser whose view tokens have 6 channels."""
    torch.manual_seed(6)
    return lively(Denoiser(replace(tiny_denoiser(), memory=6)))


def some_condition(count: int = 2, tokens: int = 5) -> TriplaneCondition:
    rng = torch.Generator().manual_seed(7)
    counts = torch.ones(count, tokens, dtype=torch.bool)
    counts[:, -2:] = False
    latent = torch.randn(count, 3, 8, 8, 8, generator=rng)
    return TriplaneCondition(
        torch.ones(count, dtype=torch.bool), torch.randn(count, tokens, 6, generator=rng), counts, latent
    )
