"""Sizes of the denoisers of triplanes and of landmarks, and presets."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from humanlrm.body.landmarks import COUNT


@dataclass(frozen=True)
class DenoiserConfig:
    """Sizes of :class:`humanlrm.model.denoiser.Denoiser`, and the numbers that make its latents of size 1.

    Attributes:
        family: tells the families apart in ``config.json``.
        channels: of the latent triplane (``PaperConfig.bottleneck``).
        side: of the latent planes (``PaperConfig.plane_side``).
        patch: latent pixels along a token's side.
        memory: channels of the given view's tokens (the width of its encoder).
        width: channels of a token.
        depth: transformer layers.
        heads: attention heads.
        mean, scale: mean and standard deviation of the teacher's latents over the training people, by plane and
            channel (plane XY first); stored with the model because it means nothing without them.
    """

    family: Literal["denoiser"] = "denoiser"
    channels: int = 16
    side: int = 16
    patch: int = 2
    memory: int = 432
    width: int = 256
    depth: int = 8
    heads: int = 4
    mean: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for name in ("channels", "side", "patch", "memory", "width", "depth", "heads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if self.side % self.patch:
            raise ValueError(f"side must be a multiple of patch, got side={self.side}, patch={self.patch}")
        if self.width % self.heads:
            raise ValueError(f"width must be a multiple of heads, got width={self.width}, heads={self.heads}")
        if {len(self.mean), len(self.scale)} - {0, 3 * self.channels} or len(self.mean) != len(self.scale):
            raise ValueError(
                f"mean and scale need 3 x {self.channels} numbers each (or none: 0 and 1), got {len(self.mean)} and "
                f"{len(self.scale)}"
            )
        if any(not s > 0 for s in self.scale):
            raise ValueError(f"scale must be positive everywhere, got {min(self.scale)}")


@dataclass(frozen=True)
class PoseDenoiserConfig:
    """Sizes of :class:`humanlrm.model.pose_denoiser.PoseDenoiser`, and what makes its errors of size 1.

    Attributes:
        family: tells the families apart in ``config.json``.
        token_channels: numbers that are told of each landmark.
        share: numbers that remain of each.
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


def tiny_denoiser() -> DenoiserConfig:
    """For tests: seconds on a CPU; for 8 x 8 latents of 8 channels."""
    return DenoiserConfig(channels=8, side=8, patch=2, width=64, depth=2, heads=2)


def small_denoiser() -> DenoiserConfig:
    """For two CPU cores: 3 x 64 tokens of a 16 x 16 latent of 16 channels."""
    return DenoiserConfig()


DENOISERS: dict[str, Callable[[], DenoiserConfig]] = {"tiny": tiny_denoiser, "small": small_denoiser}
