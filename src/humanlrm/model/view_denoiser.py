"""Denoiser of layered views: a photo and a skeleton to the whole person's front, silhouette and back.

The diffused variable is the error of a copy: the layers minus what the photo shows, front and back alike. A new network
therefore predicts the photo copied through to the back, nearly. Where the back is another thing, such as hair behind a
face, the network paints over the copy: a mask and a color are smooth where the negative of a face is not. Where the
photo shows nothing of the person, the copy is what it shows nearest: a jacket goes on below the photo's border.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from humanlrm.body.skeleton import SkeletonCapsules
from humanlrm.frame import project_ndc
from humanlrm.model.blocks import Block, ChannelNorm, Pointwise, conv, zero_init
from humanlrm.model.pose_denoiser import DenoiserCondition, LevelEmbedding

#: Channels of a layered view: front (premultiplied sRGB), alpha, back (premultiplied sRGB).
CHANNELS = 7
#: Deviation of the copy's errors, by channel (``benchmarks/view_prior.py`` prints it).
_ERROR_DEVIATIONS = (0.25, 0.25, 0.25, 0.5, 0.2, 0.2, 0.2)
#: Channels of the photo (premultiplied sRGB, alpha, known) and of a rasterized skeleton, which is drawn so much finer
#: than the tokens.
_PHOTO, _SKELETON, _FINER = 5, 4, 2
#: Channels of the colors that the photo shows nearest.
_NEAREST = 3
#: Cells per side among which the nearest are sought, the share of a cell that shows the person at least, and the
#: distance in cells at which one counts e times less than the nearest.
_CELLS, _LEAST_SHOWN, _SOFT_CELLS = 32, 0.1, 2.0
#: Logarithm (over 4) of the noise from which on the network is shown none of it.
_NOTHING_LEFT = math.log(79.0) / 4
#: Channels with which the network paints over the back's copy: colors and the mask's logit, which begins here.
_PAINT, _FIRST_LOGIT = 4, -3.0
_HEADS = 4


@dataclass(frozen=True)
class ViewDenoiserConfig:
    """Sizes of :class:`ViewDenoiser`.

    Attributes:
        family: tells the families apart in ``config.json``.
        image_px: side of the views.
        patch: pixels along the side of a token; they are channels inside the network.
        widths: channels at each resolution, finest first; each is half of the one before.
        depth: residual blocks at each resolution, on the way down and on the way up.
    """

    family: Literal["view-denoiser"] = "view-denoiser"
    image_px: int = 128
    patch: int = 4
    widths: tuple[int, ...] = (80, 128, 192, 224)
    depth: int = 2

    def __post_init__(self) -> None:
        coarsest = self.patch * 2 ** (len(self.widths) - 1)
        if self.depth < 1 or not self.widths or any(width % _HEADS for width in self.widths):
            raise ValueError(
                f"depth must be positive and widths multiples of {_HEADS}, got {self.depth}, {self.widths}"
            )
        if self.image_px < 1 or self.image_px % coarsest:
            raise ValueError(f"image_px must be a multiple of {coarsest}, got {self.image_px}")


@dataclass(frozen=True)
class ViewCondition(DenoiserCondition):
    """Condition of the view denoiser.

    Attributes:
        photo: premultiplied sRGB, alpha, known (1 inside the photo).
        landmarks: x and y in the view's square ([-1, 1], y up), z in box units.
        zoom: sides of the crop per side of the view's square: 1, and more for the square around a head.
    """

    photo: Float[Tensor, "B 5 H W"]
    landmarks: Float[Tensor, "B J 3"]
    zoom: Float[Tensor, "B"]

    @property
    def copy(self) -> Float[Tensor, "B 7 H W"]:
        """The photo as a layered view: front and back show the same."""
        rgb, alpha = self.photo[:, :3], self.photo[:, 3:4]
        return torch.cat([rgb, alpha, rgb], dim=1)

    @property
    def nearest(self) -> Float[Tensor, "B 3 H W"]:
        """Colors of the person everywhere: those that the photo shows, and beside them what it shows nearest."""
        return fill(self.photo[:, :3] * self.visible, self.visible)

    @property
    def visible(self) -> Float[Tensor, "B 1 H W"]:
        """1 where the photo shows the person."""
        return (self.photo[:, 3:4] > 0.5).to(self.photo)

    def imposed(self, errors: Float[Tensor, "B 7 H W"]) -> Float[Tensor, "B 7 H W"]:
        """Errors of the copy, 0 in the front where the photo shows the person."""
        return torch.cat([errors[:, :4] * (1 - self.visible), errors[:, 4:]], dim=1)


def fill(colors: Float[Tensor, "B 3 H W"], known: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B 3 H W"]:
    """Colors everywhere: where none is known, those of the nearest of 32 x 32 cells in which some are.

    Args:
        colors: times ``known``.
    """
    side = min(_CELLS, colors.shape[-1])
    shown, share = (nn.functional.adaptive_avg_pool2d(x, side) for x in (colors, known))
    axis = torch.arange(side, device=colors.device, dtype=torch.float32)
    cells = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), dim=-1).view(-1, 2)
    empty = share.flatten(1) < _LEAST_SHOWN
    near = torch.softmax(-torch.cdist(cells, cells) / _SOFT_CELLS - 1e6 * empty[:, None].to(colors), dim=-1)
    means = (shown / share.clamp(min=1e-3)).flatten(2)
    coarse = (means @ near.transpose(1, 2)).unflatten(2, (side, side))
    around = nn.functional.interpolate(coarse, colors.shape[-2:], mode="bilinear")
    return around + known.clamp(max=1) * (colors / known.clamp(min=1e-3) - around)


def in_square(
    landmarks: Float[Tensor, "B J 3"], middle: Float[Tensor, "B 2"], zoom: Float[Tensor, "B"]
) -> Float[Tensor, "B J 3"]:
    """Landmarks (box units) as :class:`ViewCondition` has them, for squares around ``middle`` (ndc of the crop)."""
    flat = (project_ndc(landmarks) - middle[:, None]) * zoom[:, None, None]
    return torch.cat([flat, landmarks[..., 2:]], dim=-1)


class _ResidualBlock(nn.Module):
    """Two convolutions, scaled and shifted by the noise level. A new one passes its input on."""

    def __init__(self, inputs: int, width: int, level: int) -> None:
        super().__init__()
        self.enter = Pointwise(inputs, width) if inputs != width else nn.Identity()
        self.norm1, self.norm2 = ChannelNorm(inputs), ChannelNorm(width, elementwise_affine=False)
        self.conv1, self.conv2 = conv(inputs, width), zero_init(conv(width, width))
        self.modulate = zero_init(nn.Linear(level, 2 * width))

    def forward(self, x: Float[Tensor, "B C H W"], level: Float[Tensor, "B L"]) -> Float[Tensor, "B D H W"]:
        h = self.conv1(nn.functional.silu(self.norm1(x)))
        scale, shift = self.modulate(level)[..., None, None].chunk(2, dim=1)
        h = self.norm2(h) * (1 + scale) + shift
        return self.enter(x) + self.conv2(nn.functional.silu(h))


class ViewDenoiser(nn.Module):
    """A U-Net over tokens of ``patch`` x ``patch`` pixels, with attention at its two coarsest resolutions."""

    deviations: Tensor

    def __init__(self, config: ViewDenoiserConfig) -> None:
        super().__init__()
        self.config = config
        widths, level = config.widths, config.widths[-1]
        self.register_buffer("deviations", torch.tensor(_ERROR_DEVIATIONS).view(1, CHANNELS, 1, 1), False)
        self.draw = SkeletonCapsules()
        self.level = LevelEmbedding(level)
        self.zoom = nn.Linear(1, level)
        self.enter = conv(CHANNELS + _PHOTO * config.patch**2 + _SKELETON * _FINER**2 + _NEAREST, widths[0])
        self.down, self.up, self.attention = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for finer, width in zip((widths[0], *widths[:-1]), widths, strict=True):
            inputs = [finer] + [width] * (config.depth - 1)
            self.down.append(nn.ModuleList([_ResidualBlock(count, width, level) for count in inputs]))
        for coarser, width in zip(widths[:0:-1], widths[-2::-1], strict=True):
            inputs = [coarser + width] + [width] * (config.depth - 1)
            self.up.append(nn.ModuleList([_ResidualBlock(count, width, level) for count in inputs]))
        for width in widths[-2:]:
            self.attention.append(Block(width, _HEADS))
        self.norm = ChannelNorm(widths[0])
        self.leave = zero_init(conv(widths[0], (CHANNELS + _PAINT) * config.patch**2))

    def coarse(self, errors: Float[Tensor, "B 7 H W"]) -> Float[Tensor, "B 7 h w"]:
        """Means over tokens, which are diffused: noise of all pixels is more numbers than a token has channels."""
        return nn.functional.avg_pool2d(errors, self.config.patch)

    def normalized(self, layers: Float[Tensor, "B 7 H W"], condition: ViewCondition) -> Float[Tensor, "B 7 H W"]:
        """Errors of the copy, of deviation about 1; 0 in the front where the photo shows the person."""
        return condition.imposed((layers - condition.copy) / self.deviations)

    def restored(self, errors: Float[Tensor, "B 7 H W"], condition: ViewCondition) -> Float[Tensor, "B 7 H W"]:
        """Inverse of :meth:`normalized`: layers in [0, 1]. Where the photo shows the person, the front is the photo."""
        return (condition.copy + condition.imposed(errors) * self.deviations).clamp(0, 1)

    def forward(
        self, noisy: Float[Tensor, "B 7 h w"], log_noise: Float[Tensor, "B"], condition: ViewCondition
    ) -> Float[Tensor, "B 7 H W"]:
        """The clean errors (``diffusion.process.predicted``), nearly zero for a new network.

        Args:
            noisy: coarse normalized errors and noise, together of size 1.
            log_noise: noise levels; numbers of about -2 to 2.
        """
        side = _FINER * self.config.image_px // self.config.patch
        skeleton = self.draw.rasterize(condition.landmarks.clamp(-8, 8), (0, 1, 2), side)
        bones = nn.functional.pixel_unshuffle(skeleton, _FINER)
        photo = nn.functional.pixel_unshuffle(condition.photo, self.config.patch)
        noisy = noisy * (log_noise < _NOTHING_LEFT).to(noisy).view(-1, 1, 1, 1)
        level = self.level(log_noise, condition.present) + self.zoom(condition.zoom.log()[:, None])
        nearest = condition.nearest
        colors = nn.functional.avg_pool2d(nearest, self.config.patch)
        x = torch.cat([noisy, photo, bones, colors], dim=1).contiguous(memory_format=torch.channels_last)
        x = self._unet(self.enter(x), level)
        raw = nn.functional.pixel_shuffle(self.leave(nn.functional.silu(self.norm(x))), self.config.patch)
        return self._painted(raw, condition, nearest)

    def _painted(
        self, raw: Float[Tensor, "B 11 H W"], condition: ViewCondition, nearest: Float[Tensor, "B 3 H W"]
    ) -> Float[Tensor, "B 7 H W"]:
        """The errors of all layers: with what is painted over the back's copy, and with the nearest colors in the
        silhouette where the photo does not show the person."""
        errors, paint, logit = raw.split([CHANNELS, _PAINT - 1, 1], dim=1)
        front, alpha, back = errors.split([3, 1, 3], dim=1)
        copy, deviation = condition.copy, self.deviations
        over = torch.sigmoid(logit + _FIRST_LOGIT) * (paint - copy[:, 4:] / deviation[:, 4:])
        silhouette = (copy[:, 3:4] + alpha * deviation[:, 3:4]).clamp(0, 1)
        added = (1 - condition.visible) * (silhouette * nearest - copy[:, :3]).clamp(min=0)
        front = front + added / deviation[:, :3]
        return torch.cat([front, alpha, back + over + added / deviation[:, 4:]], dim=1)

    def _unet(self, x: Float[Tensor, "B C h w"], level: Float[Tensor, "B L"]) -> Float[Tensor, "B C h w"]:
        skips, last = [], len(self.down) - 1
        for k, blocks in enumerate(self.down):
            if k:
                skips.append(x)
                x = nn.functional.avg_pool2d(x, 2)
            for block in blocks:  # pyright: ignore[reportGeneralTypeIssues]
                x = block(x, level)
            if last - k < len(self.attention):
                x = self._attend(self.attention[k - last - 1], x)
        for blocks in self.up:
            x = torch.cat([nn.functional.interpolate(x, scale_factor=2), skips.pop()], dim=1)
            for block in blocks:  # pyright: ignore[reportGeneralTypeIssues]
                x = block(x, level)
        return x

    def _attend(self, block: nn.Module, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C h w"]:
        attended = block(rearrange(x, "B C h w -> B (h w) C"))
        return rearrange(attended, "B (h w) C -> B C h w", h=x.shape[2])


def tiny_view_denoiser() -> ViewDenoiserConfig:
    """Sizes for tests."""
    return replace(ViewDenoiserConfig(), image_px=32, widths=(8, 12), depth=1)
