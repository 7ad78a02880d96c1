"""Decoder of ``small``: a transformer over plane tokens, then learned upsampling to feature planes."""

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from humanlrm.body.landmarks import COUNT
from humanlrm.body.skeleton import SkeletonCapsules
from humanlrm.model.blocks import Block, ChannelNorm, Pointwise, conv, depth_layer, spread, zero_init
from humanlrm.model.config import ModelConfig
from humanlrm.model.encoder import FineMaps, PhotoFeatures, Pyramid, TrainableTrunk
from humanlrm.model.landmark_head import LandmarkEstimate, LandmarkTokens
from humanlrm.model.triplane import InputView, Triplane

_MIDDLE = 40
_SKIP = 16
_PICTURE = 5
_BONES = 4
_SIDE_UP = 6


@dataclass(frozen=True)
class AdapterFeatures:
    """Output of :class:`PlaneAdapter` at strides 8 and 16."""

    stride8: Float[Tensor, "B M h8 w8"]
    stride16: Float[Tensor, "B D h w"]


class PlaneAdapter(nn.Module):
    """Features that are trained beside the encoder's frozen ones. A new one outputs 0."""

    def __init__(self, config: ModelConfig, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.image_trunk = TrainableTrunk()
        outputs = (_MIDDLE, config.width, config.width)
        self.norms = nn.ModuleList([ChannelNorm(count) for count in channels[2:]])
        self.leave = nn.ModuleList([zero_init(Pointwise(*sizes)) for sizes in zip(channels[2:], outputs, strict=True)])

    def forward(self, fine: FineMaps) -> AdapterFeatures:
        pyramid = self.image_trunk(fine)
        maps = (pyramid.stride8, pyramid.stride16, pyramid.stride32)
        at8, at16, at32 = (leave(norm(each)) for leave, norm, each in zip(self.leave, self.norms, maps, strict=True))
        return AdapterFeatures(at8, at16 + nn.functional.interpolate(at32, scale_factor=2, mode="bilinear"))


class PlaneTransformer(nn.Module):
    """Image tokens become the XY plane's tokens; learned tokens become the side planes'; all attend to all."""

    def __init__(self, config: ModelConfig, channels: tuple[int, ...]) -> None:
        super().__init__()
        width, side, image = config.width, config.side_tokens, config.image_px // 16
        self.side = side
        self.from16 = Pointwise(channels[3], width)
        self.from32 = Pointwise(channels[4], width)
        self.bones = nn.ModuleList([Pointwise(_BONES, width) for _ in range(3)])
        self.place = nn.Parameter(torch.randn(1, image**2, width) * 0.02)
        self.planes = nn.Parameter(torch.randn(1, 2 * side**2, width) * 0.02)
        self.blocks = nn.ModuleList([Block(width, config.heads) for _ in range(config.depth)])
        self.norm = nn.LayerNorm(width)

    def forward(
        self,
        pyramid: Pyramid,
        skeletons: list[Float[Tensor, "B 4 _ _"]],
        landmark_tokens: Float[Tensor, "B J D"],
        adapted: AdapterFeatures | None = None,
    ) -> tuple[Float[Tensor, "B D h w"], Float[Tensor, "B D s s"], Float[Tensor, "B D s s"]]:
        """Skeletons rasterised at token resolution (XY, ZY, XZ) and landmark tokens to plane tokens."""
        coarse = nn.functional.interpolate(self.from32(pyramid.stride32), scale_factor=2, mode="bilinear")
        image = self.from16(pyramid.stride16) + coarse
        if adapted is not None:
            image = image + adapted.stride16
        height = image.shape[-2]
        drawn = [rearrange(net(p), "B D h w -> B (h w) D") for net, p in zip(self.bones, skeletons, strict=True)]
        xy = rearrange(image, "B D h w -> B (h w) D") + self.place + drawn[0]
        sides = self.planes + torch.cat(drawn[1:], dim=1)
        tokens = torch.cat([landmark_tokens, xy, sides], dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        xy, zy, xz = self.norm(tokens)[:, COUNT:].split([height**2, self.side**2, self.side**2], dim=1)
        return (
            rearrange(xy, "B (h w) D -> B D h w", h=height),
            rearrange(zy, "B (h w) D -> B D h w", h=self.side),
            rearrange(xz, "B (h w) D -> B D h w", h=self.side),
        )


class ImagePlane(nn.Module):
    """XY tokens at stride 16 to features at stride 2, joined by the encoder's finer features on the way up."""

    def __init__(self, config: ModelConfig, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.to8 = Pointwise(config.width, _MIDDLE * 4)
        self.skip8 = Pointwise(channels[2], _MIDDLE)
        self.bones8 = conv(_BONES, _MIDDLE)
        self.mix8 = nn.Sequential(nn.SiLU(), conv(_MIDDLE, _MIDDLE), nn.SiLU())
        self.to4 = Pointwise(_MIDDLE, _MIDDLE * 4)
        self.skip4 = Pointwise(channels[1], _MIDDLE)
        self.mix4 = nn.Sequential(nn.SiLU(), conv(_MIDDLE, _MIDDLE), nn.SiLU())
        self.to2 = Pointwise(_MIDDLE, config.plane_channels * 4)
        self.mix2 = Pointwise(config.plane_channels + _SKIP, config.plane_channels)

    def forward(
        self,
        tokens: Float[Tensor, "B D h w"],
        pyramid: Pyramid,
        skeleton: Float[Tensor, "B 4 h8 w8"],
        skip: Float[Tensor, "B 16 h2 w2"],
        adapted: AdapterFeatures | None = None,
    ) -> Float[Tensor, "B C h2 w2"]:
        x = spread(self.to8(tokens), 2) + self.skip8(pyramid.stride8) + self.bones8(skeleton)
        if adapted is not None:
            x = x + adapted.stride8
        x = x + self.mix8(x)
        x = spread(self.to4(x), 2) + self.skip4(pyramid.stride4)
        x = x + self.mix4(x)
        x = spread(self.to2(x), 2)
        return self.mix2(torch.cat([x, skip], dim=1))


class SidePlane(nn.Module):
    """Side tokens to a plane of six times their resolution; one set of weights for ZY and XZ."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.up = Pointwise(config.width, 32 * _SIDE_UP**2)
        self.bones = conv(_BONES, 32)
        self.mix = nn.Sequential(conv(32, 32), nn.SiLU(), conv(32, config.plane_channels))

    def forward(self, tokens: Float[Tensor, "B D s s"], skeleton: Float[Tensor, "B 4 S S"]) -> Float[Tensor, "B C S S"]:
        return self.mix(spread(self.up(tokens), _SIDE_UP) + self.bones(skeleton))


class TriplaneDecoder(nn.Module):
    """Decoder part of ``small``: image features and landmarks to three feature planes and depth maps.

    Attributes:
        latent_shape: of the latent triplane; ``None``: this decoder has none.
        reads_estimate: whether it needs the landmark head's tokens beside the landmarks.
        predicts_depth: whether it predicts depth maps.
    """

    latent_shape = None
    reads_estimate = False
    predicts_depth = True

    def __init__(self, config: ModelConfig, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.plane_tokens = (config.image_px // 16) ** 2 + 2 * config.side_tokens**2
        self.draw = SkeletonCapsules()
        self.skip = nn.Sequential(Pointwise(channels[0] + _PICTURE, _SKIP), nn.SiLU())
        self.landmark_tokens = LandmarkTokens(channels, config.width, numbers=3)
        self.adapter = PlaneAdapter(config, channels) if config.plane_adapter else None
        self.transformer = PlaneTransformer(config, channels)
        self.image_plane = ImagePlane(config, channels)
        self.side_plane = SidePlane(config)
        self.depth = depth_layer(config.plane_channels)

    def forward(
        self,
        features: PhotoFeatures,
        landmarks: Float[Tensor, "B J 3"],
        estimate: LandmarkEstimate | None = None,
    ) -> Triplane:
        """The planes of people with these landmarks (box units). ``estimate`` is only passed on to the triplane."""
        pyramid, picture = features.maps, features.picture
        assert isinstance(pyramid, Pyramid)
        skip = self.skip(torch.cat([pyramid.stride2, nn.functional.avg_pool2d(picture, 2)], dim=1))
        front = self.draw.rasterize(landmarks, (0, 1, 2), pyramid.stride8.shape[-1], perspective=True)
        sides = [
            self.draw.rasterize(landmarks, axes, _SIDE_UP * self.transformer.side) for axes in ((2, 1, 0), (0, 2, 1))
        ]
        pool = nn.functional.avg_pool2d
        small = [pool(front, 2), *(pool(side, _SIDE_UP) for side in sides)]
        adapted = None if self.adapter is None else self.adapter(pyramid)
        tokens = self.landmark_tokens(landmarks, landmarks, pyramid)
        xy_tokens, zy_tokens, xz_tokens = self.transformer(pyramid, small, tokens, adapted)
        xy = self.image_plane(xy_tokens, pyramid, front, skip, adapted)
        zy, xz = self.side_plane(torch.cat([zy_tokens, xz_tokens]), torch.cat(sides)).chunk(2)
        bone_depth = nn.functional.interpolate(front[:, :1], size=xy.shape[-2:], mode="bilinear")
        depth = self.depth(xy).float() + bone_depth.float()
        estimated, heatmaps = (None, None) if estimate is None else (estimate.points, estimate.heatmaps)
        view = InputView(picture, skip.float(), depth, landmarks, estimated, heatmaps)
        return Triplane(xy.float(), zy.float(), xz.float(), view)
