"""Training denoisers: the reconstruction model stays as it is and tells what it sees in each photo.

Checkpoints, averaged weights and the way a run goes on are those of ``train.loop``.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from humanlrm.diffusion.latent.condition import condition_of, fitted
from humanlrm.diffusion.process import NoiseLevels, denoising_loss
from humanlrm.model.denoiser import Denoiser, DenoiserCondition, TriplaneCondition
from humanlrm.model.denoiser_config import DenoiserConfig
from humanlrm.model.paper import PaperLRM
from humanlrm.model.pose_denoiser import PoseDenoiser
from humanlrm.train.checkpoint import Counters, list_checkpoints, load_checkpoint, save_checkpoint, trained_parameters
from humanlrm.train.hooks import Progress
from humanlrm.train.latent.pairs import Pair, Pairs, collate_pairs
from humanlrm.train.latent.targets import LatentFolder, write_latents
from humanlrm.train.stop import TrainingStopped, catch_stop_signals, stop_message

Item = TypeVar("Item")
AnyDenoiser = TypeVar("AnyDenoiser", Denoiser, PoseDenoiser)


@dataclass(frozen=True)
class DiffuseConfig:
    """A training run of a denoiser.

    Attributes:
        samples: photos to see in all; the learning rate falls over the last quarter of them.
        batch: photos per step.
        levels: noise levels that each photo is trained at: the encoder, which looks once, costs more than the denoiser.
        learning_rate: of AdamW after warm-up.
        weight_decay: of AdamW, on matrices only.
        warmup: photos until the learning rate is reached.
        clip: largest norm of the gradient.
        ema: decay per step of the averaged weights, which are the ones that sample.
        seed: of initial weights, noise and dropped conditions.
        drop: share of the photos of which the denoiser is told nothing (classifier-free guidance).
        noise: which noise levels are drawn.
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


def distil(
    denoiser_config: DenoiserConfig,
    config: DiffuseConfig,
    student: PaperLRM,
    teacher: PaperLRM,
    data: Path,
    latents: Path,
    run: Path,
    report: Callable[[Progress], None] | None = None,
    workers: int = 1,
    views: int = 4,
) -> Denoiser:
    """From shards to a denoiser: the teacher's latents where they are not written yet, their statistics, training.

    Args:
        denoiser_config: a preset; sizes of the latents and their statistics are filled in.
        student: tells what a single photo shows.
        teacher: makes the latents and decodes samples; it may be the same model.
        latents: folder of the teacher's latents.
        views: that the teacher sees of each person.

    Raises:
        ShardError, LatentError: data or latents that are missing, damaged or of another teacher.
        ValueError: models that do not share a latent triplane, or cannot complete anybody.
        CheckpointError, TrainingStopped: as :func:`train_denoiser`.
    """
    sizes = [(m.config.bottleneck, m.config.plane_side) for m in (student, teacher)]
    if sizes[0] != sizes[1]:
        raise ValueError(f"student and teacher must share a latent triplane; (channels, side) are {sizes}")
    filled = fitted(denoiser_config, student)
    fitted(denoiser_config, teacher)
    write_latents(teacher, data, latents, views)
    cached = LatentFolder(latents, teacher)
    mean, scale = cached.statistics()
    pairs = Pairs(data, cached, student.config.image_px, config.seed)
    return train_denoiser(replace(filled, mean=mean, scale=scale), config, student, pairs, run, report, workers)


def train_denoiser(
    denoiser_config: DenoiserConfig,
    config: DiffuseConfig,
    lrm: PaperLRM,
    pairs: Dataset[Pair],
    run: Path,
    report: Callable[[Progress], None] | None = None,
    workers: int = 1,
) -> Denoiser:
    """Trains until ``config.samples`` photos are seen; goes on from the newest checkpoint of ``run`` if there is one.

    Args:
        lrm: whose latents these are, on the device to train on; with one view it is the student.
        pairs: by the running number of the sample (``train.latent.pairs.Pairs``).

    Returns:
        the denoiser with the averaged weights, in evaluation mode.

    Raises:
        CheckpointError: the run is one of another denoiser.
        TrainingStopped: the loss became infinite or NaN.
    """
    lrm = lrm.eval()
    device = next(lrm.parameters()).device
    torch.manual_seed(config.seed)
    model = Denoiser(denoiser_config).to(device).train()

    def stream(seen: int) -> Iterable[Pair]:
        # Sample n is the same however often the run was interrupted.
        order = range(seen, seen + config.batch * -((seen - config.samples) // config.batch))
        return DataLoader(pairs, config.batch, sampler=order, collate_fn=collate_pairs, num_workers=workers)  # pyright: ignore[reportArgumentType]

    def conditioned(pair: Pair, rng: torch.Generator) -> tuple[Tensor, TriplaneCondition]:
        pair = pair.to(device)
        return model.normalised(pair.latent), condition_of(lrm, model, pair.inputs)[0]

    return run_denoising(model, config, stream, conditioned, run, report)


def run_denoising(
    model: AnyDenoiser,
    config: DiffuseConfig,
    stream: Callable[[int], Iterable[Item]],
    condition_of: Callable[[Item, torch.Generator], tuple[Tensor, DenoiserCondition]],
    run: Path,
    report: Callable[[Progress], None] | None = None,
) -> AnyDenoiser:
    """The loop of every denoiser: until ``config.samples`` photos are seen, from the newest checkpoint of ``run``.

    Args:
        model: on the device to train on.
        stream: batches of ``config.batch`` photos from running number ``seen`` to the end.
        condition_of: of a batch, what is diffused (of deviation 1) and the condition.

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
            loss = _step(model, optimizer, lambda rng, batch=batch: condition_of(batch, rng), config, state)
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
                        state, {"denoising": loss}, config.rate(state.seen), config.batch / elapsed, flops_per_s=0.0
                    )
                )
            if state.seen >= config.samples or asked or now - last_saved > config.checkpoint_s:
                save_checkpoint(run, model, average, optimizer, state, config.keep)
                last_saved = now
            if asked and state.seen < config.samples:
                raise TrainingStopped(stop_message(state.seen, config.samples))
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(average[name])
    return model.eval()


def _step(
    model: AnyDenoiser,
    optimizer: torch.optim.Optimizer,
    condition_of: Callable[[torch.Generator], tuple[Tensor, DenoiserCondition]],
    config: DiffuseConfig,
    state: Counters,
) -> float:
    """One step: what the photos show, noise, loss, clipped update, counters."""
    seed = (config.seed << 32) + state.step
    torch.manual_seed(seed)  # dropout
    rng = torch.Generator().manual_seed(seed)
    for group in optimizer.param_groups:
        group["lr"] = config.rate(state.seen)
    clean, condition = condition_of(rng)
    count = len(clean) * config.levels
    dropped = (torch.rand(count, generator=rng) < config.drop).to(clean.device)
    clean = clean.repeat_interleave(config.levels, dim=0)
    noise = torch.randn(clean.shape, generator=rng).to(clean)
    sigma = config.noise.draw(count, rng).to(clean)
    loss = denoising_loss(model, clean, noise, sigma, condition.repeated(config.levels).without(dropped)).mean()
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


def _optimizer(model: nn.Module, config: DiffuseConfig) -> torch.optim.AdamW:
    """AdamW; biases, norms and embeddings do not decay."""
    named = trained_parameters(model).items()
    decayed = [p for n, p in named if p.ndim >= 2 and n.endswith("weight")]
    rest = [p for n, p in named if not (p.ndim >= 2 and n.endswith("weight"))]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": rest, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.99), fused=True)
