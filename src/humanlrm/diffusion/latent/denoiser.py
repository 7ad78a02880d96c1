"""Denoiser of latent triplanes: a noisy latent and one, perhaps half-hidden, view to a cleaner latent.

A diffusion transformer (DiT, Peebles & Xie 2023) over patches of the three planes. ``diffusion.process`` gives its raw
output a meaning (denoised latent, noise, velocity).
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from humanlrm.model.blocks import Attention, zero_init
from humanlrm.model.pose_denoiser import DenoiserCondition, LevelEmbedding
from humanlrm.model.pretrained import read_denoiser, with_weights

_EXPANSION = 4


@dataclass(frozen=True)
class DenoiserConfig:
    """Sizes of :class:`Denoiser`, and the numbers that make its latents of size 1.

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


def tiny_denoiser() -> DenoiserConfig:
    """For tests: seconds on a CPU; for 8 x 8 latents of 8 channels."""
    return DenoiserConfig(channels=8, side=8, patch=2, width=64, depth=2, heads=2)


def small_denoiser() -> DenoiserConfig:
    """For two CPU cores: 3 x 64 tokens of a 16 x 16 latent of 16 channels."""
    return DenoiserConfig()


DENOISERS: dict[str, Callable[[], DenoiserConfig]] = {"tiny": tiny_denoiser, "small": small_denoiser}


@dataclass(frozen=True)
class TriplaneCondition(DenoiserCondition):
    """Condition of the triplane denoiser.

    Attributes:
        tokens: of the given view, by the reconstruction model's encoder.
        counts: False for tokens that show something in front of the person or lie outside of the photo.
        latent: the single-view model's latent of the view, normalised (:meth:`Denoiser.normalised`).
    """

    tokens: Float[Tensor, "B M E"]
    counts: Bool[Tensor, "B M"]
    latent: Float[Tensor, "B 3 C s s"]


class NoiseBlock(nn.Module):
    """Self-attention among all planes, cross-attention to the view, MLP; each is scaled, shifted and gated by the noise
    level, and the gates start at zero (adaLN-Zero, DiT section 3.2, for the cross-attention as well)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.among, self.cross = Attention(width, width, heads), Attention(width, width, heads)
        self.mlp = nn.Sequential(
            nn.Linear(width, _EXPANSION * width), nn.GELU("tanh"), nn.Linear(_EXPANSION * width, width)
        )
        self.modulate = zero_init(nn.Linear(width, 9 * width))

    def forward(
        self,
        tokens: Float[Tensor, "B N D"],
        level: Float[Tensor, "B D"],
        memory: Float[Tensor, "B M D"],
        counts: Bool[Tensor, "B M"],
    ) -> Float[Tensor, "B N D"]:
        shift, scale, gate = rearrange(self.modulate(level), "B (three part D) -> three part B 1 D", three=3, part=3)
        x = self.norm(tokens) * (1 + scale[0]) + shift[0]
        tokens = tokens + gate[0] * self.among(x, x)
        x = self.norm(tokens) * (1 + scale[1]) + shift[1]
        tokens = tokens + gate[1] * self.cross(x, memory, counts)
        x = self.norm(tokens) * (1 + scale[2]) + shift[2]
        return tokens + gate[2] * self.mlp(x)


class Denoiser(nn.Module):
    """Patches of the noisy latent beside those of the single-view latent; ``depth`` blocks; patches again.

    The planes attend to the view's tokens and to a learned token for "nothing", which is all that is left where no
    token counts.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        self.config = config
        width, pixels = config.width, config.channels * config.patch**2
        planes = (3, config.channels, 1, 1)
        self.register_buffer("mean", torch.tensor(config.mean or [0.0] * 3 * config.channels).view(planes), False)
        self.register_buffer("scale", torch.tensor(config.scale or [1.0] * 3 * config.channels).view(planes), False)
        self.enter = nn.Linear(2 * pixels, width)
        self.place = nn.Parameter(torch.randn(3 * (config.side // config.patch) ** 2, width) * 0.02)
        self.level = LevelEmbedding(width)
        self.view = nn.Sequential(nn.LayerNorm(config.memory), nn.Linear(config.memory, width))
        self.nothing = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.blocks = nn.ModuleList([NoiseBlock(width, config.heads) for _ in range(config.depth)])
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulate = zero_init(nn.Linear(width, 2 * width))
        self.leave = zero_init(nn.Linear(width, pixels))

    def normalised(self, latent: Float[Tensor, "B 3 C s s"]) -> Float[Tensor, "B 3 C s s"]:
        """The reconstruction model's latent to mean 0 and standard deviation 1 per plane and channel."""
        return (latent - self.mean) / self.scale

    def restored(self, latent: Float[Tensor, "B 3 C s s"]) -> Float[Tensor, "B 3 C s s"]:
        """Inverse of :meth:`normalised`."""
        return latent * self.scale + self.mean

    def forward(
        self, noisy: Float[Tensor, "B 3 C s s"], log_noise: Float[Tensor, "B"], condition: TriplaneCondition
    ) -> Float[Tensor, "B 3 C s s"]:
        """The raw output, zero for a new network.

        Args:
            noisy: normalised latent and noise, together of size 1.
            log_noise: noise levels; numbers of about -2 to 2.
            condition: of the same B people.

        Raises:
            ValueError: latents of another size than the config's.
        """
        config = self.config
        if noisy.shape[1:] != (3, config.channels, config.side, config.side):
            expected = (3, config.channels, config.side, config.side)
            raise ValueError(f"Denoiser: latents of shape {tuple(noisy.shape[1:])}, the config says {expected}")
        present = condition.present[:, None, None, None, None]
        hint = torch.where(present, condition.latent, torch.zeros_like(condition.latent))
        tokens = self.enter(self._patches(torch.cat([noisy, hint], dim=2))) + self.place
        level = self.level(log_noise, condition.present)
        memory = torch.cat([self.nothing.expand(len(noisy), -1, -1), self.view(condition.tokens)], dim=1)
        counts = nn.functional.pad(condition.counts & condition.present[:, None], (1, 0), value=True)
        for block in self.blocks:
            tokens = block(tokens, level, memory, counts)
        shift, scale = self.modulate(level)[:, None].chunk(2, dim=-1)
        return self._planes(self.leave(self.norm(tokens) * (1 + scale) + shift))

    def _patches(self, planes: Float[Tensor, "B 3 C s s"]) -> Float[Tensor, "B N F"]:
        p = self.config.patch
        return rearrange(planes, "B k C (h p) (w q) -> B (k h w) (C p q)", p=p, q=p)

    def _planes(self, patches: Float[Tensor, "B N F"]) -> Float[Tensor, "B 3 C s s"]:
        p, h = self.config.patch, self.config.side // self.config.patch
        return rearrange(patches, "B (k h w) (C p q) -> B k C (h p) (w q)", k=3, h=h, p=p, q=p)


def denoiser_from_pretrained(folder: Path, device: str | torch.device = "cpu") -> Denoiser:
    """The denoiser in a folder, in evaluation mode.

    Raises:
        CheckpointError: the folder is incomplete or damaged, or not a denoiser's.
    """
    wrong = "holds a reconstruction model; give the folder of a denoiser"
    config, tensors = read_denoiser(folder, DenoiserConfig, wrong)
    return with_weights(Denoiser(config), tensors, folder, device)
