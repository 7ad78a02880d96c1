"""The network of the triplane diffusion: a noisy latent triplane and one, perhaps half-hidden, view to a cleaner one.

A diffusion transformer (DiT, Peebles & Xie 2023) over patches of the three planes. What its output means (denoised
latent, noise, velocity) is the business of ``diffusion.process``; here are only tensors in, tensors out.
"""

from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from humanlrm.model.blocks import Attention
from humanlrm.model.denoiser_config import DenoiserConfig

_EXPANSION = 4
_FREQUENCIES = 32

Some = TypeVar("Some", bound="DenoiserCondition")


@dataclass(frozen=True)
class DenoiserCondition:
    """What a denoiser is told of people: tensors, people first.

    Attributes:
        present: false: nothing is known of this person (classifier-free guidance); the rest does not matter.
    """

    present: Bool[Tensor, "B"]

    def repeated(self: Some, count: int) -> Some:
        """Every person ``count`` times, one after the other."""
        return replace(self, **{name: value.repeat_interleave(count, dim=0) for name, value in vars(self).items()})

    def without(self: Some, dropped: Bool[Tensor, "B"]) -> Some:
        """Nothing is known of the people that are ``dropped``."""
        return replace(self, present=self.present & ~dropped)

    def and_none(self: Some) -> Some:
        """The batch twice: as it is, then with nothing known."""
        nothing = vars(self.without(torch.ones_like(self.present)))
        return replace(self, **{name: torch.cat([value, nothing[name]]) for name, value in vars(self).items()})


@dataclass(frozen=True)
class TriplaneCondition(DenoiserCondition):
    """What the triplane denoiser is told of a person.

    Attributes:
        tokens: of the given view, as the reconstruction model's encoder makes them.
        counts: which of them may be looked at; the others show something in front of the person or lie outside of the
            photo.
        latent: what the single-view model makes of the view, normalised (:meth:`Denoiser.normalised`).
    """

    tokens: Float[Tensor, "B M E"]
    counts: Bool[Tensor, "B M"]
    latent: Float[Tensor, "B 3 C s s"]


class LevelEmbedding(nn.Module):
    """The noise level, and whether anything else is told, as one vector."""

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


class NoiseBlock(nn.Module):
    """Self-attention among all planes, cross-attention to the view, MLP; each is scaled, shifted and gated by the noise
    level, and the gates start at zero (adaLN-Zero, DiT section 3.2; the cross-attention's share of it is our choice).
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.among, self.cross = Attention(width, width, heads), Attention(width, width, heads)
        self.mlp = nn.Sequential(
            nn.Linear(width, _EXPANSION * width), nn.GELU("tanh"), nn.Linear(_EXPANSION * width, width)
        )
        self.modulate = nn.Linear(width, 9 * width)
        nn.init.zeros_(self.modulate.weight)
        nn.init.zeros_(self.modulate.bias)

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
    """Patches of the noisy latent and, beside them, of the single-view latent; ``depth`` blocks; patches again.

    The view's tokens are asked by cross-attention. A learned token that stands for "nothing" can always be looked at:
    it is all that is left where no token counts.
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
        self.modulate = nn.Linear(width, 2 * width)
        self.leave = nn.Linear(width, pixels)
        for layer in (self.modulate, self.leave):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

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
            log_noise: tells the noise level; numbers of about -2 to 2.
            condition: of the same B people.

        Raises:
            ValueError: latents of another size than the config's.
        """
        config = self.config
        if noisy.shape[1:] != (3, config.channels, config.side, config.side):
            expected = (3, config.channels, config.side, config.side)
            raise ValueError(f"Denoiser: latents of shape {tuple(noisy.shape[1:])}, the config says {expected}")
        known = condition.present[:, None, None, None, None]
        hint = torch.where(known, condition.latent, torch.zeros_like(condition.latent))
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
