"""Training of rivals by our loop, with a budget of time; and their runs, opened for the evaluation."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from humanlrm.data.shards import Mixture, ShardFolder
from humanlrm.files import read_json, sha256, write_text
from humanlrm.model.describe import count_parameters
from humanlrm.model.lrm import build
from humanlrm.model.pretrained import CheckpointError, with_weights
from humanlrm.rivals.hybrid import start_from_hmr
from humanlrm.rivals.kinds import RivalKind, kind_of
from humanlrm.rivals.rival import RivalObjective
from humanlrm.train.checkpoint import Counters, list_checkpoints, load_averaged_weights
from humanlrm.train.config import TrainConfig
from humanlrm.train.loop import Hook, train
from humanlrm.train.processes import computing_clock, own_group
from humanlrm.train.setup import TrainState, folders_of, setup, take_up, training_batches
from humanlrm.train.stop import StopRequested, stop_message

_RECORD = "rival.json"


@dataclass(frozen=True)
class RivalRecord:
    """The record of a run of a rival, ``rival.json``.

    Attributes:
        name: of the rival.
        parameters: of the network, frozen ones included.
        trained: parameters that training changes.
        samples: seen until now.
        core_hours: hours of computing times processes, with the fit of our model's landmark lifter.
        finished: the run has used up its budget.
    """

    name: str
    parameters: int
    trained: int
    samples: int = 0
    core_hours: float = 0.0
    finished: bool = False


class RecordRival(Hook):
    """Writes the record of a run when it ends or is stopped."""

    def __init__(self, name: str) -> None:
        self.name = name

    def finish(self, state: TrainState) -> None:
        write_record(state, self.name)


def write_record(state: TrainState, name: str) -> RivalRecord:
    """Write ``rival.json`` of a run."""
    model, counters = state.objective.model, state.counters
    trained = sum(parameter.numel() for parameter in state.parameters.values())
    hours = counters.seconds / 3600
    record = RivalRecord(name, count_parameters(model), trained, counters.seen, hours, state.progress >= 1)
    write_text(state.run / _RECORD, json.dumps(asdict(record), indent=1) + "\n")
    return record


def read_record(run: Path) -> RivalRecord:
    """Read ``rival.json`` of a run.

    Raises:
        ValueError: the folder is no run of a rival, or the file is damaged.
    """
    try:
        return RivalRecord(**read_json(run / _RECORD))
    except TypeError as error:
        raise ValueError(f"{run / _RECORD} is no record of a rival ({error})") from error


def begin(
    name: str,
    plan: TrainConfig,
    data: ShardFolder | Mixture,
    run: Path,
    config: Any = None,
    initial: Path | None = None,
) -> TrainState:
    """Build a new run of a rival, or take up the newest checkpoint of ``run``.

    Args:
        plan: settings that all rivals share.
        config: sizes; ``None``: those of the rival.
        initial: run of the rival "hmr" from which a new run of "hybrid" takes its body.

    Raises:
        ValueError: an unknown rival, ``run`` trains another one, or ``initial`` for a rival that takes none.
        CheckpointError: a checkpoint of other sizes, or a damaged one.
    """
    kind = kind_of(name)
    if (run / _RECORD).is_file() and read_record(run).name != name:
        raise ValueError(f"{run} trains the rival {read_record(run).name}; choose another --run for {name}")
    if initial is not None and name != "hybrid":
        raise ValueError(f"only the rival hybrid takes --initial (a run of hmr), got it for {name}")
    clock, is_new = computing_clock(plan.device), not list_checkpoints(run)
    began_s = clock()
    state = _state(kind, kind.plan(plan), data, run, kind.config() if config is None else config)
    if initial is not None and is_new:
        start_from_hmr(state, initial)
    if is_new and kind.network is None:
        # The fit of our landmark lifter belongs to the budget.
        state.counters.seconds += clock() - began_s
    write_record(state, name)
    return state


def _state(kind: RivalKind, plan: TrainConfig, data: ShardFolder | Mixture, run: Path, config: Any) -> TrainState:
    if kind.network is None:
        return setup(config, plan, data, run)
    torch.manual_seed(plan.seed)
    # Renderings leave parts without a gradient in some steps.
    return take_up(RivalObjective(kind.network(config).train()), plan, folders_of(data), run, has_unused=True)


def train_rival(
    name: str,
    plan: TrainConfig,
    data: ShardFolder | Mixture,
    run: Path,
    hooks: Sequence[Hook],
    config: Any = None,
    initial: Path | None = None,
) -> RivalRecord:
    """Train a rival until its budget is used up; return the record of the run.

    Raises:
        ValueError, CheckpointError: see :func:`begin`.
        StopRequested: by SIGTERM or Ctrl-C; all is saved.
    """
    with own_group():
        state = begin(name, plan, data, run, config, initial)
        train(state, training_batches(state, data), [*hooks, RecordRival(name)])
    if state.progress < 1:
        raise StopRequested(stop_message(state.counters.seen, plan.samples))
    return read_record(run)


def open_trained(run: Path) -> tuple[Any, Counters]:
    """The averaged network of a run, in evaluation mode, and its place in the run.

    Raises:
        ValueError: the folder is no run of a rival.
        CheckpointError: no checkpoint yet, or a damaged one.
    """
    kind = kind_of(read_record(run).name)
    config, tensors, counters = load_averaged_weights(run, type(kind.config()))
    network = build(config) if kind.network is None else kind.network(config)
    return with_weights(network, tensors, run, "cpu"), counters


def weights_hash(run: Path) -> str:
    """Hash of the averaged weights that :func:`open_trained` reads.

    Raises:
        CheckpointError: no checkpoint yet.
    """
    saved = list_checkpoints(run)
    if not saved:
        raise CheckpointError(f"{run}: no checkpoint; train it first, e.g. `humanlrm rivals train pifu --run {run}`")
    return sha256(saved[-1] / "average.safetensors")
