"""Checkpoints: ``config.json`` + ``model.safetensors`` + trainer state, written under a temporary name and renamed.

No pickle anywhere: optimiser moments and averaged weights are tensors in safetensors files, the rest is JSON.
"""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from humanlrm.model.config import Config, read_config
from humanlrm.model.lrm import Model
from humanlrm.model.pretrained import CheckpointError, load_tensors, read_pretrained


@dataclass
class TrainerState:
    """Where a run stands: samples seen, steps taken, seconds spent computing times processes."""

    seen: int = 0
    step: int = 0
    seconds: float = 0.0


def trained(model: Model) -> dict[str, torch.nn.Parameter]:
    """The parameters that training changes, by name."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def save_checkpoint(
    run: Path,
    model: Model,
    average: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
    state: TrainerState,
    keep: int,
) -> Path:
    """Writes ``run/step-NNNNNNN`` and removes all but the newest ``keep`` checkpoints."""
    folder = run / f"step-{state.step:07d}"
    partial = run / f".partial-{state.step:07d}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    parameters = trained(model)
    (partial / "config.json").write_text(json.dumps(asdict(model.config), indent=1))
    (partial / "state.json").write_text(json.dumps(asdict(state)))
    save_file({n: p.detach().contiguous() for n, p in parameters.items()}, partial / "model.safetensors")
    save_file({n: a.contiguous() for n, a in average.items()}, partial / "average.safetensors")
    moments = {
        f"{key}.{name}": value.contiguous()
        for name, p in parameters.items()
        for key, value in optimizer.state[p].items()
    }
    save_file(moments, partial / "optimizer.safetensors")
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(partial, folder)
    for old in checkpoints(run)[:-keep]:
        shutil.rmtree(old)
    return folder


def checkpoints(run: Path) -> list[Path]:
    """Complete checkpoints of a run, oldest first."""
    return sorted(run.glob("step-*"))


@contextmanager
def _reading(folder: Path) -> Iterator[None]:
    """Whatever a damaged file raises becomes one error that names the checkpoint."""
    try:
        yield
    except CheckpointError:
        raise
    except (OSError, ValueError, TypeError, KeyError, SafetensorError) as error:
        raise CheckpointError(f"{folder} is damaged ({error}); delete it to go on from the one before") from error


def averaged_weights(run: Path) -> tuple[Config, dict[str, Tensor], TrainerState]:
    """Config, averaged weights and state of a run's newest checkpoint.

    Raises:
        CheckpointError: the run has no checkpoint, or a damaged one.
    """
    saved = checkpoints(run)
    if not saved:
        raise CheckpointError(f"{run}: no checkpoint; train first, e.g. `humanlrm train small --data DIR --run {run}`")
    with _reading(saved[-1]):
        config = read_config(json.loads((saved[-1] / "config.json").read_text()))
        state = TrainerState(**json.loads((saved[-1] / "state.json").read_text()))
        return config, load_file(saved[-1] / "average.safetensors"), state


def initial_weights(folder: Path) -> dict[str, Tensor]:
    """What a new run may start from: the averaged weights of another run, or an exported weights folder.

    Raises:
        CheckpointError: the folder is neither, or damaged.
    """
    return averaged_weights(folder)[1] if checkpoints(folder) else read_pretrained(folder)[1]


def load_checkpoint(
    folder: Path, model: Model, average: dict[str, Tensor], optimizer: torch.optim.Optimizer
) -> TrainerState:
    """Puts a checkpoint back into model, averaged weights and optimiser.

    Raises:
        CheckpointError: the checkpoint is of another model, or damaged.
    """
    with _reading(folder):
        config = read_config(json.loads((folder / "config.json").read_text()))
        if config != model.config:
            raise CheckpointError(
                f"{folder} is a checkpoint of {config}, this run trains {model.config}; choose another --run"
            )
        load_tensors(model, load_file(folder / "model.safetensors"), folder)
        average.update(load_file(folder / "average.safetensors"))
        moments = load_file(folder / "optimizer.safetensors")
        for name, parameter in trained(model).items():
            keys = ("step", "exp_avg", "exp_avg_sq")
            if f"step.{name}" not in moments:  # the stage does not train it
                continue
            optimizer.state[parameter] = {key: moments[f"{key}.{name}"] for key in keys}
        return TrainerState(**json.loads((folder / "state.json").read_text()))
