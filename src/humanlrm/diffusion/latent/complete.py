"""The front of the room: one photo that hides something to several whole people."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from humanlrm.diffusion.latent.condition import condition_of
from humanlrm.diffusion.latent.guidance import GuidanceSettings, ReconstructionGuidance
from humanlrm.diffusion.sample import (
    Solver,
    corrected,
    draw_noise,
    guided,
    noise_levels,
    sample_ddim,
    sample_heun,
)
from humanlrm.model.denoiser import Denoiser
from humanlrm.model.paper import PaperLRM
from humanlrm.model.triplane import Triplane
from humanlrm.photo.visibility import find_hidden_pixels
from humanlrm.settings import check_sampling
from humanlrm.views import Inputs

_SOLVERS: dict[str, Solver] = {"heun": sample_heun, "ddim": sample_ddim}


@dataclass(frozen=True)
class CompletionSettings:
    """How people are sampled.

    Attributes:
        samples: people per photo.
        steps: of the solver, 4 to 50.
        solver: "heun" asks the network twice per step, "ddim" once.
        seed: of the starting noise; sample k of a seed is always the same.
        guidance: 1 takes the condition as it is, more exaggerates it at twice the cost.
        agreement: pulls samples towards the photo's visible pixels; ``None``: the condition alone has to do.
    """

    samples: int = 1
    steps: int = 8
    solver: Literal["heun", "ddim"] = "heun"
    seed: int = 0
    guidance: float = 1.5
    agreement: GuidanceSettings | None = None

    def __post_init__(self) -> None:
        check_sampling(self.samples, self.seed, self.guidance)
        if not 4 <= self.steps <= 50:
            raise ValueError(f"steps must be between 4 and 50, got {self.steps}")
        if self.solver not in _SOLVERS:
            raise ValueError(f"solver must be one of {', '.join(_SOLVERS)}, got {self.solver!r}")


@dataclass(frozen=True)
class Completed:
    """Sampled people.

    Attributes:
        latents: one per sample, as the reconstruction model decodes them.
        planes: of each sample, a batch of one.
    """

    latents: Float[Tensor, "B 3 C s s"]
    planes: list[Triplane]


@torch.no_grad()
def complete(
    lrm: PaperLRM, denoiser: Denoiser, inputs: Inputs, settings: CompletionSettings | None = None
) -> Completed:
    """Samples whole people who could be the one in a photo.

    Args:
        lrm: the reconstruction model whose latents the denoiser knows.
        inputs: one photo, a batch of one.

    Raises:
        ValueError: more than one photo, or a photo that shows nothing of the person while agreement is asked for.
    """
    settings = settings or CompletionSettings()
    if len(inputs.image) != 1:
        raise ValueError(f"complete: expected one photo, got {len(inputs.image)}; call it once for each")
    condition, seen = condition_of(lrm, denoiser, inputs)
    denoise = guided(denoiser, condition.repeated(settings.samples), settings.guidance)
    if settings.agreement is not None:
        agreement = ReconstructionGuidance(
            lrm, denoiser, seen, find_hidden_pixels(inputs), settings.agreement, settings.seed
        )
        denoise = corrected(denoise, agreement)
    noise = draw_noise(settings.seed, settings.samples, tuple(condition.latent.shape[1:]))
    found = _SOLVERS[settings.solver](denoise, noise.to(condition.latent), noise_levels(settings.steps))
    latents = denoiser.restored(found)
    return Completed(latents, [lrm.decode_latent(latent[None], seen) for latent in latents])
