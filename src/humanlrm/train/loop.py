"""The training loop: one visible loop on ``accelerate``, for one process or many, resumable at any moment."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from jaxtyping import Float
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor

from humanlrm.data.dataset import SampleSettings, TrainingDataset, batches
from humanlrm.data.shards import Mixture, ShardFolder, folders_of
from humanlrm.model.config import Config, PaperConfig
from humanlrm.model.encoders import load_weights
from humanlrm.model.history import check_goes_on, note, read_history, write_history
from humanlrm.model.lrm import Model, build
from humanlrm.model.pretrained import load_grown
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
from humanlrm.train.objective import Objective, StepContext, objective
from humanlrm.train.pictures import Pictures, draw
from humanlrm.train.sharding import average_numbers, clip, own_group, split, split_like, whole
from humanlrm.train.stop import asked_to_stop
from humanlrm.train.throughput import step_flops
from humanlrm.views import Batch, collate

_VALIDATION_SAMPLES = 64
#: Share of the learning rate of parameters that were fitted, or trained on other pictures, before a run starts.
_SLOW = {".lifter.": 0.1, ".image_trunk.": 0.25}


class TrainingStopped(ValueError):
    """The loss or its gradient is no longer a number; the message says where the batch lies."""


@dataclass(frozen=True)
class Progress:
    """What is reported every few steps.

    Attributes:
        state: where the run stands.
        losses: unweighted terms of the last step, of the first process.
        rate: learning rate.
        samples_per_s: of all processes, since the last report.
        flops_per_s: operations of this process, since the last report.
        validation: if it was time for it.
        pictures: if it was time for them.
    """

    state: TrainerState
    losses: dict[str, float]
    rate: float
    samples_per_s: float
    flops_per_s: float
    validation: dict[str, float] | None = None
    pictures: Pictures | None = None


def make_optimizer(model: Model, config: TrainConfig, density: nn.Module | None = None) -> torch.optim.AdamW:
    """AdamW; biases, norms, embeddings, the prior's weight and the density's width do not decay. What is not
    new changes slowly: the pretrained eye, and the lifter, which is fitted before (at the rate of the rest it forgot 4%
    of what it had learned)."""
    sorts: dict[tuple[bool, float, bool], list[nn.Parameter]] = {}
    for name, parameter in trained(model, density).items():
        decays = parameter.ndim >= 2 and name.endswith("weight")
        share = next((share for part, share in _SLOW.items() if part in name), 1.0)
        # One kernel takes either parameters that are split over processes or whole ones.
        sorts.setdefault((decays, share, isinstance(parameter, DTensor)), []).append(parameter)
    groups = [
        {"params": own, "weight_decay": config.weight_decay * decays, "share": share}
        for (decays, share, _), own in sorts.items()
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.98), fused=True)


@dataclass(frozen=True)
class _Run:
    """What one training step needs."""

    accelerator: Accelerator
    objective: Objective
    wrapped: nn.Module
    optimizer: torch.optim.Optimizer
    average: dict[str, Tensor]
    config: TrainConfig
    folder: Path

    @property
    def parameters(self) -> dict[str, nn.Parameter]:
        return trained(self.objective.model, self.objective.density)

    @property
    def samples_per_step(self) -> int:
        return self.config.batch * self.config.accumulate * self.accelerator.num_processes


@own_group()
def train(
    model_config: Config,
    config: TrainConfig,
    data: Path | ShardFolder | Mixture,
    run: Path,
    validation: Path | None = None,
    report: Callable[[Progress], None] | None = None,
    workers: int = 1,
    device: str = "cpu",
    initial: Path | None = None,
    encoder: str | None = None,
    figures: Float[np.ndarray, "N J 3"] | None = None,
) -> Model:
    """Trains until ``config.samples`` are seen; goes on from the newest checkpoint of ``run`` if there is one.

    A new run starts from ``initial``, another run or a folder of exported weights, or else by fitting the landmark
    lifter (``figures``: see ``train.lift.fit_lifter``). The image encoder of a new run starts from ``encoder``, a hub
    id or a folder (only the paper's family; see ``model.encoders.load_weights``). On SIGTERM or Ctrl-C the loop
    writes a checkpoint and returns early.

    Processes that torchrun started share every step; together they take the samples that one process would take with
    a batch so many times as large.

    Returns:
        the model with the averaged weights.

    Raises:
        ShardError: no readable data.
        ValueError: the encoder's weights cannot be had, or are another network's; or the run trained another part.
        TrainingStopped: loss or gradient became infinite or NaN.
    """
    threads = torch.get_num_threads()
    torch.manual_seed(config.seed)
    shards = ShardFolder(data) if isinstance(data, Path) else data
    saved = checkpoints(run)
    if saved:
        check_goes_on(run, config.part)
    model = build(model_config).train()
    if encoder is not None and not saved:
        load_weights(model.encoder, encoder)
    if initial is not None and not saved:
        load_grown(model, initial_weights(initial), initial)
    elif not saved and model.landmark_head is not None:
        steps = min(config.lifter_steps, config.samples)
        fit_lifter(model.landmark_head.lifter, shards, steps, config.seed, figures)
    losses = Objective(model, config).to(device)
    optimizer = make_optimizer(model, config, losses.density)
    average = {name: p.detach().clone() for name, p in trained(model, losses.density).items()}
    state = TrainerState()
    if saved:
        state = load_checkpoint(saved[-1], model, average, optimizer, losses.density)
    accelerator = _accelerator(device, model_config, config)
    if accelerator.is_main_process:
        if initial is not None and not saved:
            write_history(run, read_history(initial))
        note(run, config.part, config.seed, [part.folder for part, _ in folders_of(shards)])
    sharded = config.sharded and accelerator.num_processes > 1
    torch.set_num_threads(threads)  # accelerate decides on a number of its own
    stream = _stream(shards, model_config, config, state, accelerator, workers)
    flops = 0.0
    if report is not None and state.seen < config.samples:
        first = next(stream)
        flops = step_flops(losses, first.to(torch.device(device)), state.seen / config.samples, config.accumulate)
        stream = _before(first, stream)
    if sharded:
        optimizer = _split(losses, optimizer, average, config, accelerator)
    wrapped = losses if sharded else accelerator.prepare_model(losses)
    going = _Run(accelerator, losses, wrapped, optimizer, average, config, run)
    last_saved = last_reported = started = time.monotonic()
    saved_step = reported_step = state.step
    with asked_to_stop() as asked:
        while state.seen < config.samples and not _any(asked, accelerator):
            micro = [next(stream).to(torch.device(device)) for _ in range(config.accumulate)]
            terms = _step(going, micro, state)
            now = time.monotonic()
            state.seconds, started = state.seconds + (now - started) * accelerator.num_processes, now
            due = state.step % config.log_every == 0 or state.seen >= config.samples
            if report is not None and due and (accelerator.is_main_process or sharded):
                steps_per_s = (state.step - reported_step) / (now - last_reported)
                progress = _progress(going, state, terms, steps_per_s, flops, micro[0], validation)
                if accelerator.is_main_process:
                    report(progress)
                last_reported, reported_step = time.monotonic(), state.step
            late = [1] if accelerator.is_main_process and now - last_saved > config.checkpoint_s else []
            if _any(late, accelerator) if sharded else late:
                _save(going, state)
                last_saved, saved_step = now, state.step
        if state.step != saved_step and (accelerator.is_main_process or sharded):
            _save(going, state)
    return averaged(model, average)


def _save(run: _Run, state: TrainerState) -> None:
    """By the first process; a split model is gathered from all."""
    model, density, keep = run.objective.model, run.objective.density, run.config.keep
    write = run.accelerator.is_main_process
    save_checkpoint(run.folder, model, run.average, run.optimizer, state, keep, density, write)


def _split(
    losses: Objective,
    optimizer: torch.optim.Optimizer,
    average: dict[str, Tensor],
    config: TrainConfig,
    accelerator: Accelerator,
) -> torch.optim.AdamW:
    """Splits the model and its averages in place; returns the optimiser of the split parameters, with the moments."""
    before = {name: optimizer.state.get(p, {}) for name, p in trained(losses.model, losses.density).items()}
    split(losses, accelerator.device.type, accelerator.num_processes)
    found = make_optimizer(losses.model, config, losses.density)
    for name, parameter in trained(losses.model, losses.density).items():
        average[name] = split_like(average[name], parameter)
        moments = {
            key: value if value.ndim == 0 else split_like(value, parameter) for key, value in before[name].items()
        }
        if moments:
            found.state[parameter] = moments
    return found


def _accelerator(device: str, model: Config, config: TrainConfig) -> Accelerator:
    """Buffers are frozen and need no broadcast; the paper's encoders have parameters that a step may not use."""
    unused = isinstance(model, PaperConfig) or config.part != "all"
    options = DistributedDataParallelKwargs(broadcast_buffers=False, find_unused_parameters=unused)
    return Accelerator(cpu=device == "cpu", kwargs_handlers=[options])


def _stream(
    shards: ShardFolder | Mixture,
    model_config: Config,
    config: TrainConfig,
    state: TrainerState,
    accelerator: Accelerator,
    workers: int,
) -> Iterator[Batch]:
    """Samples are dealt out in turn: process r of n takes samples r, r + n, ... of the common order."""
    draw = replace(config.draw, image_px=model_config.image_px)
    if config.rendering is not None:
        draw = replace(draw, target_views=config.rendering.views)
    samples = TrainingDataset(shards, draw, config.seed)
    start = state.seen + accelerator.process_index
    return iter(batches(samples, config.batch, start, accelerator.num_processes, workers))


def _before(first: Batch, rest: Iterator[Batch]) -> Iterator[Batch]:
    yield first
    yield from rest


def _any(asked: list[int], accelerator: Accelerator) -> bool:
    """Whether any process was asked to stop: all stop after the same step, or one would wait for the others."""
    if accelerator.num_processes > 1:
        flag = torch.tensor(float(bool(asked)), device=accelerator.device)
        if float(accelerator.reduce(flag, "sum")) > 0 and not asked:  # pyright: ignore[reportArgumentType]
            asked.append(signal.SIGTERM)
    return bool(asked)


def _step(run: _Run, micro: list[Batch], state: TrainerState) -> dict[str, float]:
    """One step: losses and gradients of its batches, clipped update, averaged weights, counters. Returns mean terms.

    All that is random (dropout, rendered pixels) depends on seed, step, process and batch alone, so that a resumed run
    goes on as if nothing had happened.
    """
    config, accelerator = run.config, run.accelerator
    for group in run.optimizer.param_groups:
        group["lr"] = config.rate(state.seen) * group["share"]
    every = config.rendering.patch_every if config.rendering is not None else 1
    sums: dict[str, float] = {}
    doubtful = micro[-1]
    run.optimizer.zero_grad()
    for k, batch in enumerate(micro):
        seed = _seed(config.seed, state.step, accelerator.process_index, k)
        torch.manual_seed(seed)
        context = StepContext(state.seen / config.samples, seed, patch=(state.step + 1) % every == 0)
        # Gradients are averaged over the processes once per step.
        last = k + 1 == len(micro)
        if isinstance(run.wrapped, FSDPModule):
            run.wrapped.set_requires_gradient_sync(last)
        quiet = accelerator.no_sync(run.wrapped) if not last else nullcontext()
        with quiet:
            loss, terms = run.wrapped(batch, context)
            accelerator.backward(loss / len(micro))
        doubtful = doubtful if bool(loss.isfinite()) else batch
        for name, value in terms.items():
            sums[name] = sums.get(name, 0.0) + float(value) / len(micro)
    if isinstance(run.wrapped, FSDPModule):
        average_numbers(run.wrapped, accelerator.num_processes)
        norm = clip(run.parameters.values(), config.clip)
    else:
        norm = torch.nn.utils.clip_grad_norm_(run.parameters.values(), config.clip)
    if not bool(norm.isfinite()):  # every process knows: the gradient is everyone's
        path = _keep(doubtful, run.folder, accelerator.process_index)
        raise TrainingStopped(f"loss or gradient is not finite at step {state.step}: {sums}; batch in {path}")
    run.optimizer.step()
    state.step += 1
    state.seen += run.samples_per_step
    decay = min(config.ema, (1 + state.step) / (10 + state.step))
    with torch.no_grad():
        for name, parameter in run.parameters.items():
            run.average[name].lerp_(parameter, 1 - decay)
    return sums


def _seed(*numbers: int) -> int:
    """One seed of several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def _progress(
    run: _Run,
    state: TrainerState,
    terms: dict[str, float],
    steps_per_s: float,
    flops: float,
    batch: Batch,
    validation: Path | None,
) -> Progress:
    """With validation and pictures, if it is time for them."""
    config = run.config
    measured = drawn = None
    if validation is not None and state.step % config.validate_every == 0:
        measured = validate(averaged(run.objective.model, run.average), ShardFolder(validation))
    if state.step % config.picture_every == 0:
        drawn = draw(averaged(run.objective.model, run.average).cpu(), batch, size_px=config.picture_px)
    rate = config.rate(state.seen)
    return Progress(state, terms, rate, run.samples_per_step * steps_per_s, flops * steps_per_s, measured, drawn)


def _keep(batch: Batch, run: Path, process: int) -> Path:
    """Writes a batch: the given view under its own names, the truth under ``wanted.``."""

    def tensors(part: Any, name: str) -> dict[str, Tensor]:
        if isinstance(part, Tensor):
            return {name: part.contiguous()}
        parts = [] if part is None else [(getattr(part, f.name), f.name) for f in fields(part)]
        return {k: v for value, own in parts for k, v in tensors(value, f"{name}.{own}" if name else own).items()}

    run.mkdir(parents=True, exist_ok=True)
    path = run / ("not-finite.safetensors" if process == 0 else f"not-finite-{process}.safetensors")
    save_file(tensors(batch.inputs, "") | tensors(batch.supervision, "wanted"), path)
    return path


def averaged(model: Model, average: dict[str, Tensor]) -> Model:
    """A copy of the model that holds the averaged weights, in evaluation mode."""
    copy = build(model.config).to(next(model.parameters()).device)
    with torch.no_grad():
        for name, parameter in trained(copy).items():
            parameter.copy_(whole(average[name]))
    return copy.eval()


@torch.no_grad()
def validate(model: Model, shards: ShardFolder, count: int = _VALIDATION_SAMPLES) -> dict[str, float]:
    """Mean loss terms over the first views of a folder, without augmentation."""
    settings = SampleSettings(augment=False, image_px=model.config.image_px)
    fixed = TrainingDataset(shards, settings, seed=0)
    count = min(count, len(fixed))
    sums: dict[str, float] = {}
    device = next(model.parameters()).device
    for i in range(count):
        for name, value in objective(model, collate([fixed[i]]).to(device)).numbers().items():
            sums[name] = sums.get(name, 0.0) + value / count
    return sums
