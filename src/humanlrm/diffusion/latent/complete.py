"""Completion by the latent denoiser: one photo that hides something to several whole people."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from humanlrm.diffusion.latent.condition import latent_condition
from humanlrm.diffusion.latent.denoiser import Denoiser
from humanlrm.diffusion.latent.guidance import GuidanceSettings, ReconstructionGuidance
from humanlrm.diffusion.sample import Solver, corrected, draw_noise, guided, noise_levels, sample_ddim, sample_heun
from humanlrm.model.lrm import HumanLRM
from humanlrm.model.triplane import Triplane
from humanlrm.photo.visibility import find_hidden_pixels
from humanlrm.settings import check_sampling
from humanlrm.views import Inputs

_SOLVERS: dict[str, Solver] = {"heun": sample_heun, "ddim": sample_ddim}


@dataclass(frozen=True)
class LatentSampling:
    """Sampling of latent triplanes.

    Attributes:
        samples: people per photo.
        steps: of the solver, 4 to 50.
        solver: "heun" evaluates the network twice per step, "ddim" once.
        seed: of the starting noise; sample k of a seed is always the same.
        guidance: 1 takes the condition as it is, more exaggerates it at twice the cost.
        reconstruction: pulls samples towards the photo's visible pixels; ``None``: the condition alone does.
    """

    samples: int = 1
    steps: int = 8
    solver: Literal["heun", "ddim"] = "heun"
    seed: int = 0
    guidance: float = 1.5
    reconstruction: GuidanceSettings | None = None

    def __post_init__(self) -> None:
        check_sampling(self.samples, self.seed, self.guidance)
        if not 4 <= self.steps <= 50:
            raise ValueError(f"steps must be between 4 and 50, got {self.steps}")
        if self.solver not in _SOLVERS:
            raise ValueError(f"solver must be one of {', '.join(_SOLVERS)}, got {self.solver!r}")


@dataclass(frozen=True)
class LatentSamples:
    """Sampled people.

    Attributes:
        latents: one per sample, as the reconstruction model decodes them.
        planes: of each sample, a batch of one.
    """

    latents: Float[Tensor, "B 3 C s s"]
    planes: tuple[Triplane, ...]


@torch.no_grad()
def complete(
    model: HumanLRM, denoiser: Denoiser, inputs: Inputs, sampling: LatentSampling | None = None
) -> LatentSamples:
    """Sample whole people who fit a photo.

    Args:
        model: the reconstruction model whose latents the denoiser was trained on.
        inputs: one photo, a batch of one.

    Raises:
        ValueError: more than one photo, a model without latents, or a photo that shows nothing of the person while
            reconstruction guidance is asked for.
    """
    sampling = sampling or LatentSampling()
    if len(inputs.image) != 1:
        raise ValueError(f"complete: expected one photo, got {len(inputs.image)}; call it once for each")
    condition, view = latent_condition(model, denoiser, inputs)
    denoise = guided(denoiser, condition.repeated(sampling.samples), sampling.guidance)
    if sampling.reconstruction is not None:
        hidden = find_hidden_pixels(inputs)
        guidance = ReconstructionGuidance(model, denoiser, view, hidden, sampling.reconstruction, sampling.seed)
        denoise = corrected(denoise, guidance)
    noise = draw_noise(sampling.seed, sampling.samples, tuple(condition.latent.shape[1:]))
    clean = _SOLVERS[sampling.solver](denoise, noise.to(condition.latent), noise_levels(sampling.steps))
    latents = denoiser.restored(clean)
    return LatentSamples(latents, tuple(model.decoder.from_latent(latent[None], view) for latent in latents))
