"""From image features and landmarks to feature planes: a transformer over plane tokens, then learned upsampling."""

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from humanlrm.body.landmarks import COUNT
from humanlrm.body.skeleton import SkeletonCapsules
from humanlrm.model.blocks import Block, ChannelNorm, Pointwise, conv, spread
from humanlrm.model.config import ModelConfig
from humanlrm.model.encoder import FineMaps, Pyramid, TrainableTrunk

_MIDDLE = 40
_SKIP = 16
_BONES = 4
_SIDE_UP = 6


@dataclass(frozen=True)
class AdapterFeatures:
    """What :class:`PlaneAdapter` adds, at strides 8 and 16."""

    stride8: Float[Tensor, "B M h8 w8"]
    stride16: Float[Tensor, "B D h w"]


class PlaneAdapter(nn.Module):
    """An eye of the planes' own: features that are learned beside the encoder's frozen ones (our choice).

    What leaves it starts at zero, so a new one changes nothing.
    """

    def __init__(self, config: ModelConfig, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.image_trunk = TrainableTrunk()
        outputs = (_MIDDLE, config.width, config.width)
        self.norms = nn.ModuleList([ChannelNorm(count) for count in channels[2:]])
        self.leave = nn.ModuleList([Pointwise(*sizes) for sizes in zip(channels[2:], outputs, strict=True)])
        for layer in self.leave:
            nn.init.zeros_(layer.weight)  # pyright: ignore[reportArgumentType]
            nn.init.zeros_(layer.bias)  # pyright: ignore[reportArgumentType]

    def forward(self, fine: FineMaps) -> AdapterFeatures:
        own = self.image_trunk(fine)
        maps = (own.stride8, own.stride16, own.stride32)
        at8, at16, at32 = (leave(norm(found)) for leave, norm, found in zip(self.leave, self.norms, maps, strict=True))
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
        pictures: list[Float[Tensor, "B 4 _ _"]],
        marks: Float[Tensor, "B J D"],
        own: AdapterFeatures | None = None,
    ) -> tuple[Float[Tensor, "B D h w"], Float[Tensor, "B D s s"], Float[Tensor, "B D s s"]]:
        """Pictures of the bones at token resolution in XY, ZY, XZ order, and landmark tokens, to plane tokens."""
        coarse = nn.functional.interpolate(self.from32(pyramid.stride32), scale_factor=2, mode="bilinear")
        image = self.from16(pyramid.stride16) + coarse
        if own is not None:
            image = image + own.stride16
        height = image.shape[-2]
        drawn = [rearrange(net(p), "B D h w -> B (h w) D") for net, p in zip(self.bones, pictures, strict=True)]
        xy = rearrange(image, "B D h w -> B (h w) D") + self.place + drawn[0]
        sides = self.planes + torch.cat(drawn[1:], dim=1)
        tokens = torch.cat([marks, xy, sides], dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        tokens = self.norm(tokens)
        xy, zy, xz = tokens[:, COUNT:].split([height**2, self.side**2, self.side**2], dim=1)
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
        bones: Float[Tensor, "B 4 h8 w8"],
        skip: Float[Tensor, "B 16 h2 w2"],
        own: AdapterFeatures | None = None,
    ) -> Float[Tensor, "B C h2 w2"]:
        x = spread(self.to8(tokens), 2) + self.skip8(pyramid.stride8) + self.bones8(bones)
        if own is not None:
            x = x + own.stride8
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

    def forward(self, tokens: Float[Tensor, "B D s s"], bones: Float[Tensor, "B 4 S S"]) -> Float[Tensor, "B C S S"]:
        return self.mix(spread(self.up(tokens), _SIDE_UP) + self.bones(bones))


class TriplaneDecoder(nn.Module):
    """Transformer and upsampling together: image features and corrected landmarks to three feature planes."""

    def __init__(self, config: ModelConfig, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.draw = SkeletonCapsules()
        self.adapter = PlaneAdapter(config, channels) if config.plane_adapter else None
        self.transformer = PlaneTransformer(config, channels)
        self.image_plane = ImagePlane(config, channels)
        self.side_plane = SidePlane(config)

    def forward(
        self,
        pyramid: Pyramid,
        landmarks: Float[Tensor, "B J 3"],
        marks: Float[Tensor, "B J D"],
        skip: Float[Tensor, "B 16 h2 w2"],
    ) -> tuple[
        Float[Tensor, "B 4 h8 w8"], Float[Tensor, "B C h2 w2"], Float[Tensor, "B C S S"], Float[Tensor, "B C S S"]
    ]:
        """The picture of the bones in the input view, then the XY, ZY and XZ planes."""
        front = self.draw.rasterize(landmarks, (0, 1, 2), pyramid.stride8.shape[-1], perspective=True)
        zy = self.draw.rasterize(landmarks, (2, 1, 0), _SIDE_UP * self.transformer.side)
        xz = self.draw.rasterize(landmarks, (0, 2, 1), _SIDE_UP * self.transformer.side)
        pool = nn.functional.avg_pool2d
        small = [pool(front, 2), pool(zy, _SIDE_UP), pool(xz, _SIDE_UP)]
        own = None if self.adapter is None else self.adapter(pyramid)
        xy_tokens, zy_tokens, xz_tokens = self.transformer(pyramid, small, marks, own)
        plane = self.image_plane(xy_tokens, pyramid, front, skip, own)
        sides = self.side_plane(torch.cat([zy_tokens, xz_tokens]), torch.cat([zy, xz]))
        return front, plane, *sides.chunk(2)
