"""Decoder of the paper's family: view tokens to a latent triplane, and from there to feature planes.

A latent triplane is a tensor (B, 3, C, s, s), planes in the order XY, ZY, XZ. Single-view model, multi-view teacher and
diffusion all make one, so they are interchangeable; :class:`LatentUpsampler` is common to them.
"""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from humanlrm.model.blocks import Attention, Pointwise, depth_layer, zero_init
from humanlrm.model.config import PaperConfig
from humanlrm.model.landmark_head import LandmarkEstimate
from humanlrm.model.triplane import InputView, Triplane
from humanlrm.model.view_encoder import ViewFeatures, ViewTokens

#: Channels of the pixel features, and of the picture itself (RGB, alpha, known).
FEATURES = 16
PICTURE = 5
_MIDDLE = 32
_GATE_EXPANSION = 4
#: Deviation of new plane tokens: large enough that what all tokens have in common, which is learned first, does not
#: drown the place of each (of 0.02, 0.3 and 1 the one that overfits four people soonest).
_TOKEN = 0.3


class GatedMLP(nn.Module):
    """GEGLU (Shazeer 2020), as in TripoSR's decoder. The output projection starts at zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enter = nn.Linear(width, 2 * _GATE_EXPANSION * width)
        self.leave = zero_init(nn.Linear(_GATE_EXPANSION * width, width))

    def forward(self, tokens: Float[Tensor, "B N D"]) -> Float[Tensor, "B N D"]:
        value, gate = self.enter(tokens).chunk(2, dim=-1)
        return self.leave(value * nn.functional.gelu(gate))


class PlaneBlock(nn.Module):
    """Pre-norm cross-attention to the views, self-attention among all planes, MLP (LRM's order). The output projections
    start at zero, so a new block is the identity."""

    def __init__(self, width: int, memory: int, heads: int) -> None:
        super().__init__()
        self.norm_cross, self.norm_self, self.norm_mlp = (nn.LayerNorm(width) for _ in range(3))
        self.cross = Attention(width, memory, heads)
        self.among = Attention(width, width, heads)
        for part in (self.cross, self.among):
            zero_init(part.project)
        self.mlp = GatedMLP(width)

    def forward(self, tokens: Float[Tensor, "B N D"], memory: Float[Tensor, "B M E"]) -> Float[Tensor, "B N D"]:
        tokens = tokens + self.cross(self.norm_cross(tokens), memory)
        normed = self.norm_self(tokens)
        tokens = tokens + self.among(normed, normed)
        return tokens + self.mlp(self.norm_mlp(tokens))


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
        self.first, self.second = smooth_conv(channels, channels), zero_init(smooth_conv(channels, channels))

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


class LatentUpsampler(nn.Module):
    """Latent triplane to feature planes; one set of weights for the three planes, and an embedding of each."""

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


class ViewHead(nn.Module):
    """Tokens and picture of the first view to features at half the image's size, and, if asked for, depth maps."""

    def __init__(self, encoder_width: int, depth: bool) -> None:
        super().__init__()
        self.enter = Pointwise(encoder_width, _MIDDLE)
        self.mix = nn.Sequential(smooth_conv(_MIDDLE + PICTURE, _MIDDLE), nn.SiLU(), smooth_conv(_MIDDLE, FEATURES))
        self.depth = depth_layer(FEATURES) if depth else None

    def forward(
        self, picture: Float[Tensor, "B 5 H W"], tokens: ViewTokens
    ) -> tuple[Float[Tensor, "B 16 h w"], Float[Tensor, "B 2 h w"] | None]:
        small = nn.functional.avg_pool2d(picture, 2)
        coarse = nn.functional.interpolate(self.enter(tokens.patches), size=small.shape[-2:], mode="bilinear")
        features = self.mix(torch.cat([coarse, small], dim=1)).float()
        return features, None if self.depth is None else self.depth(features).float()


class LatentDecoder(nn.Module):
    """Decoder part of the paper's family: learned tokens of three planes attend to the views (LRM's decoder); a narrow
    exit, the latent triplane; upsampling.

    Attributes:
        latent_shape: of the latent triplane of one subject.
        reads_estimate: whether it needs the landmark head's tokens beside the landmarks.
        predicts_depth: whether it predicts depth maps.
    """

    def __init__(self, config: PaperConfig, memory: int) -> None:
        super().__init__()
        side = config.plane_side
        self.latent_shape = (3, config.bottleneck, side, side)
        self.plane_tokens, self.reads_estimate = 3 * side**2, config.landmarks
        self.predicts_depth = config.depth_prior
        self.planes = nn.Parameter(torch.randn(1, 3 * side**2, config.width) * _TOKEN)
        self.blocks = nn.ModuleList([PlaneBlock(config.width, memory, config.heads) for _ in range(config.depth)])
        self.norm = nn.LayerNorm(config.width)
        self.leave = nn.Linear(config.width, config.bottleneck)
        self.upsampler = LatentUpsampler(config)
        self.view_head = ViewHead(memory, config.depth_prior) if config.pixel_features or config.depth_prior else None

    def forward(
        self,
        features: ViewFeatures,
        landmarks: Float[Tensor, "B J 3"] | None = None,
        estimate: LandmarkEstimate | None = None,
    ) -> Triplane:
        """The planes of people in views. The planes depend on the estimate, the field on the landmarks (box units)."""
        latent = self.to_latent(self.memory(features, estimate))
        return self.from_latent(latent, self.view(features, landmarks, estimate))

    def memory(self, features: ViewFeatures, estimate: LandmarkEstimate | None = None) -> Float[Tensor, "B M E"]:
        """Tokens that the planes attend to: those of the landmarks, if the model has any, then of the views."""
        if not self.reads_estimate:
            return features.memory
        if estimate is None:
            raise ValueError("this decoder needs the landmark head's tokens, got none: estimate the landmarks first")
        return torch.cat([estimate.tokens, features.memory], dim=1)

    def to_latent(self, memory: Float[Tensor, "B M E"]) -> Float[Tensor, "B 3 C s s"]:
        """Tokens, those of the views in any order, to the latent triplane (planes XY, ZY, XZ)."""
        tokens = self.planes.expand(len(memory), -1, -1)
        for block in self.blocks:
            tokens = block(tokens, memory)
        side = self.latent_shape[-1]
        return rearrange(self.leave(self.norm(tokens)), "B (p h w) C -> B p C h w", p=3, h=side)

    def view(
        self,
        features: ViewFeatures,
        landmarks: Float[Tensor, "B J 3"] | None = None,
        estimate: LandmarkEstimate | None = None,
    ) -> InputView:
        """Maps of the first view that points sample."""
        pixels = depth = None
        if self.view_head is not None:
            pixels, depth = self.view_head(features.picture, features.first)
        estimated = None if estimate is None else estimate.points
        return InputView(features.picture, pixels, depth, landmarks, estimated)

    def from_latent(self, latent: Float[Tensor, "B 3 C s s"], view: InputView) -> Triplane:
        """Latent triplane to the planes that the field samples."""
        xy, zy, xz = self.upsampler(latent).float().unbind(1)
        return Triplane(xy, zy, xz, view)
