"""Weights on disk to a model: a folder of ``config.json`` and ``model.safetensors`` that must agree."""

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from humanlrm.files import atomic_write
from humanlrm.model.config import Config, ModelConfig, from_fields, read_config
from humanlrm.model.lrm import HumanLRM, build
from humanlrm.model.pose_denoiser import PoseDenoiser, PoseDenoiserConfig
from humanlrm.model.view_denoiser import ViewDenoiser, ViewDenoiserConfig

Sizes = TypeVar("Sizes")
Network = TypeVar("Network", bound=nn.Module)

#: The weights that come with the package.
SHIPPED = Path(__file__).parent.parent / "weights" / "small"

#: Beginnings of the names of the landmarks' parameters, which are trained apart (``TrainConfig.part``).
LANDMARK_PARTS = ("landmark_head.",)
#: The same of parts that older weights lack and training adds; new ones change nothing of the model's output.
_ADDED_PARTS = ("field.head.", "decoder.adapter.", *(f"decoder.transformer.blocks.{layer}." for layer in range(1, 12)))

#: Former names of parameters and their names since, applied in this order. The first ones are those up to the tenth
#: weights, the others those of the models before encoder, landmark head, decoder and field became parts.
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
    r"^place32$": "landmark_head.place",
    r"^(landmark_tokens|skip|depth)\.": r"decoder.\1.",
    r"^camera\.": "encoder.camera.",
    r"^latent_decoder\.": "decoder.upsampler.",
    r"^head\.": "decoder.view_head.",
}


class CheckpointError(ValueError):
    """Weights that do not fit; the message names the first difference."""


def rename_parameter(name: str) -> str:
    """Today's name of a parameter of any weights."""
    for pattern, new in _RENAMED_PARAMETERS.items():
        name = re.sub(pattern, new, name)
    return name


def with_new_names(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of weights under their parameters' names of today."""
    return {rename_parameter(name): tensor for name, tensor in tensors.items()}


def load_tensors(model: nn.Module, tensors: dict[str, Tensor], where: Path, lacking: tuple[str, ...] = ()) -> None:
    """Copy tensors into the trained parameters of a model.

    Args:
        lacking: beginnings of the names of parts that keep their values if the tensors have none of them.

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


def load_grown(model: HumanLRM, tensors: dict[str, Tensor], where: Path) -> None:
    """Copy tensors into a model that may have parts that they lack. A new plane adapter starts with the trunk of the
    landmark head, which is trained on people.

    Raises:
        CheckpointError: names or shapes of other parts differ; names the first difference.
    """
    load_tensors(model, tensors, where, _ADDED_PARTS)
    adapter = getattr(model.decoder, "adapter", None)
    if adapter is None or any(name.startswith("decoder.adapter.") for name in tensors):
        return
    if model.landmark_head.image_trunk is not None:
        adapter.image_trunk.load_state_dict(model.landmark_head.image_trunk.state_dict())


def read_pretrained(folder: Path) -> tuple[Config, dict[str, Tensor]]:
    """Config and tensors of a reconstruction model's folder.

    Raises:
        CheckpointError: the folder is incomplete or damaged, or holds a denoiser.
    """
    fields, tensors = _read(folder)
    if str(fields.get("family")).endswith("denoiser"):
        raise CheckpointError(f"{folder} holds a denoiser; give the folder of a reconstruction model")
    with _reading(folder):
        return read_config(fields), tensors


def read_denoiser(folder: Path, kind: type[Sizes], wrong: str) -> tuple[Sizes, dict[str, Tensor]]:
    """Config and tensors of a denoiser's folder.

    Args:
        kind: of the config.
        wrong: what the folder holds if its config is of another kind, and what to do.

    Raises:
        CheckpointError: the folder is incomplete or damaged, or of another kind.
    """
    fields, tensors = _read(folder)
    if fields.get("family") != getattr(kind, "family", None):
        raise CheckpointError(f"{folder} {wrong}")
    with _reading(folder):
        return from_fields(kind, fields), tensors


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    if not (folder / "config.json").exists() and any(folder.glob("step-*")):
        raise CheckpointError(
            f"{folder} is a training run; `humanlrm export-weights --run {folder} --out DIR` makes weights of it"
        )
    with _reading(folder):
        fields = dict(json.loads((folder / "config.json").read_text(encoding="utf-8")))
        return fields, with_new_names(load_file(folder / "model.safetensors"))


@contextmanager
def _reading(folder: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, TypeError, SafetensorError) as error:
        raise CheckpointError(f"{folder}: no readable config.json and model.safetensors ({error})") from error


def with_weights(model: Network, tensors: dict[str, Tensor], folder: Path, device: str | torch.device) -> Network:
    """A new network with the tensors of a folder, in evaluation mode.

    Raises:
        CheckpointError: config and tensors disagree.
    """
    load_tensors(model, tensors, folder)
    return model.to(device).eval()


def from_pretrained(folder: Path = SHIPPED, device: str | torch.device = "cpu") -> HumanLRM:
    """The model in a folder, in evaluation mode.

    Raises:
        CheckpointError: the folder is incomplete or damaged, or its config and tensors disagree.
    """
    config, tensors = read_pretrained(folder)
    return with_weights(build(config), tensors, folder, device)


def pose_denoiser_from_pretrained(folder: Path, device: str | torch.device = "cpu") -> PoseDenoiser:
    """The denoiser of landmarks in a folder, in evaluation mode.

    Raises:
        CheckpointError: the folder is incomplete or damaged, or not a pose denoiser's.
    """
    wrong = "holds no denoiser of landmarks; `humanlrm train-poses` makes one"
    config, tensors = read_denoiser(folder, PoseDenoiserConfig, wrong)
    return with_weights(PoseDenoiser(config), tensors, folder, device)


def view_denoiser_from_pretrained(folder: Path, device: str | torch.device = "cpu") -> ViewDenoiser:
    """The denoiser of layered views in a folder, in evaluation mode.

    Raises:
        CheckpointError: the folder is incomplete or damaged, or not a view denoiser's.
    """
    wrong = "holds no denoiser of layered views; `humanlrm train-views` makes one"
    config, tensors = read_denoiser(folder, ViewDenoiserConfig, wrong)
    return with_weights(ViewDenoiser(config), tensors, folder, device)


def with_landmarks(
    config: object, tensors: dict[str, Tensor], other: object, other_tensors: dict[str, Tensor]
) -> dict[str, Tensor]:
    """Weights of the small family with the landmark head of other weights, which is trained apart.

    Raises:
        CheckpointError: the two are of different models, or not of the small family.
    """
    if not isinstance(config, ModelConfig) or config != other:
        raise CheckpointError(f"landmarks are taken from a model of the same small config: {config} and {other} differ")
    return {name: other_tensors[name] if name.startswith(LANDMARK_PARTS) else value for name, value in tensors.items()}


def save_pretrained(folder: Path, config: Any, tensors: dict[str, Tensor]) -> None:
    """Write ``config.json`` and float16 ``model.safetensors`` of any network."""
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
