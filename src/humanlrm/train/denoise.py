"""Training loop of denoisers of landmarks, of views and of latents; a model that makes conditions is frozen.

Checkpoints, averaged weights and resuming are those of ``train.loop``.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from humanlrm.diffusion.process import NoiseLevels, denoising_loss
from humanlrm.model.pose_denoiser import DenoiserCondition
from humanlrm.train.checkpoint import Counters, list_checkpoints, load_checkpoint, save_checkpoint, trained_parameters
from humanlrm.train.hooks import Progress
from humanlrm.train.randomness import seed_of
from humanlrm.train.stop import StopRequested, TrainingStopped, catch_stop_signals, stop_message

Item = TypeVar("Item")
#: ``diffusion.latent.denoiser.Denoiser``, ``model.pose_denoiser.PoseDenoiser`` or ``model.view_denoiser.ViewDenoiser``.
AnyDenoiser = TypeVar("AnyDenoiser", bound=nn.Module)
AnyCondition = TypeVar("AnyCondition", bound=DenoiserCondition)
#: Losses of samples: (network, clean, noise, sigma, condition) to one number per sample.
DenoisingLoss = Callable[[Any, Tensor, Tensor, Tensor, Any], Tensor]


@dataclass(frozen=True)
class DenoisingConfig:
    """Training run of a denoiser.

    Attributes:
        samples: photos in all; the learning rate falls over the last quarter of them.
        batch: photos per step.
        levels: noise levels per photo: the encoder, which runs once per photo, costs more than the denoiser.
        learning_rate: of AdamW after warm-up.
        weight_decay: of AdamW, on matrices only.
        warmup: photos until the learning rate is reached.
        clip: largest norm of the gradient.
        ema: decay per step of the averaged weights, which are used for sampling.
        seed: of initial weights, noise and dropped conditions.
        drop: share of the photos without a condition (classifier-free guidance).
        bf16: compute the network in bfloat16.
        noise: distribution of the noise levels.
        checkpoint_s: seconds between checkpoints.
        keep: checkpoints kept.
        log_every: steps between reports.
    """

    samples: int = 200_000
    batch: int = 8
    levels: int = 4
    learning_rate: float = 4e-4
    weight_decay: float = 0.01
    warmup: int = 2_000
    clip: float = 1.0
    ema: float = 0.9995
    seed: int = 0
    drop: float = 0.1
    bf16: bool = False
    noise: NoiseLevels = field(default_factory=NoiseLevels)
    checkpoint_s: float = 300.0
    keep: int = 3
    log_every: int = 20

    def __post_init__(self) -> None:
        if self.samples < 1 or self.batch < 1 or self.levels < 1:
            raise ValueError(
                f"training needs positive samples, batch and levels, got {self.samples}, {self.batch}, {self.levels}"
            )
        if not 0 <= self.drop < 1:
            raise ValueError(f"drop must be a share below 1, got {self.drop}")

    def rate(self, seen: int) -> float:
        """Learning rate after ``seen`` photos: linear warm-up, constant, linear fall over the last quarter."""
        rising = min(1.0, (seen + 1) / max(1, self.warmup))
        falling = min(1.0, max(0.02, (self.samples - seen) / (0.25 * self.samples)))
        return self.learning_rate * min(rising, falling)


def run_denoising(
    model: AnyDenoiser,
    config: DenoisingConfig,
    stream: Callable[[int], Iterable[Item]],
    condition_batch: Callable[[Item, torch.Generator], tuple[Tensor, AnyCondition]],
    run: Path,
    report: Callable[[Progress], None] | None = None,
    loss: DenoisingLoss = denoising_loss,
) -> AnyDenoiser:
    """Train until ``config.samples`` photos are seen, from the newest checkpoint of ``run`` on.

    Args:
        model: on the device to train on.
        stream: batches of ``config.batch`` photos from running number ``seen`` to the end.
        condition_batch: from a batch to the clean samples (of deviation 1) and the condition.
        loss: of each sample, given the network, clean samples, noise, its levels and the condition.

    Returns:
        the model with the averaged weights, in evaluation mode.

    Raises:
        CheckpointError: the run is one of another denoiser.
        TrainingStopped: the loss became infinite or NaN, or the process was asked to stop; then all is saved.
    """
    parameters = trained_parameters(model)
    average = {name: p.detach().clone() for name, p in parameters.items()}
    optimizer = _optimizer(model, config)
    saved = list_checkpoints(run)
    state = load_checkpoint(saved[-1], model, average, optimizer) if saved else Counters()
    last_saved = started = time.monotonic()
    with catch_stop_signals() as asked:
        for batch in stream(state.seen):
            draw = lambda rng, batch=batch: condition_batch(batch, rng)  # noqa: E731
            value = _step(model, optimizer, draw, loss, config, state)
            decay = min(config.ema, (1 + state.step) / (10 + state.step))
            with torch.no_grad():
                for name, parameter in parameters.items():
                    average[name].lerp_(parameter, 1 - decay)
            now = time.monotonic()
            elapsed, started = now - started, now
            state.seconds += elapsed
            if report is not None and state.step % config.log_every == 0:
                report(
                    Progress(
                        state, {"denoising": value}, config.rate(state.seen), config.batch / elapsed, flops_per_s=0.0
                    )
                )
            if state.seen >= config.samples or asked or now - last_saved > config.checkpoint_s:
                save_checkpoint(run, model, average, optimizer, state, config.keep)
                last_saved = now
            if asked and state.seen < config.samples:
                raise StopRequested(stop_message(state.seen, config.samples))
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(average[name])
    return model.eval()


def _step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    condition: Callable[[torch.Generator], tuple[Tensor, AnyCondition]],
    loss_of: DenoisingLoss,
    config: DenoisingConfig,
    state: Counters,
) -> float:
    """One step: condition, noise, loss, clipped update, counters."""
    seed = seed_of(config.seed, state.step)
    torch.manual_seed(seed)  # dropout
    rng = torch.Generator().manual_seed(seed)
    for group in optimizer.param_groups:
        group["lr"] = config.rate(state.seen)
    clean, conditions = condition(rng)
    count = len(clean) * config.levels
    dropped = (torch.rand(count, generator=rng) < config.drop).to(clean.device)
    clean = clean.repeat_interleave(config.levels, dim=0)
    noise = torch.randn(clean.shape, generator=rng).to(clean)
    sigma = config.noise.draw(count, rng).to(clean)
    network: Any = model
    with torch.autocast(clean.device.type, torch.bfloat16, enabled=config.bf16):
        loss = loss_of(network, clean, noise, sigma, conditions.repeated(config.levels).without(dropped)).mean()
    if not bool(loss.isfinite()):
        raise TrainingStopped(
            f"the denoising loss is {float(loss.detach())} at step {state.step}; lower the learning rate"
        )
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
    optimizer.step()
    state.step += 1
    state.seen += config.batch
    return float(loss.detach())


def _optimizer(model: nn.Module, config: DenoisingConfig) -> torch.optim.AdamW:
    """AdamW without weight decay of biases, norms and embeddings."""
    named = trained_parameters(model).items()
    decayed = [p for n, p in named if p.ndim >= 2 and n.endswith("weight")]
    rest = [p for n, p in named if not (p.ndim >= 2 and n.endswith("weight"))]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": rest, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.99), fused=True)
