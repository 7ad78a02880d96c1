"""Checkpoints: ``config.json`` + ``model.safetensors`` + trainer state, written under a temporary name and renamed.

No pickle anywhere: optimiser moments and averaged weights are tensors in safetensors files, the rest is JSON. What only
training needs (the renderer's density) lies in a file of its own, so that the model's files are those of the model
alone, and runs with and without rendering read each other's checkpoints.
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
from torch import Tensor, nn

from humanlrm.model.config import AnyConfig, read_any_config
from humanlrm.model.denoiser import Denoiser
from humanlrm.model.lrm import Model
from humanlrm.model.pose_denoiser import PoseDenoiser
from humanlrm.model.pretrained import CheckpointError, load_tensors, read_pretrained, with_new_names
from humanlrm.train.sharding import whole

Trained = Model | Denoiser | PoseDenoiser


@dataclass
class TrainerState:
    """Where a run stands: samples seen, steps taken, seconds spent computing times processes."""

    seen: int = 0
    step: int = 0
    seconds: float = 0.0


#: Names of what only training needs start so.
_EXTRA = "density."
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


def trained(model: nn.Module, density: nn.Module | None = None) -> dict[str, nn.Parameter]:
    """The parameters that training changes, by name; those of the renderer's density begin with ``density.``."""
    own = {name: p for name, p in model.named_parameters() if p.requires_grad}
    return own | ({} if density is None else {_EXTRA + name: p for name, p in density.named_parameters()})


def save_checkpoint(
    run: Path,
    model: Trained,
    average: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
    state: TrainerState,
    keep: int,
    density: nn.Module | None = None,
    write: bool = True,
) -> Path:
    """Writes ``run/step-NNNNNNN`` and removes all but the newest ``keep`` checkpoints.

    Args:
        average: averaged values of everything that :func:`trained` names.
        write: False only gives what other processes need of this one, if the model is split over them.
    """
    folder = run / f"step-{state.step:07d}"
    values = {name: whole(p.detach()) for name, p in trained(model, density).items()}
    average = {name: whole(value) for name, value in average.items()}
    moments = {
        f"{key}.{name}": whole(value)
        for name, p in trained(model, density).items()
        for key, value in optimizer.state[p].items()
    }
    if not write:
        return folder
    partial = run / f".partial-{state.step:07d}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    (partial / "config.json").write_text(json.dumps(asdict(model.config), indent=1), encoding="utf-8")
    (partial / "state.json").write_text(json.dumps(asdict(state)), encoding="utf-8")
    _save({n: v for n, v in values.items() if not _is_extra(n)}, partial / "model.safetensors")
    _save({n: v for n, v in average.items() if not _is_extra(n)}, partial / "average.safetensors")
    _save({n: v for n, v in moments.items() if not _is_extra(n)}, partial / "optimizer.safetensors")
    extra = {f"value.{n}": v for n, v in values.items()} | {f"average.{n}": v for n, v in average.items()} | moments
    if density is not None:
        _save({n: v for n, v in extra.items() if _is_extra(n)}, partial / "density.safetensors")
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(partial, folder)
    for old in checkpoints(run)[:-keep]:
        shutil.rmtree(old)
    return folder


def _is_extra(name: str) -> bool:
    """With or without what it is (value, average, moment) before the name."""
    return name.startswith(_EXTRA) or name.partition(".")[2].startswith(_EXTRA)


def _save(tensors: dict[str, Tensor], path: Path) -> None:
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)


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


def averaged_weights(run: Path) -> tuple[AnyConfig, dict[str, Tensor], TrainerState]:
    """Config, averaged weights and state of a run's newest checkpoint.

    Raises:
        CheckpointError: the run has no checkpoint, or a damaged one.
    """
    newest = _newest(run)
    with _reading(newest):
        config = read_any_config(json.loads((newest / "config.json").read_text(encoding="utf-8")))
        return config, with_new_names(load_file(newest / "average.safetensors")), _state(newest)


def newest_state(run: Path) -> TrainerState:
    """State of a run's newest checkpoint; same errors as :func:`averaged_weights`, without reading weights."""
    newest = _newest(run)
    with _reading(newest):
        return _state(newest)


def _state(checkpoint: Path) -> TrainerState:
    return TrainerState(**json.loads((checkpoint / "state.json").read_text(encoding="utf-8")))


def _newest(run: Path) -> Path:
    saved = checkpoints(run)
    if not saved:
        raise CheckpointError(f"{run}: no checkpoint; train first, e.g. `humanlrm train small --data DIR --run {run}`")
    return saved[-1]


def initial_weights(folder: Path) -> dict[str, Tensor]:
    """What a new run may start from: the averaged weights of another run, or an exported weights folder.

    Raises:
        CheckpointError: the folder is neither, or damaged.
    """
    return averaged_weights(folder)[1] if checkpoints(folder) else read_pretrained(folder)[1]


def load_checkpoint(
    folder: Path,
    model: Trained,
    average: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
    density: nn.Module | None = None,
) -> TrainerState:
    """Puts a checkpoint back into model, averaged weights, optimiser and density.

    A density that the checkpoint does not know stays as it is: the run did not render until now.

    Raises:
        CheckpointError: the checkpoint is of another model, or damaged.
    """
    with _reading(folder):
        config = read_any_config(json.loads((folder / "config.json").read_text(encoding="utf-8")))
        if config != model.config:
            ours, theirs = (asdict(c) | {"kind": type(c).__name__} for c in (model.config, config))
            differ = ", ".join(f"{k} {theirs.get(k)}, not {ours.get(k)}" for k in ours if ours[k] != theirs.get(k))
            raise CheckpointError(f"{folder} is a checkpoint of another model ({differ}); choose another --run")
        load_tensors(model, with_new_names(load_file(folder / "model.safetensors")), folder)
        average.update(with_new_names(load_file(folder / "average.safetensors")))
        moments = load_file(folder / "optimizer.safetensors")
        if density is not None and (folder / "density.safetensors").exists():
            extra = load_file(folder / "density.safetensors")
            with torch.no_grad():
                for name, parameter in density.named_parameters():
                    parameter.copy_(extra[f"value.{_EXTRA}{name}"])
                    average[_EXTRA + name] = extra[f"average.{_EXTRA}{name}"]
            moments |= extra
        for name, parameter in trained(model, density).items():
            if f"step.{name}" in moments:  # it had a gradient
                optimizer.state[parameter] = {key: moments[f"{key}.{name}"] for key in _MOMENTS}
        return _state(folder)
