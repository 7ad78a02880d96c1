"""The network of the landmark diffusion: noisy landmarks and what a photo tells of them to cleaner ones.

A small diffusion transformer (DiT, Peebles & Xie 2023) whose tokens are the landmarks. People of the small family are
built on their landmarks, so whoever samples landmarks samples people: an arm behind the back, a leg below the photo's
border, which of two knees is in front. What is diffused is how far the truth is from the estimate (our choice; the
paper diffuses triplanes: ``model.denoiser``).
"""

from dataclasses import dataclass
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from humanlrm.landmarks import COUNT
from humanlrm.model.denoiser import Attention, LevelEmbedding, Told

_EXPANSION = 4
#: Errors are compared in this unit: below it they count as they are, above it by their logarithm, box units. Most
#: errors are some hundredths; a person who was taken for turned around has errors of one.
_BEND = 0.03


@dataclass(frozen=True)
class PoseDenoiserConfig:
    """Sizes of :class:`PoseDenoiser`, and the numbers that make what it diffuses of size 1.

    Attributes:
        family: tells the families apart in ``config.json``.
        told: numbers that are told of each landmark.
        width: channels of a token.
        depth: transformer layers.
        heads: attention heads.
        scale: deviation of the bent errors, by landmark and axis (x, y, z of the first landmark first).
    """

    family: Literal["pose-denoiser"] = "pose-denoiser"
    told: int = 208
    width: int = 192
    depth: int = 4
    heads: int = 4
    scale: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for name in ("told", "width", "depth", "heads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if self.width % self.heads:
            raise ValueError(f"width must be a multiple of heads, got width={self.width}, heads={self.heads}")
        if len(self.scale) not in (0, 3 * COUNT) or any(not s > 0 for s in self.scale):
            raise ValueError(f"scale needs {3 * COUNT} positive numbers (or none: 1), got {len(self.scale)}")


@dataclass(frozen=True)
class PoseCondition(Told):
    """What the pose denoiser is told of a person.

    Attributes:
        tokens: of each landmark.
        estimate: the landmarks that the reconstruction model would use, box units.
    """

    tokens: Float[Tensor, "B J T"]
    estimate: Float[Tensor, "B J 3"]


class _Block(nn.Module):
    """Self-attention among the landmarks and MLP, both scaled, shifted and gated by the noise level: one modulation for
    all blocks and a table of each block's own (adaLN-single, PixArt-alpha, Chen et al. 2023)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.among = Attention(width, heads)
        self.mlp = nn.Sequential(
            nn.Linear(width, _EXPANSION * width), nn.GELU("tanh"), nn.Linear(_EXPANSION * width, width)
        )
        self.own = nn.Parameter(torch.randn(6, width) / width**0.5)

    def forward(self, tokens: Float[Tensor, "B J D"], modulation: Float[Tensor, "B 6 D"]) -> Float[Tensor, "B J D"]:
        shift, scale, gate = rearrange(modulation + self.own, "B (three part) D -> three part B 1 D", three=3, part=2)
        x = self.norm(tokens) * (1 + scale[0]) + shift[0]
        tokens = tokens + gate[0] * self.among(x, x)
        x = self.norm(tokens) * (1 + scale[1]) + shift[1]
        return tokens + gate[1] * self.mlp(x)


class PoseDenoiser(nn.Module):
    """Each landmark's noisy error, beside what is told of it, as a token; ``depth`` blocks; errors again."""

    scale: Tensor

    def __init__(self, config: PoseDenoiserConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.register_buffer("scale", torch.tensor(config.scale or [1.0] * 3 * COUNT).view(COUNT, 3), False)
        self.enter = nn.Linear(3, width)
        self.told = nn.Sequential(nn.LayerNorm(config.told), nn.Linear(config.told, width))
        self.name = nn.Parameter(torch.randn(COUNT, width) * 0.02)
        self.level = LevelEmbedding(width)
        self.modulate = nn.Linear(width, 6 * width)
        self.blocks = nn.ModuleList([_Block(width, config.heads) for _ in range(config.depth)])
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.leave = nn.Linear(width, 3)
        for layer in (self.modulate, self.leave):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def normalised(
        self, points: Float[Tensor, "B J 3"], estimate: Float[Tensor, "B J 3"]
    ) -> Float[Tensor, "B J 3"]:
        """How far landmarks are from the estimate, bent and of deviation 1 (:func:`bent`)."""
        return bent(points - estimate) / self.scale

    def restored(self, errors: Float[Tensor, "B J 3"], estimate: Float[Tensor, "B J 3"]) -> Float[Tensor, "B J 3"]:
        """Inverse of :meth:`normalised`: landmarks, box units."""
        return estimate + _BEND * (errors * self.scale).sinh()

    def forward(
        self, noisy: Float[Tensor, "B J 3"], log_noise: Float[Tensor, "B"], condition: PoseCondition
    ) -> Float[Tensor, "B J 3"]:
        """The raw output, zero for a new network.

        Args:
            noisy: normalised errors and noise, together of size 1.
            log_noise: tells the noise level; numbers of about -2 to 2.
            condition: of the same B people.
        """
        known = condition.given[:, None, None].to(noisy)
        tokens = self.enter(noisy) + self.name + known * self.told(condition.tokens)
        modulation = self.modulate(self.level(log_noise, condition.given)).unflatten(-1, (6, -1))
        for block in self.blocks:
            tokens = block(tokens, modulation)
        return self.leave(self.norm(tokens))


def bent(errors: Float[Tensor, "*B J 3"]) -> Float[Tensor, "*B J 3"]:
    """Errors (box units) as they are diffused: large ones by their logarithm."""
    return (errors / _BEND).asinh()
