"""A training run as a process of its own: ``train_tiny.py DATA RUN SAMPLES BATCH [STEP]``; kills itself at STEP."""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from humanlrm.data.dataset import SampleSettings
from humanlrm.data.shards import Mixture, ShardFolder
from humanlrm.model.config import Config, tiny
from humanlrm.model.lrm import HumanLRM
from humanlrm.train.config import LogSettings, LossWeights, RenderSchedule, RenderStage, StepSettings, TrainConfig
from humanlrm.train.hooks import SaveCheckpoints
from humanlrm.train.loop import Hook, Step, train
from humanlrm.train.losses import compute_losses, weighted_sum
from humanlrm.train.processes import own_group
from humanlrm.train.setup import TrainState, setup, training_batches
from humanlrm.views import Batch

STAGE = RenderStage(render_px=32, rays=24, patch_px=16)
RENDERING = RenderSchedule(low=STAGE, high=replace(STAGE, render_px=64), patch_every=2)


def plan(samples: int, batch: int) -> TrainConfig:
    """Saves after every step."""
    return TrainConfig(
        samples=samples,
        batch=batch,
        workers=0,
        steps=StepSettings(warmup=1, lifter_steps=2),
        log=LogSettings(checkpoint_s=0, keep=20, log_every=1),
        draw=SampleSettings(24, 12),
    )


class Call(Hook):
    """Calls a function after every step."""

    def __init__(self, function: Callable[[TrainState], object]) -> None:
        self.function = function

    def after_step(self, state: TrainState, step: Step) -> None:
        self.function(state)


def run_training(
    model_config: Config, config: TrainConfig, data: Path | ShardFolder | Mixture, run: Path, hooks: Sequence[Hook] = ()
) -> HumanLRM:
    """Set up and train, with checkpoints; returns the averaged model."""
    shards = ShardFolder(data) if isinstance(data, Path) else data
    with own_group():
        state = setup(model_config, config, shards, run)
        train(state, training_batches(state, shards), [*hooks, SaveCheckpoints()])
    return state.averaged_model()


def numbers(model: HumanLRM, batch: Batch) -> dict[str, float]:
    """Losses of a batch by name."""
    return {name: float(loss.detach()) for name, loss in compute_losses(model, batch).items()}


def total_loss(model: HumanLRM, batch: Batch) -> torch.Tensor:
    return weighted_sum(compute_losses(model, batch), LossWeights())


if __name__ == "__main__":
    torch.set_num_threads(1)
    data, run, samples, batch, *kill_at = sys.argv[1:]

    def die(state: TrainState) -> None:
        if [str(state.counters.step)] == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    run_training(tiny(), plan(int(samples), int(batch)), Path(data), Path(run), [Call(die)])
    # A thread of a process group that is still at work while Python ends aborts the process.
    assert not [task for task in Path("/proc/self/task").glob("*/comm") if "gloo" in task.read_text(encoding="utf-8")]
