"""The network of the landmark diffusion: noisy landmarks and what a photo tells of them to cleaner ones.

People of the small family are built on their landmarks, so whoever samples landmarks samples people: an arm behind the
back, a leg below the photo's border, which of two knees is in front. What is diffused is how far the truth is from the
estimate (our choice; the paper diffuses triplanes: ``model.denoiser``).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from humanlrm.body.landmarks import COUNT
from humanlrm.model.denoiser import DenoiserCondition, LevelEmbedding
from humanlrm.model.denoiser_config import PoseDenoiserConfig

_EXPANSION = 2
_FORGET = 0.1


@dataclass(frozen=True)
class PoseCondition(DenoiserCondition):
    """What the pose denoiser is told of a person.

    Attributes:
        tokens: of each landmark.
        estimate: the landmarks that the reconstruction model would use, box units.
        reach: how far from there the picture allows each to be seen (ndc).
    """

    tokens: Float[Tensor, "B J T"]
    estimate: Float[Tensor, "B J 3"]
    reach: Float[Tensor, "B J"]


class _Block(nn.Module):
    """A residual MLP, scaled, shifted and gated by the noise level: one modulation for all blocks and a table of each
    block's own (adaLN-single, PixArt-alpha, Chen et al. 2023)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.mlp = nn.Sequential(
            nn.Linear(width, _EXPANSION * width),
            nn.GELU("tanh"),
            nn.Dropout(_FORGET),
            nn.Linear(_EXPANSION * width, width),
        )
        self.own = nn.Parameter(torch.randn(3, width) / width**0.5)

    def forward(self, x: Float[Tensor, "B D"], modulation: Float[Tensor, "B 3 D"]) -> Float[Tensor, "B D"]:
        shift, scale, gate = (modulation + self.own).unbind(1)
        return x + gate * self.mlp(self.norm(x) * (1 + scale) + shift)


class PoseDenoiser(nn.Module):
    """Noisy errors of all landmarks and what is told of each, ``depth`` residual blocks, errors again.

    One vector per person, as in the lifter: a transformer over the landmarks needs twenty times as many operations.
    """

    scale: Tensor

    def __init__(self, config: PoseDenoiserConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.register_buffer("scale", torch.tensor(config.scale or [1.0] * 3 * COUNT).view(COUNT, 3), False)
        self.project = nn.Sequential(
            nn.LayerNorm(config.token_channels), nn.Linear(config.token_channels, config.share), nn.SiLU()
        )
        self.enter = nn.Linear(COUNT * 3, width)
        self.condition = nn.Linear(COUNT * config.share, width)
        self.level = LevelEmbedding(width)
        self.modulate = nn.Linear(width, 3 * width)
        self.blocks = nn.ModuleList([_Block(width) for _ in range(config.depth)])
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.leave = nn.Linear(width, COUNT * 3)
        for layer in (self.modulate, self.leave):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def normalised(self, points: Float[Tensor, "B J 3"], estimate: Float[Tensor, "B J 3"]) -> Float[Tensor, "B J 3"]:
        """How far landmarks are from the estimate, of deviation 1."""
        return (points - estimate) / self.scale

    def restored(self, errors: Float[Tensor, "B J 3"], estimate: Float[Tensor, "B J 3"]) -> Float[Tensor, "B J 3"]:
        """Inverse of :meth:`normalised`: landmarks, box units."""
        return estimate + errors * self.scale

    def forward(
        self, noisy: Float[Tensor, "B J 3"], log_noise: Float[Tensor, "B"], condition: PoseCondition
    ) -> Float[Tensor, "B J 3"]:
        """The raw output, zero for a new network.

        Args:
            noisy: normalised errors and noise, together of size 1.
            log_noise: tells the noise level; numbers of about -2 to 2.
            condition: of the same B people.
        """
        known = condition.present[:, None].to(noisy)
        x = self.enter(noisy.flatten(1)) + known * self.condition(self.project(condition.tokens).flatten(1))
        modulation = self.modulate(self.level(log_noise, condition.present)).unflatten(-1, (3, -1))
        for block in self.blocks:
            x = block(x, modulation)
        return self.leave(self.norm(x)).unflatten(-1, (COUNT, 3))
