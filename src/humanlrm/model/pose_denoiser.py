"""Denoiser of landmarks: noisy landmarks and the features of a photo's landmarks to cleaner ones.

People of the small family are built on their landmarks, so sampled landmarks are sampled people: an arm behind the
back, a leg below the photo's border, which of two knees is in front. The diffused variable is the error of the estimate
(the paper diffuses triplanes: ``diffusion.latent``).
"""

from dataclasses import dataclass, replace
from typing import Literal, TypeVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from humanlrm.body.landmarks import COUNT
from humanlrm.model.blocks import zero_init

_EXPANSION = 2
_DROPOUT = 0.1
_FREQUENCIES = 32

Condition = TypeVar("Condition", bound="DenoiserCondition")


@dataclass(frozen=True)
class PoseDenoiserConfig:
    """Sizes of :class:`PoseDenoiser`, and the scale of its errors.

    Attributes:
        family: tells the families apart in ``config.json``.
        token_channels: features of each landmark.
        share: channels that they are projected to.
        width: of the residual blocks.
        depth: residual blocks.
        scale: size of the errors by landmark and axis, box units (x, y, z of the first landmark first).
    """

    family: Literal["pose-denoiser"] = "pose-denoiser"
    token_channels: int = 208
    share: int = 24
    width: int = 320
    depth: int = 3
    scale: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for name in ("token_channels", "share", "width", "depth"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if len(self.scale) not in (0, 3 * COUNT) or any(not s > 0 for s in self.scale):
            raise ValueError(f"scale needs {3 * COUNT} positive numbers (or none: 1), got {len(self.scale)}")


@dataclass(frozen=True)
class DenoiserCondition:
    """Condition of a denoiser: tensors with one row per person.

    Attributes:
        present: False where nothing is known of a person (classifier-free guidance); the other tensors do not matter.
    """

    present: Bool[Tensor, "B"]

    def repeated(self: Condition, count: int) -> Condition:
        """Every person ``count`` times, one after the other."""
        return replace(self, **{name: value.repeat_interleave(count, dim=0) for name, value in vars(self).items()})

    def without(self: Condition, dropped: Bool[Tensor, "B"]) -> Condition:
        """The condition with nothing known of the ``dropped`` people."""
        return replace(self, present=self.present & ~dropped)

    def and_none(self: Condition) -> Condition:
        """The batch twice: as it is, then with nothing known."""
        nothing = vars(self.without(torch.ones_like(self.present)))
        return replace(self, **{name: torch.cat([value, nothing[name]]) for name, value in vars(self).items()})


class LevelEmbedding(nn.Module):
    """Noise level and presence of a condition as one vector."""

    frequencies: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", torch.logspace(-1, 1, _FREQUENCIES), False)
        self.layers = nn.Sequential(
            nn.Linear(2 * _FREQUENCIES + 1, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()
        )

    def forward(self, log_noise: Float[Tensor, "B"], present: Bool[Tensor, "B"]) -> Float[Tensor, "B D"]:
        """Args: ``log_noise`` numbers of about -2 to 2."""
        waves = log_noise[:, None] * self.frequencies
        return self.layers(torch.cat([waves.sin(), waves.cos(), present[:, None].to(waves)], dim=-1))


@dataclass(frozen=True)
class PoseCondition(DenoiserCondition):
    """Condition of the pose denoiser.

    Attributes:
        tokens: features of each landmark.
        estimate: the reconstruction model's landmarks, box units.
        reach: distance from there within which the picture shows each (ndc).
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
            nn.Dropout(_DROPOUT),
            nn.Linear(_EXPANSION * width, width),
        )
        self.own = nn.Parameter(torch.randn(3, width) / width**0.5)

    def forward(self, x: Float[Tensor, "B D"], modulation: Float[Tensor, "B 3 D"]) -> Float[Tensor, "B D"]:
        shift, scale, gate = (modulation + self.own).unbind(1)
        return x + gate * self.mlp(self.norm(x) * (1 + scale) + shift)


class PoseDenoiser(nn.Module):
    """Noisy errors of all landmarks and their features, ``depth`` residual blocks, errors again.

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
        self.modulate = zero_init(nn.Linear(width, 3 * width))
        self.blocks = nn.ModuleList([_Block(width) for _ in range(config.depth)])
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.leave = zero_init(nn.Linear(width, COUNT * 3))

    def normalised(self, points: Float[Tensor, "B J 3"], estimate: Float[Tensor, "B J 3"]) -> Float[Tensor, "B J 3"]:
        """Errors of the estimate, of deviation 1."""
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
            log_noise: noise levels; numbers of about -2 to 2.
            condition: of the same B people.
        """
        present = condition.present[:, None].to(noisy)
        x = self.enter(noisy.flatten(1)) + present * self.condition(self.project(condition.tokens).flatten(1))
        modulation = self.modulate(self.level(log_noise, condition.present)).unflatten(-1, (3, -1))
        for block in self.blocks:
            x = block(x, modulation)
        return self.leave(self.norm(x)).unflatten(-1, (COUNT, 3))
