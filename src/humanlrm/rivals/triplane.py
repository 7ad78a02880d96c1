"""Row "triplane": a feed-forward triplane of today's kind.

Follows TripoSR (Tochilkin et al. 2024; architecture of LRM, Hong et al. 2023): image tokens, a decoder whose learned
plane tokens attend to each other and to the image, planes upsampled by a deconvolution, and one MLP of concatenated
plane features for density and color; no camera is given, and only renderings are compared. Reduced against it:

- EfficientNet-Lite0 with trained coarser blocks and one attention layer at 256 px instead of DINO ViT-B/16 at 512 px;
- 6 layers of 192 channels and 3 heads instead of 16 of 1,024 and 16; 3 x 16 x 16 tokens instead of 3 x 32 x 32;
- planes of 32 x 32 x 24 instead of 64 x 64 x 40; an MLP of 5 hidden layers instead of 9 of the same 64 channels;
- our renderer's 32 samples per ray instead of 128, and its perceptual loss instead of LPIPS.

Other than TripoSR: the density starts as a blob (the bias of Magic3D, Lin et al. 2023) instead of a constant, so that
a young network has a surface, and there is one stage of training.
"""

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from humanlrm.evaluate.case import Case, ColoredSurface
from humanlrm.evaluate.methods import colors_at_vertices, inputs_at
from humanlrm.extraction import extract_body
from humanlrm.frame import sample_plane
from humanlrm.model.blocks import Attention, Block, mlp, zero_init
from humanlrm.model.encoder import LiteEncoder, TrainableTrunk
from humanlrm.model.field import FieldSamples
from humanlrm.model.latent_decoder import GatedMLP
from humanlrm.render.density import SURFACE_DENSITY, RadianceField
from humanlrm.render.settings import Sampling
from humanlrm.rivals.rival import Rival
from humanlrm.train.config import RenderSchedule, RenderStage
from humanlrm.train.losses import Losses
from humanlrm.train.objective import StepContext
from humanlrm.train.perceptual import PerceptualLoss
from humanlrm.train.render_losses import render_losses
from humanlrm.views import Batch, on_grey

#: Logarithm of the density at the middle of the blob, and the radius where that addition ends (box units).
_BLOB, _BLOB_RADIUS = 10.0, 0.7
#: The logarithm of the density stays below this: a gradient of e^15 helps nobody.
_MOST_LOG_DENSITY = 12.0
#: TripoSR's bias of the density.
_DENSITY_BIAS = -1.0


@dataclass(frozen=True)
class TriplaneRivalConfig:
    """Sizes of :class:`TriplaneRival`.

    Attributes:
        family: names the rival in its checkpoints.
        image_px: side of the square input crop; a multiple of 32.
        width: channels of a plane token.
        depth: layers of the decoder.
        heads: attention heads.
        side: tokens along a side of each plane; planes have twice as many pixels.
        channels: of the planes.
        layers: hidden layers of the MLP.
        samples: intervals per ray.
    """

    family: Literal["rival-triplane"] = "rival-triplane"
    image_px: int = 256
    width: int = 192
    depth: int = 6
    heads: int = 3
    side: int = 16
    channels: int = 24
    layers: int = 5
    samples: int = 32


def triplane_rendering() -> RenderSchedule:
    """Renderings that :class:`TriplaneRival` learns from; the intervals are those of its config."""
    low = RenderStage(render_px=64, rays=256)
    return RenderSchedule(low=low, high=RenderStage(render_px=128, rays=256, patch_px=24), patch_every=2)


class ExpDensity(nn.Module):
    """TripoSR's density, ``exp(x - 1)``, of a value that is 0 where the density counts as surface, negative inside."""

    def forward(self, sdf: Float[Tensor, "*B S"]) -> Float[Tensor, "*B S"]:
        return SURFACE_DENSITY * torch.exp(-sdf)

    def blurred(self, sdf: Float[Tensor, "*B S"], width: Float[Tensor, "*B 1"]) -> Float[Tensor, "*B S"]:
        """The same density: a free density has no width that could be widened."""
        return self(sdf)


class TriplaneBlock(nn.Module):
    """TripoSR's order: self-attention among all planes, cross-attention to the image, gated MLP."""

    def __init__(self, width: int, memory: int, heads: int) -> None:
        super().__init__()
        self.norm_self, self.norm_cross, self.norm_mlp = (nn.LayerNorm(width) for _ in range(3))
        self.among, self.cross = Attention(width, width, heads), Attention(width, memory, heads)
        for part in (self.among, self.cross):
            zero_init(part.project)
        self.mlp = GatedMLP(width)

    def forward(self, tokens: Float[Tensor, "B N D"], memory: Float[Tensor, "B M E"]) -> Float[Tensor, "B N D"]:
        normed = self.norm_self(tokens)
        tokens = tokens + self.among(normed, normed)
        tokens = tokens + self.cross(self.norm_cross(tokens), memory)
        return tokens + self.mlp(self.norm_mlp(tokens))


class TriplaneRival(Rival):
    """Image tokens to a triplane, and its density and color."""

    weights: ClassVar[dict[str, float]] = {"rgb": 1.0, "perceptual": 0.1, "mask": 0.05}

    def __init__(self, config: TriplaneRivalConfig) -> None:
        super().__init__()
        self.config, self.schedule = config, triplane_rendering()
        self.net, self.trunk = LiteEncoder(), TrainableTrunk()
        memory = self.net.channels[3] + self.net.channels[4]
        self.norm_image = nn.LayerNorm(memory)
        self.place = nn.Parameter(torch.randn(1, (config.image_px // 16) ** 2, memory) * 0.02)
        self.image_block = Block(memory, 4)
        self.planes = nn.Parameter(torch.randn(1, 3 * config.side**2, config.width) * 0.3)
        self.blocks = nn.ModuleList([TriplaneBlock(config.width, memory, config.heads) for _ in range(config.depth)])
        self.norm = nn.LayerNorm(config.width)
        self.up = nn.ConvTranspose2d(config.width, config.channels, 2, stride=2)
        self.trunk_mlp = mlp(3 * config.channels, 64, config.layers)
        for layer in self.trunk_mlp:
            if isinstance(layer, nn.Linear):
                nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
        self.leave = zero_init(nn.Linear(64, 4))
        self.density = ExpDensity()
        self._perceptual = PerceptualLoss(self.net)

    def forward(self, image: Float[Tensor, "B 5 H W"]) -> Float[Tensor, "B 3 C S S"]:
        """Photos to planes XY, ZY, XZ, which span [-1, 1]^2; first rows are +y, +y, +z."""
        pyramid = self.trunk(self.net.fine(on_grey(image)))
        coarse = nn.functional.interpolate(pyramid.stride32, scale_factor=2, mode="bilinear")
        features = rearrange(torch.cat([pyramid.stride16, coarse], dim=1), "B C h w -> B (h w) C")
        memory = self.image_block(self.norm_image(features) + self.place)
        tokens = self.planes.expand(len(image), -1, -1)
        for block in self.blocks:
            tokens = block(tokens, memory)
        side = self.config.side
        planes = rearrange(self.norm(tokens), "B (p h w) D -> (B p) D h w", p=3, h=side)
        return rearrange(self.up(planes), "(B p) C h w -> B p C h w", p=3)

    def values(self, planes: Float[Tensor, "B 3 C S S"], points: Float[Tensor, "B P 3"]) -> Float[Tensor, "B P 4"]:
        """Color before the sigmoid, and ``log`` of surface density over density: negative inside."""
        xy, zy, xz = planes.unbind(1)
        features = [
            sample_plane(xy, points[..., :2]),
            sample_plane(zy, points[..., [2, 1]]),
            sample_plane(xz, points[..., [0, 2]]),
        ]
        out = self.leave(self.trunk_mlp(torch.cat(features, dim=-1)))
        blob = _BLOB * (1 - points.norm(dim=-1) / _BLOB_RADIUS)
        log_density = (out[..., 3] + _DENSITY_BIAS + blob).clamp(max=_MOST_LOG_DENSITY)
        return torch.cat([out[..., :3], (math.log(SURFACE_DENSITY) - log_density)[..., None]], dim=-1)

    def radiance_field(self, planes: Float[Tensor, "B 3 C S S"]) -> RadianceField:
        """The people for the renderer; they have no normals, and nothing here asks for any."""

        def samples(points: Float[Tensor, "B P 3"]) -> FieldSamples:
            out, none = self.values(planes, points), torch.zeros_like(points)
            return FieldSamples(out[..., 3], none, none, out[..., :3].sigmoid())

        return RadianceField(lambda points: self.values(planes, points)[..., 3], samples, self.density)

    def losses(self, batch: Batch, context: StepContext) -> Losses:
        if batch.supervision.targets is None:
            raise ValueError("this rival learns from renderings: the samples need target views")
        sampling = Sampling(coarse=0, fine=self.config.samples, shaded=None)
        stage = replace(self.schedule.at(context.progress), sampling=sampling)
        rendered = render_losses(
            self.radiance_field(self(batch.inputs.image)),
            batch.supervision.targets,
            stage,
            torch.Generator().manual_seed(context.seed),
            self._perceptual if context.patch else None,
        )
        return {name: rendered[name] for name in self.weights}

    def reconstruct(self, case: Case, resolution: int) -> ColoredSurface:
        planes = self(inputs_at(case.shown, self.config.image_px).to(self.device).image)
        values = lambda points: self.values(planes, points[None].to(self.device))[0].cpu()  # noqa: E731
        surface = extract_body(lambda points: values(points)[:, 3], resolution, None)
        return ColoredSurface(surface, colors_at_vertices(surface, lambda points, _: values(points)[:, :3].sigmoid()))
