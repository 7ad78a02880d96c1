"""The latent triplane's decoder: three narrow planes to the feature planes that the field reads.

A latent triplane is a tensor (B, 3, C, s, s), planes in the order XY, ZY, XZ. Single-view model, multi-view teacher and
diffusion all make one, so that they are interchangeable; this decoder is common to them.
"""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from humanlrm.model.config import PaperConfig


def smooth_conv(inputs: int, outputs: int) -> nn.Conv2d:
    """3x3; the border value goes on outside, because zeros there would show up as a frame around every plane.

    Initial weights keep the size of what passes through (Kaiming), so that new planes have features of about 1.
    """
    layer = nn.Conv2d(inputs, outputs, 3, padding=1, padding_mode="replicate")
    nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
    return layer


class Mix(nn.Module):
    """A residual pair of convolutions. Starts as the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = smooth_conv(channels, channels), smooth_conv(channels, channels)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)  # pyright: ignore[reportArgumentType]

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        return x + self.second(nn.functional.silu(self.first(nn.functional.silu(x))))


class Upsample(nn.Module):
    """Twice the size: bilinear, then a learned convolution.

    LRM's deconvolution (stride = kernel) gives the pixels of a token different weights, which leaves a pattern of the
    tokens' period in the planes and ripples on the surface. Here all pixels share their weights (Odena et al. 2016).
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = smooth_conv(inputs, outputs)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B c Hf Wf"]:
        return self.conv(nn.functional.interpolate(x, scale_factor=2, mode="bilinear"))


class LatentDecoder(nn.Module):
    """Latent triplane to feature planes; one set of weights for the three planes, told apart by an embedding."""

    def __init__(self, config: PaperConfig) -> None:
        super().__init__()
        width = config.upsample_width
        self.enter = smooth_conv(config.bottleneck, width)
        self.which = nn.Parameter(torch.randn(3, width, 1, 1) * 0.02)
        self.mix = nn.Sequential(Mix(width), Mix(width))
        steps: list[nn.Module] = []
        for _ in range(config.upsample.bit_length() - 1):
            steps += [Upsample(width, width), nn.SiLU()]
        self.up = nn.Sequential(*steps)
        self.leave = smooth_conv(width, config.plane_channels)

    def forward(self, latent: Float[Tensor, "B 3 C s s"]) -> Float[Tensor, "B 3 F S S"]:
        x = self.enter(rearrange(latent, "B p C h w -> (B p) C h w"))
        x = x + self.which.repeat(len(latent), 1, 1, 1)
        return rearrange(self.leave(self.up(self.mix(x))), "(B p) F h w -> B p F h w", p=3)
