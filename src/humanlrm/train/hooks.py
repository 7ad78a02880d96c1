"""Hooks of the training loop: checkpoints, losses and throughput, validation, pictures."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from humanlrm.data.dataset import SampleSettings, TrainingDataset
from humanlrm.data.shards import ShardFolder
from humanlrm.model.lrm import HumanLRM
from humanlrm.train.checkpoint import Counters, save_checkpoint
from humanlrm.train.loop import Hook, Step
from humanlrm.train.losses import compute_losses
from humanlrm.train.pictures import Pictures, draw_pictures
from humanlrm.train.setup import TrainState
from humanlrm.train.throughput import step_flops
from humanlrm.views import collate

_VALIDATION_SAMPLES = 64


class SaveCheckpoints(Hook):
    """Save every ``config.log.checkpoint_s`` seconds, and at the end."""

    def __init__(self) -> None:
        self._saved_s = time.monotonic()
        self._is_saved = True

    def after_step(self, state: TrainState, step: Step) -> None:
        self._is_saved = False
        if step.ended_s - self._saved_s > state.config.log.checkpoint_s:
            self.finish(state)
            self._saved_s = step.ended_s

    def finish(self, state: TrainState) -> None:
        if not self._is_saved:
            model, density = state.objective.model, state.objective.density
            save_checkpoint(
                state.run, model, state.average, state.optimizer, state.counters, state.config.log.keep, density
            )
            self._is_saved = True


@dataclass(frozen=True)
class Progress:
    """Numbers of a report.

    Attributes:
        counters: place in the run.
        losses: unweighted losses of the last step, of the first process.
        rate: learning rate.
        samples_per_s: of all processes, since the last report.
        flops_per_s: operations of the first process per second, since the last report.
    """

    counters: Counters
    losses: dict[str, float]
    rate: float
    samples_per_s: float
    flops_per_s: float


class ReportProgress(Hook):
    """Report losses and throughput every ``config.log.log_every`` steps, and at the end.

    Args:
        flops: count the operations of a step; torch's counter fails on the latent denoiser.
    """

    def __init__(self, report: Callable[[Progress], None], flops: bool = True) -> None:
        self._report = report
        self._steps, self._since_s = 0, time.monotonic()
        self._flops: float | None = None if flops else 0.0

    def after_step(self, state: TrainState, step: Step) -> None:
        self._steps += 1
        config, counters = state.config, state.counters
        if counters.step % config.log.log_every and state.progress < 1:
            return
        if self._flops is None:
            self._flops = step_flops(state.objective, step.batch, state.progress, config.accumulate)
        steps_per_s = self._steps / (step.ended_s - self._since_s)
        samples_per_s, flops_per_s = state.samples_per_step * steps_per_s, self._flops * steps_per_s
        self._report(Progress(counters, step.losses, state.rate, samples_per_s, flops_per_s))
        self._steps, self._since_s = 0, time.monotonic()


class Validate(Hook):
    """Validate the averaged weights every ``config.log.validate_every`` steps.

    Args:
        report: takes the number of samples seen and the mean losses by name.
    """

    def __init__(self, data: ShardFolder, report: Callable[[int, dict[str, float]], None]) -> None:
        self._data, self._report = data, report

    def after_step(self, state: TrainState, step: Step) -> None:
        if state.counters.step % state.config.log.validate_every == 0:
            self._report(state.counters.seen, validate(state.averaged_model(), self._data))


class DrawPictures(Hook):
    """Draw pictures of the averaged weights every ``config.log.picture_every`` steps.

    Args:
        report: takes the number of samples seen and the pictures.
    """

    def __init__(self, report: Callable[[int, Pictures], None]) -> None:
        self._report = report

    def after_step(self, state: TrainState, step: Step) -> None:
        if state.counters.step % state.config.log.picture_every == 0:
            model = state.averaged_model().cpu()
            self._report(state.counters.seen, draw_pictures(model, step.batch, size_px=state.config.log.picture_px))


@torch.no_grad()
def validate(model: HumanLRM, data: ShardFolder, count: int = _VALIDATION_SAMPLES) -> dict[str, float]:
    """Compute mean losses over the first views of a folder, without augmentation."""
    settings = SampleSettings(augment=False, image_px=model.config.image_px)
    samples = TrainingDataset(data, settings, seed=0)
    count = min(count, len(samples))
    means: dict[str, float] = {}
    device = next(model.parameters()).device
    for index in range(count):
        for name, loss in compute_losses(model, collate([samples[index]]).to(device)).items():
            means[name] = means.get(name, 0.0) + float(loss) / count
    return means
