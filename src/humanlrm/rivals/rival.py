"""A trained rival: one network with its losses, trained by our loop, that reconstructs the photo of a case."""

from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from humanlrm.evaluate.case import Case, ColoredSurface, Method
from humanlrm.train.losses import Losses
from humanlrm.train.objective import StepContext, TrainingObjective
from humanlrm.views import Batch


class Rival(nn.Module):
    """Base of the rivals that are networks of their own.

    Attributes:
        config: sizes: a frozen dataclass with ``family`` (which names the rival in its checkpoints) and ``image_px``.
        weights: weight of each loss by name.
    """

    config: Any
    weights: ClassVar[dict[str, float]]

    def losses(self, batch: Batch, context: StepContext) -> Losses:
        """Losses of a batch by name, unweighted."""
        raise NotImplementedError

    def reconstruct(self, case: Case, resolution: int) -> ColoredSurface:
        """The person in a photo (box units), from ``case.shown`` alone.

        Args:
            resolution: lattice cells per side, where a lattice is used.

        Raises:
            ValueError: there is no surface.
        """
        raise NotImplementedError

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device


class RivalObjective(TrainingObjective):
    """A rival and its losses for ``train.loop``. A rival that renders has a density in which nothing is learned."""

    def __init__(self, model: Rival) -> None:
        super().__init__()
        self.model, self.density, self.rendering = model, None, None

    def forward(self, batch: Batch, context: StepContext) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        """Compute the weighted sum, and every loss by name."""
        losses = self.model.losses(batch, context)
        total = torch.stack([self.model.weights[name] * loss for name, loss in losses.items()]).sum()
        return total, {name: loss.detach() for name, loss in losses.items()}


def method_of(rival: Rival, resolution: int = 128) -> Method:
    """A trained rival as a method of the evaluation."""
    rival = rival.eval()

    @torch.no_grad()
    def run(case: Case) -> ColoredSurface:
        return rival.reconstruct(case, resolution)

    return run
