"""Distillation of the multi-view teacher into the latent denoiser (paper, first version)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from humanlrm.diffusion.latent.condition import fit_config, latent_condition
from humanlrm.diffusion.latent.denoiser import Denoiser, DenoiserConfig, TriplaneCondition
from humanlrm.model.lrm import HumanLRM
from humanlrm.train.denoise import DenoisingConfig, DenoisingObjective, run_denoising
from humanlrm.train.hooks import Progress
from humanlrm.train.latent.pairs import Pair, Pairs, collate_pairs
from humanlrm.train.latent.targets import LatentFolder, write_latents


@dataclass(frozen=True)
class Teacher:
    """The multi-view teacher.

    Attributes:
        model: makes the latents and decodes samples; it may be the student.
        latents: folder of its latents.
        views: of each person that it gets.
    """

    model: HumanLRM
    latents: Path
    views: int = 4


def distill(
    sizes: DenoiserConfig,
    config: DenoisingConfig,
    student: HumanLRM,
    teacher: Teacher,
    data: Path,
    run: Path,
    report: Callable[[Progress], None] | None = None,
) -> Denoiser:
    """From shards to a denoiser: write the teacher's missing latents, take their statistics, train.

    Args:
        sizes: a preset; sizes of the latents and their statistics are filled in.
        student: makes the condition of a single photo.

    Raises:
        ShardError, LatentError: data or latents that are missing, damaged or of another teacher.
        ValueError: models that have no latent triplane, do not share it, or cannot complete anybody.
        CheckpointError, TrainingStopped: as :func:`train_denoiser`.
    """
    fitted = fit_config(sizes, student)
    fit_config(sizes, teacher.model)
    shapes = student.decoder.latent_shape, teacher.model.decoder.latent_shape
    if shapes[0] != shapes[1]:
        raise ValueError(f"student and teacher must share a latent triplane, got shapes {shapes[0]} and {shapes[1]}")
    write_latents(teacher.model, data, teacher.latents, teacher.views)
    cached = LatentFolder(teacher.latents, teacher.model)
    mean, scale = cached.statistics()
    pairs = Pairs(data, cached, student.config.image_px, config.seed)
    return train_denoiser(replace(fitted, mean=mean, scale=scale), config, student, pairs, run, report)


def train_denoiser(
    sizes: DenoiserConfig,
    config: DenoisingConfig,
    student: HumanLRM,
    pairs: Dataset[Pair],
    run: Path,
    report: Callable[[Progress], None] | None = None,
) -> Denoiser:
    """Train until ``config.samples`` photos are seen, from the newest checkpoint of ``run`` on.

    Args:
        student: on the device to train on.
        pairs: by the running number of the sample (:class:`Pairs`).

    Returns:
        the denoiser with the averaged weights, in evaluation mode.

    Raises:
        CheckpointError: the run is one of another denoiser.
        TrainingStopped: the loss became infinite or NaN.
    """
    student = student.eval()
    device = next(student.parameters()).device
    torch.manual_seed(config.seed)
    model = Denoiser(sizes).to(device).train()

    def stream(seen: int) -> Iterator[Pair]:
        # Sample n is the same however often the run was interrupted.
        order = range(seen, seen + config.batch * -((seen - config.samples) // config.batch))
        options = {"sampler": order, "collate_fn": collate_pairs, "num_workers": config.workers}
        return iter(DataLoader(pairs, config.batch, **options))

    def condition(pair: Pair, _: torch.Generator) -> tuple[Tensor, TriplaneCondition]:
        pair = pair.to(device)
        return model.normalised(pair.latent), latent_condition(student, model, pair.inputs)[0]

    plan = replace(config, device=str(device))
    return run_denoising(DenoisingObjective(model, plan, condition), stream, (), run, report)
