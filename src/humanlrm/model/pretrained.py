"""Weights on disk to a model: a folder of ``config.json`` and ``model.safetensors`` that must agree."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from humanlrm.files import atomic_write
from humanlrm.model.config import AnyConfig, Config, ModelConfig, read_any_config
from humanlrm.model.denoiser import Denoiser
from humanlrm.model.denoiser_config import DenoiserConfig, PoseDenoiserConfig
from humanlrm.model.lrm import ADDED, LANDMARK_PARTS, HumanLRM, Model, build
from humanlrm.model.pose_denoiser import PoseDenoiser

Kind = TypeVar("Kind", DenoiserConfig, PoseDenoiserConfig)
Network = TypeVar("Network", Denoiser, PoseDenoiser)

#: The weights that come with the package.
SHIPPED = Path(__file__).parent.parent / "weights" / "small"


class CheckpointError(ValueError):
    """Weights that do not fit; the message names the first difference."""


#: Names of parameters up to the tenth weights (beginnings or middles), and what they are called since.
_RENAMED_PARAMETERS = {
    r"^corrector\.": "landmark_head.",
    r"^landmark_head\.eye\.": "landmark_head.image_trunk.",
    r"^landmark_head\.spotter\.relief\.": "landmark_head.heatmap_head.coarse_depth.",
    r"^landmark_head\.spotter\.": "landmark_head.heatmap_head.",
    r"^landmark_head\.lifter\.clue\.": "landmark_head.lifter.feature.",
    r"^decoder\.sight\.eye\.": "decoder.adapter.image_trunk.",
    r"^decoder\.sight\.": "decoder.adapter.",
    r"^marks\.": "landmark_tokens.",
    r"^told\.": "project.",
}


def with_new_names(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of a checkpoint under the names that their parameters have today."""

    def renamed(name: str) -> str:
        for pattern, new in _RENAMED_PARAMETERS.items():
            name = re.sub(pattern, new, name)
        return name

    return {renamed(name): tensor for name, tensor in tensors.items()}


def load_tensors(model: nn.Module, tensors: dict[str, Tensor], where: Path, lacking: tuple[str, ...] = ()) -> None:
    """Copies tensors into the trained parameters of a model.

    Args:
        lacking: beginnings of the names of parts that the tensors may do without: then they stay as they are.

    Raises:
        CheckpointError: names or shapes differ; names the first difference.
    """
    parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
    gone = tuple(part for part in lacking if not any(name.startswith(part) for name in tensors))
    parameters = {n: p for n, p in parameters.items() if not n.startswith(gone)}
    for name in sorted(parameters.keys() | tensors.keys()):
        if name not in tensors:
            raise CheckpointError(f"{where}: the weights lack {name}, which the config asks for")
        if name not in parameters:
            raise CheckpointError(f"{where}: the weights hold {name}, which the config does not know")
        if parameters[name].shape != tensors[name].shape:
            shapes = f"{tuple(tensors[name].shape)}, the config asks for {tuple(parameters[name].shape)}"
            raise CheckpointError(f"{where}: {name} has shape {shapes}")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(tensors[name])


def load_grown(model: Model, tensors: dict[str, Tensor], where: Path) -> None:
    """Copies tensors into a model that may have parts that they lack (``lrm.ADDED``); the planes' eye starts as that of
    the landmarks, which has looked at people before.

    Raises:
        CheckpointError: names or shapes of other parts differ; names the first difference.
    """
    load_tensors(model, tensors, where, ADDED)
    if not isinstance(model, HumanLRM) or model.decoder.adapter is None or model.landmark_head.image_trunk is None:
        return
    if not any(name.startswith("decoder.adapter.") for name in tensors):
        model.decoder.adapter.image_trunk.load_state_dict(model.landmark_head.image_trunk.state_dict())


def read_pretrained(folder: Path) -> tuple[Config, dict[str, Tensor]]:
    """Config and tensors of a weights folder.

    Raises:
        CheckpointError: the folder is incomplete or damaged, or holds a denoiser.
    """
    config, tensors = _read(folder)
    if isinstance(config, DenoiserConfig | PoseDenoiserConfig):
        raise CheckpointError(f"{folder} holds a denoiser; give the folder of a reconstruction model")
    return config, tensors


def _read(folder: Path) -> tuple[AnyConfig, dict[str, Tensor]]:
    if not (folder / "config.json").exists() and any(folder.glob("step-*")):
        raise CheckpointError(
            f"{folder} is a training run; `humanlrm export --run {folder} --out DIR` makes weights of it"
        )
    try:
        config = read_any_config(json.loads((folder / "config.json").read_text(encoding="utf-8")))
        return config, with_new_names(load_file(folder / "model.safetensors"))
    except (OSError, ValueError, TypeError, SafetensorError) as error:
        raise CheckpointError(f"{folder}: no readable config.json and model.safetensors ({error})") from error


def from_pretrained(folder: Path = SHIPPED, device: str | torch.device = "cpu") -> Model:
    """The model in a folder, in evaluation mode.

    Raises:
        CheckpointError: the folder is incomplete or damaged, or its config and tensors disagree.
    """
    config, tensors = read_pretrained(folder)
    model = build(config)
    load_tensors(model, tensors, folder)
    return model.to(device).eval()


def denoiser_from_pretrained(folder: Path, device: str | torch.device = "cpu") -> Denoiser:
    """The denoiser in a folder, in evaluation mode.

    Raises:
        CheckpointError: the folder is incomplete or damaged, or not a denoiser's.
    """
    wrong = "holds a reconstruction model; give the folder of a denoiser"
    return _opened(folder, device, DenoiserConfig, Denoiser, wrong)


def pose_denoiser_from_pretrained(folder: Path, device: str | torch.device = "cpu") -> PoseDenoiser:
    """The denoiser of landmarks in a folder, in evaluation mode.

    Raises:
        CheckpointError: the folder is incomplete or damaged, or not a pose denoiser's.
    """
    wrong = "holds no denoiser of landmarks; `humanlrm train-poses` makes one"
    return _opened(folder, device, PoseDenoiserConfig, PoseDenoiser, wrong)


def _opened(
    folder: Path,
    device: str | torch.device,
    kind: type[Kind],
    network: Callable[[Kind], Network],
    wrong: str,
) -> Network:
    """The network of a folder whose config is of a kind; ``wrong`` says what is the matter if it is not."""
    config, tensors = _read(folder)
    if not isinstance(config, kind):
        raise CheckpointError(f"{folder} {wrong}")
    model = network(config)
    load_tensors(model, tensors, folder)
    return model.to(device).eval()


def with_landmarks(
    config: AnyConfig,
    tensors: dict[str, Tensor],
    other: AnyConfig,
    theirs: dict[str, Tensor],
) -> dict[str, Tensor]:
    """Weights whose estimate of the landmarks is that of other weights: of the small family, whose parts are trained
    apart (``TrainConfig.part``).

    Raises:
        CheckpointError: the two are of different models, or not of the small family.
    """
    if not isinstance(config, ModelConfig) or config != other:
        raise CheckpointError(f"landmarks are taken from a model of the same small config: {config} and {other} differ")
    return {name: theirs[name] if name.startswith(LANDMARK_PARTS) else value for name, value in tensors.items()}


def save_pretrained(folder: Path, config: AnyConfig, tensors: dict[str, Tensor]) -> None:
    """Writes ``config.json`` and float16 ``model.safetensors``."""
    with atomic_write(folder / "config.json") as text, atomic_write(folder / "model.safetensors") as binary:
        text.write_text(json.dumps(asdict(config), indent=1) + "\n", encoding="utf-8")
        save_file({name: t.detach().half().contiguous() for name, t in tensors.items()}, binary)
        # safetensors makes private files; weights have the permissions of their config.
        binary.chmod(text.stat().st_mode & 0o777)


def copied(folder: Path, to: Path) -> Path:
    """The files of a weights folder at another place, where they may be changed; nothing is copied twice."""
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        if not (to / path.name).exists():
            with atomic_write(to / path.name) as partial:
                shutil.copyfile(path, partial)
    return to
