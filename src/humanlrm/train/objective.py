"""All losses of a run in one module: a batch to one number."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from humanlrm.data import augment
from humanlrm.encoding import encode
from humanlrm.model.encoder import LiteEncoder
from humanlrm.model.lrm import HumanLRM
from humanlrm.model.triplane import Triplane
from humanlrm.render.density import LaplaceDensity, SoftplusDensity
from humanlrm.train.config import RenderSchedule, TrainConfig
from humanlrm.train.losses import landmark_losses, supervision_losses, weighted_sum
from humanlrm.train.perceptual import PerceptualLoss
from humanlrm.train.render_losses import radiance_field, render_losses
from humanlrm.views import Batch


@dataclass(frozen=True)
class StepContext:
    """Place of a batch in the run.

    Attributes:
        progress: share of the run that is over, 0 to 1.
        seed: seed of the batch: decides which pixels are rendered, and where rays are sampled.
        patch: a patch is rendered for the perceptual loss.
    """

    progress: float
    seed: int
    patch: bool


class TrainingObjective(nn.Module):
    """A network and its losses as one module: DDP asks for one ``forward`` that uses everything that is trained.

    ``forward`` takes a :class:`Batch` and a :class:`StepContext`, and returns the weighted sum of the losses and every
    loss by name, unweighted and without gradient.

    Attributes:
        model: the network, with its ``config``, which has ``image_px``.
        density: the renderer's, with its learned width; ``None``: nothing is rendered, or nothing of it is learned.
        rendering: views that are rendered in a step; ``None``: none.
    """

    # No values here: a class attribute would hide a module of its name. Modules have no interface that is checked.
    model: Any
    density: Any
    rendering: RenderSchedule | None


class Objective(TrainingObjective):
    """The losses of our models. A density field brings its own rule of density, in which nothing is learned."""

    def __init__(self, model: HumanLRM, config: TrainConfig) -> None:
        super().__init__()
        self.model, self.weights, self.bf16, self.part = model, config.weights, config.bf16, config.part
        if self.part not in model.parts:
            raise ValueError(
                f"this model cannot train the part {self.part!r} alone, only {', '.join(model.parts)}; models of the "
                "small family can"
            )
        if self.part == "head":
            model.field.only_head = True
        self.rendering = config.rendering
        self.density = self._perceptual = None
        if config.rendering is not None:
            self.density = LaplaceDensity() if model.field.is_distance else SoftplusDensity()
            self._perceptual = PerceptualLoss(LiteEncoder())

    def forward(self, batch: Batch, context: StepContext) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        """Compute the weighted sum, and every loss by name, unweighted and without gradient.

        Raises:
            ValueError: views are to be rendered, and the batch has no targets.
        """
        if self.part == "landmarks":
            losses = self._landmark_losses(batch, context)
            return weighted_sum(losses, self.weights), {name: value.detach() for name, value in losses.items()}
        planes = self._encode(batch)
        losses = supervision_losses(self.model, planes, batch.supervision)
        total = weighted_sum(losses, self.weights)
        if self.rendering is not None:
            rendered = self._render_losses(planes, batch, context)
            total = total + weighted_sum(rendered, self.rendering.weights)
            if not context.patch:
                del rendered["perceptual"]
            losses |= {f"render_{name}": value for name, value in rendered.items()}
            if isinstance(self.density, LaplaceDensity):
                losses["beta"] = self.density.beta
        return total, {name: value.detach() for name, value in losses.items()}

    def _encode(self, batch: Batch) -> Triplane:
        """Encode the photos; the person is built on the teacher landmarks."""
        teacher = batch.supervision.teacher_landmarks
        with torch.autocast(batch.inputs.image.device.type, torch.bfloat16, enabled=self.bf16):
            if self.part == "all":
                return encode(self.model, batch.inputs, teacher)
            with torch.set_grad_enabled(torch.is_grad_enabled() and self.part != "head"):
                planes = encode(self.model, batch.inputs, teacher, estimate=False)
        # The estimate stands in for unknown teacher landmarks; it is not trained.
        return replace(planes, inputs=replace(planes.inputs, estimated=None, heatmaps=None))

    def _render_losses(self, planes: Triplane, batch: Batch, context: StepContext) -> dict[str, Tensor]:
        assert self.rendering is not None
        assert self.density is not None
        if batch.supervision.targets is None:
            raise ValueError("rendering losses need target views: set SampleSettings.target_views to 1 or more")
        return render_losses(
            radiance_field(self.model, planes, self.density),
            batch.supervision.targets,
            self.rendering.at(context.progress),
            torch.Generator().manual_seed(context.seed),
            self._perceptual if context.patch else None,
        )

    def _landmark_losses(self, batch: Batch, context: StepContext) -> dict[str, Tensor]:
        """Augment a batch and compute the losses of the landmark estimate alone."""
        rng = torch.Generator().manual_seed(context.seed)
        inputs, supervision = augment.augment_batch(batch.inputs, batch.supervision, rng)
        with torch.autocast(batch.inputs.image.device.type, torch.bfloat16, enabled=self.bf16):
            estimate = self.model.estimate_landmarks(inputs)
        return landmark_losses(estimate.points, estimate.heatmaps, supervision)
