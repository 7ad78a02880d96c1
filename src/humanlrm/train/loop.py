"""The training loop, for one process or many, resumable after every step."""

import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from humanlrm.train.optimizer import update_average
from humanlrm.train.processes import computing_clock, share_stop
from humanlrm.train.setup import TrainState
from humanlrm.train.stop import TrainingStopped, catch_stop_signals
from humanlrm.views import Batch


@dataclass(frozen=True)
class Step:
    """A step that was taken.

    Attributes:
        losses: unweighted losses by name, mean over the batches of the first process.
        batch: the first batch.
        ended_s: time of its end, of a clock that never goes back.
    """

    losses: dict[str, float]
    batch: Any
    ended_s: float


class Hook:
    """Something that is done beside training: logs, checkpoints, validation, pictures. Only the first process does it.

    Hooks are called in their order, and may raise: the run then ends as it is.
    """

    def after_step(self, state: TrainState, step: Step) -> None:
        """Called after every step."""

    def finish(self, state: TrainState) -> None:
        """Called once, when all samples are seen or the run is asked to stop."""


def train(state: TrainState, batches: Iterator[Any], hooks: Sequence[Hook]) -> None:
    """Train until ``config.samples`` are seen or ``config.hours`` are spent.

    On SIGTERM or Ctrl-C the loop ends after its step.

    Processes that torchrun started share every step; together they take the samples that one process would take with
    a batch so many times as large.

    Args:
        batches: from the place of the run on, e.g. ``setup.training_batches``; on the device, as the objective takes
            them.

    Raises:
        ShardError: unreadable data.
        TrainingStopped: loss or gradient became infinite or NaN.
    """
    config, accelerator, counters = state.config, state.accelerator, state.counters
    clock = computing_clock(config.device)
    started_s = clock()
    with catch_stop_signals() as signals:
        while state.progress < 1 and not share_stop(signals, accelerator):
            micro_batches = [next(batches) for _ in range(config.accumulate)]
            losses: dict[str, float] = {}
            suspect = micro_batches[-1]
            for group in state.optimizer.param_groups:
                group["lr"] = state.rate * group["share"]
            state.optimizer.zero_grad()
            for k, batch in enumerate(micro_batches):
                # Gradients are averaged over the processes once per step, with the last batch.
                is_last = k + 1 == config.accumulate
                with nullcontext() if is_last else accelerator.no_sync(state.wrapped):
                    loss, terms = state.wrapped(batch, state.context(k))
                    accelerator.backward(loss / config.accumulate)
                suspect = suspect if bool(loss.isfinite()) else batch
                for name, value in terms.items():
                    losses[name] = losses.get(name, 0.0) + float(value) / config.accumulate
            norm = torch.nn.utils.clip_grad_norm_(state.parameters.values(), config.steps.clip)
            if not bool(norm.isfinite()):  # in every process: the gradient is everyone's
                path = _keep(suspect, state.run, accelerator.process_index)
                raise TrainingStopped(
                    f"loss or gradient is not finite at step {counters.step}: {losses}; batch in {path}"
                )
            state.optimizer.step()
            counters.step += 1
            counters.seen += state.samples_per_step
            update_average(state.average, state.parameters, config.steps.ema, counters.step)
            now_s = clock()
            counters.seconds += (now_s - started_s) * accelerator.num_processes
            started_s = now_s
            for hook in hooks if accelerator.is_main_process else ():
                hook.after_step(state, Step(losses, micro_batches[0], time.monotonic()))
        for hook in hooks if accelerator.is_main_process else ():
            hook.finish(state)


def _keep(batch: Any, run: Path, process: int) -> Path:
    """Write a batch: inputs under their own names, the supervision of our models under ``wanted.``."""

    def flatten(part: Any, name: str) -> dict[str, Tensor]:
        if isinstance(part, Tensor):
            return {name: part.contiguous()}
        members = [(f.name, getattr(part, f.name)) for f in fields(part)] if is_dataclass(part) else []
        members += list(zip(getattr(part, "_fields", ()), part, strict=True)) if isinstance(part, tuple) else []
        return {k: v for key, value in members for k, v in flatten(value, f"{name}.{key}" if name else key).items()}

    run.mkdir(parents=True, exist_ok=True)
    path = run / ("not-finite.safetensors" if process == 0 else f"not-finite-{process}.safetensors")
    parts = {"": batch.inputs, "wanted": batch.supervision} if isinstance(batch, Batch) else {"": batch}
    save_file({k: v for name, part in parts.items() for k, v in flatten(part, name).items()}, path)
    return path
