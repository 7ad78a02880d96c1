"""Checkpoints: ``config.json`` + ``model.safetensors`` + trainer state, written under a temporary name and renamed.

No pickle anywhere: optimizer moments and averaged weights are tensors in safetensors files, the rest is JSON. What only
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
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from humanlrm.model.config import from_fields, read_config
from humanlrm.model.pose_denoiser import PoseDenoiserConfig
from humanlrm.model.pretrained import CheckpointError, load_tensors, read_pretrained, with_new_names
from humanlrm.model.view_denoiser import ViewDenoiserConfig

#: A network of ours: a module with its ``config``.
TrainedModel = Any

#: Beginning of the names of what only training needs.
_DENSITY = "density."
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


@dataclass
class Counters:
    """Place in a run: samples seen, steps taken, seconds of computing times processes (``computing_clock``)."""

    seen: int = 0
    step: int = 0
    seconds: float = 0.0


def trained_parameters(model: nn.Module, density: nn.Module | None = None) -> dict[str, nn.Parameter]:
    """Return the parameters that training changes, by name; those of the renderer's density begin with ``density.``."""
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    return parameters | ({} if density is None else {_DENSITY + name: p for name, p in density.named_parameters()})


def save_checkpoint(
    run: Path,
    model: TrainedModel,
    average: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
    counters: Counters,
    keep: int,
    density: nn.Module | None = None,
) -> Path:
    """Write ``run/step-NNNNNNN`` and remove all but the newest ``keep`` checkpoints.

    Args:
        average: averaged values of all :func:`trained_parameters`.
    """
    values = {name: p.detach() for name, p in trained_parameters(model, density).items()}
    moments = {
        f"{key}.{name}": value
        for name, p in trained_parameters(model, density).items()
        for key, value in optimizer.state[p].items()
    }
    partial = run / f".partial-{counters.step:07d}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    (partial / "config.json").write_text(json.dumps(asdict(model.config), indent=1), encoding="utf-8")
    (partial / "state.json").write_text(json.dumps(asdict(counters)), encoding="utf-8")
    for name, tensors in (("model", values), ("average", average), ("optimizer", moments)):
        _save({n: t for n, t in tensors.items() if not _is_of_density(n)}, partial / f"{name}.safetensors")
    if density is not None:
        tensors = {f"value.{n}": t for n, t in values.items()} | {f"average.{n}": t for n, t in average.items()}
        _save({n: t for n, t in (tensors | moments).items() if _is_of_density(n)}, partial / "density.safetensors")
    folder = run / f"step-{counters.step:07d}"
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(partial, folder)
    for old in list_checkpoints(run)[:-keep]:
        shutil.rmtree(old)
    return folder


def _is_of_density(name: str) -> bool:
    """True if a tensor belongs to the density; its kind (value, average, moment) may stand before the name."""
    return name.startswith(_DENSITY) or name.partition(".")[2].startswith(_DENSITY)


def _save(tensors: dict[str, Tensor], path: Path) -> None:
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)


def list_checkpoints(run: Path) -> list[Path]:
    """List the complete checkpoints of a run, oldest first."""
    return sorted(run.glob("step-*"))


@contextmanager
def _reading(folder: Path) -> Iterator[None]:
    """Turn all errors of a damaged file into one that names the checkpoint."""
    try:
        yield
    except CheckpointError:
        raise
    except (OSError, ValueError, TypeError, KeyError, SafetensorError) as error:
        raise CheckpointError(f"{folder} is damaged ({error}); delete it to go on from the one before") from error


def load_averaged_weights(run: Path, kind: type | None = None) -> tuple[Any, dict[str, Tensor], Counters]:
    """Read config, averaged weights and counters of a run's newest checkpoint.

    Args:
        kind: of the config, if the network is not one of those that this module knows (a rival).

    Raises:
        CheckpointError: the run has no checkpoint, or a damaged one.
    """
    newest = _newest(run)
    with _reading(newest):
        average = with_new_names(load_file(newest / "average.safetensors"))
        return _read_config(newest, kind), average, _read_counters(newest)


def load_counters(run: Path) -> Counters:
    """Read the counters of a run's newest checkpoint; same errors as :func:`load_averaged_weights`."""
    newest = _newest(run)
    with _reading(newest):
        return _read_counters(newest)


def _read_config(checkpoint: Path, kind: type | None = None) -> Any:
    fields = dict(json.loads((checkpoint / "config.json").read_text(encoding="utf-8")))
    if kind is not None and "family" in fields and fields["family"] == getattr(kind, "family", None):
        return from_fields(kind, fields)
    if fields.get("family") == "denoiser":
        from humanlrm.diffusion.latent.denoiser import DenoiserConfig  # only runs of this kind load it

        return from_fields(DenoiserConfig, fields)
    denoisers = {kind.family: kind for kind in (PoseDenoiserConfig, ViewDenoiserConfig)}
    kind = denoisers.get(fields.get("family", ""))
    return read_config(fields) if kind is None else from_fields(kind, fields)


def _read_counters(checkpoint: Path) -> Counters:
    return Counters(**json.loads((checkpoint / "state.json").read_text(encoding="utf-8")))


def _newest(run: Path) -> Path:
    saved = list_checkpoints(run)
    if not saved:
        raise CheckpointError(f"{run}: no checkpoint; train first, e.g. `humanlrm train small --data DIR --run {run}`")
    return saved[-1]


def load_initial_weights(folder: Path) -> dict[str, Tensor]:
    """Read the weights that a new run starts from: averaged ones of another run, or an exported folder.

    Raises:
        CheckpointError: the folder is neither, or damaged.
    """
    return load_averaged_weights(folder)[1] if list_checkpoints(folder) else read_pretrained(folder)[1]


def load_checkpoint(
    folder: Path,
    model: TrainedModel,
    average: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
    density: nn.Module | None = None,
) -> Counters:
    """Put a checkpoint back into model, averaged weights, optimizer and density.

    A density that the checkpoint lacks stays as it is: the run did not render until now.

    Raises:
        CheckpointError: the checkpoint is of another model, or damaged.
    """
    with _reading(folder):
        _check_same_model(folder, model)
        load_tensors(model, with_new_names(load_file(folder / "model.safetensors")), folder)
        average.update(with_new_names(load_file(folder / "average.safetensors")))
        moments = _read_moments(folder / "optimizer.safetensors")
        if density is not None and (folder / "density.safetensors").exists():
            tensors = load_file(folder / "density.safetensors")
            with torch.no_grad():
                for name, parameter in density.named_parameters():
                    parameter.copy_(tensors[f"value.{_DENSITY}{name}"])
                    average[_DENSITY + name] = tensors[f"average.{_DENSITY}{name}"]
            moments |= tensors
        for name, parameter in trained_parameters(model, density).items():
            if f"step.{name}" in moments:  # it had a gradient
                optimizer.state[parameter] = {key: _like(moments[f"{key}.{name}"], parameter) for key in _MOMENTS}
        return _read_counters(folder)


def _like(moment: Tensor, parameter: Tensor) -> Tensor:
    """A moment in its parameter's memory order: AdamW's fused kernel goes through both in that of the first."""
    return moment if moment.ndim != 4 else torch.empty_like(parameter).copy_(moment)


def _check_same_model(checkpoint: Path, model: TrainedModel) -> None:
    config = _read_config(checkpoint, type(model.config))
    if config != model.config:
        ours, theirs = (asdict(c) | {"kind": type(c).__name__} for c in (model.config, config))
        differences = ", ".join(f"{k} {theirs.get(k)}, not {ours.get(k)}" for k in ours if ours[k] != theirs.get(k))
        raise CheckpointError(f"{checkpoint} is a checkpoint of another model ({differences}); choose another --run")


def _read_moments(path: Path) -> dict[str, Tensor]:
    """Read moments under the names that their parameters have today."""
    moments: dict[str, Tensor] = {}
    tensors = load_file(path)
    for key in _MOMENTS:
        named = {name.removeprefix(f"{key}."): t for name, t in tensors.items() if name.startswith(f"{key}.")}
        moments |= {f"{key}.{name}": tensor for name, tensor in with_new_names(named).items()}
    return moments
