"""Set-up of a training run: model, losses, optimizer and processes, new or from the newest checkpoint."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from jaxtyping import Float
from torch import Tensor, nn

from humanlrm.data.dataset import TrainingDataset, batches
from humanlrm.data.shards import Mixture, ShardFolder
from humanlrm.model.config import Config
from humanlrm.model.history import check_goes_on, note, read_history, write_history
from humanlrm.model.lrm import HumanLRM, build
from humanlrm.model.pretrained import load_grown
from humanlrm.train.checkpoint import (
    Counters,
    list_checkpoints,
    load_checkpoint,
    load_initial_weights,
    trained_parameters,
)
from humanlrm.train.config import TrainConfig
from humanlrm.train.lift import FitProgress, fit_lifter
from humanlrm.train.objective import Objective, StepContext, TrainingObjective
from humanlrm.train.optimizer import averaged_model, make_optimizer
from humanlrm.train.processes import make_accelerator
from humanlrm.train.randomness import seed_of
from humanlrm.views import Batch

#: File of the lifter's fit in a run's folder.
_FIT = "lifter.safetensors"


@dataclass(frozen=True)
class TrainState:
    """A run between two steps: everything that a step uses or changes.

    Attributes:
        config: settings.
        run: folder of checkpoints.
        objective: the network, its losses and the renderer's density.
        wrapped: the objective as a step calls it; in several processes it averages their gradients.
        optimizer: AdamW.
        average: averaged values of the trained parameters, by name.
        counters: place in the run.
        accelerator: the processes.
    """

    config: TrainConfig
    run: Path
    objective: TrainingObjective
    wrapped: nn.Module
    optimizer: torch.optim.Optimizer
    average: dict[str, Tensor]
    counters: Counters
    accelerator: Accelerator

    @property
    def parameters(self) -> dict[str, nn.Parameter]:
        return trained_parameters(self.objective.model, self.objective.density)

    @property
    def samples_per_step(self) -> int:
        return self.config.batch * self.config.accumulate * self.accelerator.num_processes

    @property
    def progress(self) -> float:
        """Share of the run that is over, 1 or more at its end."""
        return self.config.progress(self.counters.seen, self.counters.seconds)

    @property
    def rate(self) -> float:
        """Learning rate of the next step."""
        return self.config.rate(self.counters.seen, self.counters.seconds)

    def averaged_model(self) -> Any:
        """Copy the network, with the averaged weights, in evaluation mode."""
        return averaged_model(self.objective.model, self.average)

    def context(self, micro_batch: int) -> StepContext:
        """Seed torch for a batch of the next step, and return its place in the run.

        All that is random (dropout, rendered pixels) depends on seed, step, process and batch alone, so that a resumed
        run goes on as if nothing had happened.
        """
        numbers = (self.config.seed, self.counters.step, self.accelerator.process_index, micro_batch)
        seed = seed_of(*numbers)
        torch.manual_seed(seed)
        every = self.config.rendering.patch_every if self.config.rendering is not None else 1
        return StepContext(self.progress, seed, patch=(self.counters.step + 1) % every == 0)


def setup(
    model_config: Config,
    config: TrainConfig,
    data: ShardFolder | Mixture,
    run: Path,
    figures: Float[np.ndarray, "N J 3"] | None = None,
    report_fit: Callable[[int, int], None] = lambda done, steps: None,
) -> TrainState:
    """Build a new run, or take up the newest checkpoint of ``run`` if there is one.

    Processes that torchrun started share every step. Then set-up and training need ``processes.own_group`` around them.

    Args:
        data: what is trained on; a new run fits the landmark lifter to it.
        run: folder of checkpoints.
        figures: people of whom the lifter learns, too; see ``train.lift.fit_lifter``.
        report_fit: called with the steps of the lifter's fit that are done, and all of them.

    Raises:
        ValueError: the encoder's weights are missing or of another network; or the run trained another part.
        CheckpointError: a checkpoint of another model, or a damaged one.
        StopRequested: SIGTERM or Ctrl-C came during the fit, which is saved.
    """
    torch.manual_seed(config.seed)
    saved = list_checkpoints(run)
    if saved:
        check_goes_on(run, config.part)
    model = build(model_config).train()
    if not saved:
        _initialize(model, config, data, figures, FitProgress(run / _FIT, report_fit))
    # Encoders of several views have parameters that a step may not use.
    has_unused = model.encoder.max_views > 1 or config.part != "all"
    state = take_up(Objective(model, config), config, folders_of(data), run, has_unused)
    if state.accelerator.is_main_process and config.initial is not None and not saved:
        write_history(run, read_history(config.initial))
    return state


def folders_of(data: ShardFolder | Mixture) -> list[Path]:
    """Folders of shards, as a run notes them."""
    return [folder.folder for folder, _ in data.parts]


def take_up(
    objective: TrainingObjective, config: TrainConfig, sources: Sequence[Path], run: Path, has_unused: bool = False
) -> TrainState:
    """Start to train a network, or go on from the newest checkpoint of ``run`` if there is one.

    Args:
        sources: folders of its data, to be noted.
        has_unused: a step may leave parameters without a gradient.

    Raises:
        CheckpointError: a checkpoint of another network, or a damaged one.
        ValueError: hours are given to several processes, whose clocks differ.
    """
    saved = list_checkpoints(run)
    objective = objective.to(config.device)
    model, density = objective.model, objective.density
    optimizer = make_optimizer(model, config, density)
    average = {name: p.detach().clone() for name, p in trained_parameters(model, density).items()}
    counters = load_checkpoint(saved[-1], model, average, optimizer, density) if saved else Counters()
    accelerator = make_accelerator(config.device, has_unused)
    if config.hours is not None and accelerator.num_processes > 1:
        raise ValueError(f"hours={config.hours} limit a run of one process, here are {accelerator.num_processes}")
    if accelerator.is_main_process:
        note(run, config.part, config.seed, list(sources))
    wrapped = accelerator.prepare_model(objective)
    return TrainState(config, run, objective, wrapped, optimizer, average, counters, accelerator)


def _initialize(
    model: HumanLRM,
    config: TrainConfig,
    data: ShardFolder | Mixture,
    figures: Float[np.ndarray, "N J 3"] | None,
    progress: FitProgress,
) -> None:
    """Load the weights that a new run starts from, or else fit its landmark lifter."""
    if config.encoder is not None:
        from humanlrm.model.view_encoder import load_weights  # the small family does not need it

        load_weights(model.encoder, config.encoder)
    if config.initial is not None:
        load_grown(model, load_initial_weights(config.initial), config.initial)
    elif model.landmark_head is not None:
        steps = min(config.steps.lifter_steps, config.samples)
        fit_lifter(model.landmark_head.lifter, data, steps, config.seed, figures, progress)


def training_batches(state: TrainState, data: ShardFolder | Mixture) -> Iterator[Batch]:
    """Draw batches without end from the place of the run. Process r of n takes samples r, r + n, ..."""
    config = state.config
    draw = replace(config.draw, image_px=state.objective.model.config.image_px)
    if config.rendering is not None:
        draw = replace(draw, target_views=config.rendering.views)
    start = state.counters.seen + state.accelerator.process_index
    stream = batches(
        TrainingDataset(data, draw, config.seed), config.batch, start, state.accelerator.num_processes, config.workers
    )
    for batch in stream:
        yield batch.to(torch.device(config.device))
