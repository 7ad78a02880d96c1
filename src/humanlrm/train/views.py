"""Training of the view prior on layered views of people, which may be rendered while it trains."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.data import DataLoader

from humanlrm.data.dataset import ignore_signals
from humanlrm.data.layered import LayeredDataset, LayeredSample
from humanlrm.data.shards import ShardFolder
from humanlrm.diffusion.process import NoiseLevels, add_noise, predicted, velocity_errors
from humanlrm.model.encoder import LiteEncoder
from humanlrm.model.pretrained import view_denoiser_from_pretrained
from humanlrm.model.view_denoiser import ViewCondition, ViewDenoiser, ViewDenoiserConfig, in_square
from humanlrm.train.denoise import DenoisingConfig, DenoisingObjective, denoising_steps, run_denoising
from humanlrm.train.hooks import Progress
from humanlrm.train.perceptual import PerceptualLoss

#: Samples after which the folder is listed anew: it may have got new people.
_LISTED = 2_000
#: Weight of pixels beside the person, and of features; one sample in so many is compared in features, which take nearly
#: as long as the network; share of the fronts among them.
_BESIDE, _FEATURES, _FEATURED, _FRONTS = 0.1, 0.5, 4, 0.4
#: Errors at less noise count as at this.
_LEAST_NOISE = 0.3


def view_recipe(photos: int = 200_000) -> DenoisingConfig:
    """Settings of a run that sees ``photos``. A third of them show nothing but noise: there the mean is learned.

    The errors of a copy are smooth over many tokens, so the noise is stronger than that of landmarks. Small batches
    learn more from as many photos.
    """
    noise = NoiseLevels(0.7, 1.3, pure=0.3)
    return DenoisingConfig(
        photos, batch=4, learning_rate=5e-4, steps=denoising_steps(warmup=1_000), levels=1, drop=0.0, noise=noise
    )


def train_views(
    config: ViewDenoiserConfig,
    plan: DenoisingConfig,
    data: Path,
    run: Path,
    report: Callable[[Progress], None] | None = None,
    make_loss: Callable[[ViewDenoiser, PerceptualLoss], "ViewLoss"] | None = None,
) -> ViewDenoiser:
    """Train until ``plan.samples`` photos are seen; go on from the newest checkpoint of ``run`` if there is one.

    Args:
        config: sizes of a network that begins from nothing.
        plan: a new run starts from the exported weights of ``plan.initial``, if given, and has their sizes.
        data: folder of shards with layers; it is listed again and again.
        make_loss: makes the loss of the network and of frozen features; ``None``: :class:`ViewLoss`.

    Raises:
        ShardError: no readable data.
        CheckpointError: the run is one of another denoiser.
        TrainingStopped: the loss became infinite or NaN, or the process was asked to stop; then all is saved.
    """
    torch.manual_seed(plan.seed)
    model = ViewDenoiser(config) if plan.initial is None else view_denoiser_from_pretrained(plan.initial)
    model = model.requires_grad_().to(plan.device, memory_format=torch.channels_last).train()  # pyright: ignore[reportCallIssue]
    features = PerceptualLoss(LiteEncoder().eval().requires_grad_(False))
    listed = max(1, _LISTED // plan.batch) * plan.batch

    def stream(seen: int) -> Iterator[LayeredSample]:
        for start in count(seen, listed):
            samples = LayeredDataset(ShardFolder(data), plan.seed, model.config.image_px)
            options = {"num_workers": plan.workers, "worker_init_fn": ignore_signals}
            for batch in DataLoader(samples, plan.batch, sampler=range(start, start + listed), **options):
                yield LayeredSample(*(part.to(plan.device) for part in batch))

    def draw(batch: LayeredSample, _: torch.Generator) -> tuple[Tensor, TrueCondition]:
        condition = condition_of(batch)
        weighted = TrueCondition(**vars(condition), layers=batch.layers)
        return model.normalized(batch.layers, condition), weighted

    objective = DenoisingObjective(model, plan, draw, (make_loss or ViewLoss)(model, features))
    return run_denoising(objective, stream, [data], run, report)


def condition_of(batch: LayeredSample) -> ViewCondition:
    """The condition of a batch of samples."""
    present = torch.ones(len(batch.photo), dtype=torch.bool, device=batch.photo.device)
    return ViewCondition(present, batch.photo, in_square(batch.landmarks, batch.middle, batch.zoom), batch.zoom)


@dataclass(frozen=True)
class TrueCondition(ViewCondition):
    """A condition that carries the truth to the loss.

    Attributes:
        layers: true layers.
    """

    layers: Float[Tensor, "B 7 H W"]


class ViewLoss(nn.Module):
    """Errors of the network's output, weighted by what matters, and of its features.

    What the photo shows of the front is known, and pixels beside the person are many and easy.
    """

    def __init__(self, model: ViewDenoiser, features: PerceptualLoss) -> None:
        super().__init__()
        self.model, self.features = model, features

    def forward(self, network: Any, clean: Tensor, noise: Tensor, sigma: Tensor, condition: TrueCondition) -> Tensor:
        """Loss of each sample."""
        coarse = add_noise(self.model.coarse(clean), self.model.coarse(noise) * self.model.config.patch, sigma)
        return self.of(predicted(network, coarse, sigma, condition).float(), clean, sigma, condition)

    def of(
        self, guess: Float[Tensor, "B C H W"], clean: Tensor, sigma: Tensor, condition: TrueCondition
    ) -> Float[Tensor, "B"]:
        """Loss of each predicted sample (normalized)."""
        errors = velocity_errors(guess, clean, sigma.clamp(min=_LEAST_NOISE))
        person = torch.maximum(condition.layers[:, 3:4], condition.photo[:, 3:4]) > 0
        weight = torch.where(person, 1.0, _BESIDE).expand(-1, clean.shape[1], -1, -1).clone()
        weight[:, :4] *= 1 - condition.visible
        pixels = (errors * weight).flatten(1).sum(1) / (weight.flatten(1).sum(1) + 1)
        side = slice(0, 3) if float(torch.rand(())) < _FRONTS else slice(4, 7)
        pictures = [p[::_FEATURED, side] for p in (self.model.restored(guess, condition), condition.layers)]
        return pixels + _FEATURES * self.features(*pictures)
