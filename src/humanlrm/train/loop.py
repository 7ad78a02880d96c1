"""The training loop: one visible loop, one process or several with averaged gradients, resumable at any moment."""

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors.torch import save_file
from torch import Tensor

from humanlrm.data.loader import SampleSettings, Samplings, batches
from humanlrm.data.shards import ShardFolder
from humanlrm.model.config import Config
from humanlrm.model.encoders import load_weights
from humanlrm.model.lrm import Model, build
from humanlrm.model.pretrained import load_tensors
from humanlrm.train.checkpoint import (
    TrainerState,
    checkpoints,
    initial_weights,
    load_checkpoint,
    save_checkpoint,
    trained,
)
from humanlrm.train.config import TrainConfig
from humanlrm.train.lift import fit_lifter
from humanlrm.train.objective import LossTerms, objective
from humanlrm.views import Batch, collate

_VALIDATION_SAMPLES = 64


class TrainingStopped(ValueError):
    """The loss is no longer a number; the message says where the batch lies."""


@dataclass(frozen=True)
class Progress:
    """What is reported every few steps."""

    state: TrainerState
    losses: dict[str, float]
    rate: float
    samples_per_s: float
    validation: dict[str, float] | None = None


@dataclass(frozen=True)
class _Group:
    """This process among those that torchrun started (one, if it did not)."""

    rank: int
    size: int

    @classmethod
    def join(cls) -> "_Group":
        size = int(os.environ.get("WORLD_SIZE", "1"))
        if size > 1 and not dist.is_initialized():
            dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
        return cls(int(os.environ.get("RANK", "0")), size)

    def average_gradients(self, parameters: list[torch.nn.Parameter]) -> None:
        if self.size == 1:
            return
        flat = torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])
        dist.all_reduce(flat)
        parts = flat.div_(self.size).split([p.numel() for p in parameters if p.grad is not None])
        for parameter, part in zip((p for p in parameters if p.grad is not None), parts, strict=True):
            parameter.grad = part.view_as(parameter)


def make_optimizer(model: Model, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW; biases, norms, embeddings and the prior's weight do not decay."""
    parameters = trained(model)
    decayed = [p for n, p in parameters.items() if p.ndim >= 2 and n.endswith("weight")]
    rest = [p for n, p in parameters.items() if not (p.ndim >= 2 and n.endswith("weight"))]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": rest, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.98), fused=True)


def train(
    model_config: Config,
    config: TrainConfig,
    data: Path,
    run: Path,
    validation: Path | None = None,
    report: Callable[[Progress], None] | None = None,
    workers: int = 1,
    device: str = "cpu",
    initial: Path | None = None,
    encoder: str | None = None,
) -> Model:
    """Trains until ``config.samples`` are seen; goes on from the newest checkpoint of ``run`` if there is one.

    A new run starts from ``initial``, another run or a folder of exported weights, or else by fitting the landmark
    lifter. A new run's image encoder starts from ``encoder``, a hub id or a folder (only the paper's family; see
    ``model.encoders.load_weights``). On SIGTERM the loop writes a checkpoint and returns early.

    Returns:
        the model with the averaged weights.

    Raises:
        ShardError: no readable data.
        ValueError: the encoder's weights cannot be had, or are another network's.
        TrainingStopped: the loss became infinite or NaN.
    """
    asked_to_stop, group = _on_sigterm(), _Group.join()
    torch.manual_seed(config.seed)
    shards, saved = ShardFolder(data), checkpoints(run)
    model = build(model_config).train()
    if encoder is not None and not saved:
        load_weights(model.encoder, encoder)
    if initial is not None:
        load_tensors(model, initial_weights(initial), initial)
    elif not saved and model.corrector is not None:
        fit_lifter(model.corrector.lifter, shards, min(config.lifter_steps, config.samples), config.seed)
    model = model.to(device)
    parameters = trained(model)
    average = {name: p.detach().clone() for name, p in parameters.items()}
    optimizer = make_optimizer(model, config)
    state = load_checkpoint(saved[-1], model, average, optimizer) if saved else TrainerState()
    draw = replace(config.draw, image_px=model_config.image_px)
    samples = Samplings(shards, draw, config.seed)
    # Samples are dealt out in turn: process r of n takes samples r, r + n, ... of the common order.
    stream = iter(batches(samples, config.batch, state.seen + group.rank, group.size, workers))
    last_saved = started = time.monotonic()
    while state.seen < config.samples and not asked_to_stop:
        batch = next(stream).to(torch.device(device))
        terms = _step(model, optimizer, average, batch, config, state, group, run)
        now = time.monotonic()
        rate = config.batch * group.size / (now - started)
        state.seconds, started = state.seconds + (now - started) * group.size, now
        if group.rank == 0 and report is not None and state.step % config.log_every == 0:
            measured = None
            if validation is not None and state.step % config.validate_every == 0:
                measured = validate(averaged(model, average), ShardFolder(validation))
            report(Progress(state, terms.numbers(), config.rate(state.seen), rate, measured))
        finished = state.seen >= config.samples or bool(asked_to_stop)
        if group.rank == 0 and (finished or now - last_saved > config.checkpoint_s):
            save_checkpoint(run, model, average, optimizer, state, config.keep)
            last_saved = now
    return averaged(model, average)


def _on_sigterm() -> list[int]:
    """A list that stays empty until the process is asked to end."""
    asked: list[int] = []
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    return asked


def _step(
    model: Model,
    optimizer: torch.optim.Optimizer,
    average: dict[str, Tensor],
    batch: Batch,
    config: TrainConfig,
    state: TrainerState,
    group: _Group,
    run: Path,
) -> LossTerms:
    """One step: loss, gradient, clipped update, averaged weights, counters. Dropout depends on seed and step alone, so
    that a resumed run goes on as if nothing had happened."""
    torch.manual_seed((config.seed * 1_000_003 + state.step) * group.size + group.rank)
    for parameters in optimizer.param_groups:
        parameters["lr"] = config.rate(state.seen)
    terms = objective(model, batch)
    loss = terms.total(config.weights)
    if not bool(loss.isfinite()):
        raise TrainingStopped(
            f"loss is {float(loss)} at step {state.step}: {terms.numbers()}; batch in {_keep(batch, run)}"
        )
    optimizer.zero_grad()
    loss.backward()
    parameters = trained(model)
    group.average_gradients(list(parameters.values()))
    torch.nn.utils.clip_grad_norm_(parameters.values(), config.clip)
    optimizer.step()
    state.step += 1
    state.seen += config.batch * group.size
    decay = min(config.ema, (1 + state.step) / (10 + state.step))
    with torch.no_grad():
        for name, parameter in parameters.items():
            average[name].lerp_(parameter, 1 - decay)
    return terms


def _keep(batch: Batch, run: Path) -> Path:
    run.mkdir(parents=True, exist_ok=True)
    path = run / "not-finite.safetensors"
    parts = {**vars(batch.given), **{f"wanted.{k}": v for k, v in vars(batch.wanted).items()}}
    save_file({k: v.contiguous() for k, v in parts.items()}, path)
    return path


def averaged(model: Model, average: dict[str, Tensor]) -> Model:
    """A copy of the model that holds the averaged weights, in evaluation mode."""
    copy = build(model.config).to(next(model.parameters()).device)
    with torch.no_grad():
        for name, parameter in trained(copy).items():
            parameter.copy_(average[name])
    return copy.eval()


@torch.no_grad()
def validate(model: Model, shards: ShardFolder, count: int = _VALIDATION_SAMPLES) -> dict[str, float]:
    """Mean loss terms over the first views of a folder, without augmentation."""
    settings = SampleSettings(augment=False, image_px=model.config.image_px)
    fixed = Samplings(shards, settings, seed=0)
    count = min(count, len(fixed))
    sums: dict[str, float] = {}
    for i in range(count):
        for name, value in objective(model, collate([fixed[i]])).numbers().items():
            sums[name] = sums.get(name, 0.0) + value / count
    return sums
