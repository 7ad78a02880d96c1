"""Training of denoisers of landmarks, of views and of latents, by the loop of all models (``train.loop``)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from humanlrm.diffusion.process import NoiseLevels, denoising_loss
from humanlrm.model.pose_denoiser import DenoiserCondition
from humanlrm.train.config import StepSettings, TrainConfig
from humanlrm.train.hooks import Progress, ReportProgress, SaveCheckpoints
from humanlrm.train.loop import Hook, train
from humanlrm.train.objective import StepContext, TrainingObjective
from humanlrm.train.processes import own_group
from humanlrm.train.setup import take_up
from humanlrm.train.stop import StopRequested, stop_message

#: Losses of samples: (network, clean, noise, sigma, condition) to one number per sample.
DenoisingLoss = Callable[[Any, Tensor, Tensor, Tensor, Any], Tensor]
#: From a batch to the clean samples (of deviation 1) and their condition.
Conditioning = Callable[[Any, torch.Generator], tuple[Tensor, DenoiserCondition]]


def denoising_steps(weight_decay: float = 0.01, warmup: int = 2_000, ema: float = 0.9995) -> StepSettings:
    """Details of a step: averages and squared gradients are remembered longer, because noise makes losses noisy."""
    return StepSettings(weight_decay, warmup, beta2=0.99, ema=ema)


@dataclass(frozen=True)
class DenoisingConfig(TrainConfig):
    """Training run of a denoiser.

    Attributes:
        levels: noise levels per photo: the encoder, which runs once per photo, costs more than the denoiser.
        drop: share of the photos without a condition (classifier-free guidance).
        noise: distribution of the noise levels.
    """

    samples: int = 200_000
    batch: int = 8
    learning_rate: float = 4e-4
    steps: StepSettings = field(default_factory=denoising_steps)
    levels: int = 4
    drop: float = 0.1
    noise: NoiseLevels = field(default_factory=NoiseLevels)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.levels < 1:
            raise ValueError(f"training needs positive levels, got {self.levels}")
        if not 0 <= self.drop < 1:
            raise ValueError(f"drop must be a share below 1, got {self.drop}")


class DenoisingObjective(TrainingObjective):
    """A denoiser and its loss. A model that makes conditions is frozen, and no part of it.

    Args:
        model: of ``diffusion.latent.denoiser``, ``model.pose_denoiser`` or ``model.view_denoiser``.
        condition: from a batch to clean samples and condition, on the device to train on.
    """

    def __init__(
        self, model: nn.Module, plan: DenoisingConfig, condition: Conditioning, loss: DenoisingLoss = denoising_loss
    ) -> None:
        super().__init__()
        self.model, self.density, self.rendering = model, None, None
        self.plan, self.condition, self.loss = plan, condition, loss

    def forward(self, batch: Any, context: StepContext) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        """Compute the mean loss of a batch, each of its photos at several noise levels."""
        plan, rng = self.plan, torch.Generator().manual_seed(context.seed)
        clean, conditions = self.condition(batch, rng)
        count = len(clean) * plan.levels
        dropped = (torch.rand(count, generator=rng) < plan.drop).to(clean.device)
        clean = clean.repeat_interleave(plan.levels, dim=0)
        noise = torch.randn(clean.shape, generator=rng).to(clean)
        sigma = plan.noise.draw(count, rng).to(clean)
        with torch.autocast(clean.device.type, torch.bfloat16, enabled=plan.bf16):
            found = self.loss(self.model, clean, noise, sigma, conditions.repeated(plan.levels).without(dropped))
        loss = found.mean()
        return loss, {"denoising": loss.detach()}


def run_denoising(
    objective: DenoisingObjective,
    stream: Callable[[int], Iterator[Any]],
    sources: Sequence[Path],
    run: Path,
    report: Callable[[Progress], None] | None = None,
) -> Any:
    """Train until ``plan.samples`` photos are seen, from the newest checkpoint of ``run`` on.

    Args:
        stream: batches of ``plan.batch`` photos from this running number on.
        sources: folders of the data, to be noted.

    Returns:
        the model with the averaged weights, in evaluation mode.

    Raises:
        CheckpointError: the run is one of another denoiser.
        TrainingStopped: the loss became infinite or NaN, or the process was asked to stop; then all is saved.
    """
    hooks: list[Hook] = [] if report is None else [ReportProgress(report, flops=False)]
    with own_group():
        state = take_up(objective, objective.plan, sources, run, has_unused=True)
        train(state, stream(state.counters.seen), [*hooks, SaveCheckpoints()])
    if state.progress < 1:
        raise StopRequested(stop_message(state.counters.seen, objective.plan.samples))
    return state.averaged_model()
