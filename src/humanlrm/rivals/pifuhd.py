"""Row "implicit, two levels": occupancy from predicted normals, coarse first, then fine.

Follows PIFuHD (Saito et al. 2020): normals of the front and of the unseen back are predicted in the picture; a coarse
level sees a small picture and normals; a fine level sees the large ones and, instead of depth, the coarse level's last
hidden layer, which knows where the point is. Reduced against the paper:

- 128 px and 256 px instead of 512 px and 1,024 px; a feature pyramid over EfficientNet-Lite0 as in ``rivals.pifu`` and
  four convolutions instead of stacked hourglasses; smaller MLPs;
- one network predicts both normal maps, with L1 alone, where the paper trains two pix2pixHD generators with a
  perceptual loss;
- all parts are trained at once, the normals' gradient stopped, where the paper trains one after the other.

The paper predicts no color: the photo is projected through the body, as in the floors.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from humanlrm.evaluate.baselines import photo_colors
from humanlrm.evaluate.case import Case, ColoredSurface
from humanlrm.evaluate.methods import inputs_at
from humanlrm.frame import project_ndc, sample_plane
from humanlrm.model.blocks import conv
from humanlrm.model.encoder import LiteEncoder
from humanlrm.rivals.pixels import (
    PICTURE,
    ImplicitFunction,
    PixelEncoder,
    occupancy_error,
    occupancy_surface,
    true_normals,
)
from humanlrm.rivals.rival import Rival
from humanlrm.train.losses import Losses
from humanlrm.train.objective import StepContext
from humanlrm.views import Batch, premultiplied

#: Channels of the front's and the back's normals together.
NORMALS = 6


@dataclass(frozen=True)
class PifuHdConfig:
    """Sizes of :class:`PifuHd`.

    Attributes:
        family: names the rival in its checkpoints.
        image_px: side of the square input crop; a multiple of 64. The coarse level sees half of it.
        width: channels of the pixel features of the coarse level and of the normals' network.
        fine_width: channels of the pixel features of the fine level.
        coarse_widths: of the hidden layers of the coarse MLP.
        fine_widths: of the fine one.
    """

    family: Literal["rival-pifuhd"] = "rival-pifuhd"
    image_px: int = 256
    width: int = 48
    fine_width: int = 16
    coarse_widths: tuple[int, ...] = (192, 96, 64)
    fine_widths: tuple[int, ...] = (128, 64)


@dataclass(frozen=True)
class LevelMaps:
    """Maps of a photo at both levels.

    Attributes:
        coarse: pixel features of the small picture.
        fine: pixel features of the large picture and its normals, at stride 2.
        normals: predicted, front then back, at stride 2; not quite unit vectors.
    """

    coarse: Float[Tensor, "B C h w"]
    fine: Float[Tensor, "B F H2 W2"]
    normals: Float[Tensor, "B 6 H2 W2"]


class NormalMaps(nn.Module):
    """A photo to normals of front and back at half its size, in the axes of the frame. ``net`` as in the encoder."""

    def __init__(self, width: int, net: LiteEncoder | None = None) -> None:
        super().__init__()
        self.encoder = PixelEncoder(width, net=net)
        self.mix = nn.Sequential(
            conv(width + PICTURE, width), nn.SiLU(), conv(width, width), nn.SiLU(), conv(width, NORMALS)
        )

    def forward(self, image: Float[Tensor, "B 5 H W"]) -> Float[Tensor, "B 6 H2 W2"]:
        picture = nn.functional.avg_pool2d(premultiplied(image), 2)
        features = nn.functional.interpolate(self.encoder(image), size=picture.shape[-2:], mode="bilinear")
        return self.mix(torch.cat([features, picture], dim=1)).tanh()


def normal_map_loss(predicted: Float[Tensor, "B 6 h w"], depth: Float[Tensor, "B 2 D D"]) -> Float[Tensor, ""]:
    """L1 where the true normals are known."""
    truth = true_normals(depth).flatten(1, 2)
    if truth.shape[-1] != predicted.shape[-1]:
        predicted = nn.functional.interpolate(predicted, size=truth.shape[-2:], mode="bilinear")
    known = ~truth.isnan()
    return ((predicted - truth.nan_to_num()).abs() * known).sum() / known.sum().clamp(min=1)


class PifuHd(Rival):
    """Normals, a coarse and a fine level."""

    weights: ClassVar[dict[str, float]] = {"normals": 1.0, "coarse": 1.0, "fine": 1.0}

    def __init__(self, config: PifuHdConfig) -> None:
        super().__init__()
        self.config = config
        self.normals = NormalMaps(config.width)
        self.encoder = PixelEncoder(config.width, net=self.normals.encoder.net)
        self.coarse = ImplicitFunction(config.width + NORMALS + 1, config.coarse_widths)
        width = config.fine_width
        self.fine_encoder = nn.Sequential(
            conv(PICTURE, width, stride=2), nn.SiLU(), conv(width, width), nn.SiLU(),
        )  # fmt: skip
        self.fine_mix = nn.Sequential(conv(width + NORMALS, 2 * width), nn.SiLU(), conv(2 * width, width))
        self.fine = ImplicitFunction(width + NORMALS + config.coarse_widths[-1], config.fine_widths)

    def maps(self, image: Float[Tensor, "B 5 H W"]) -> LevelMaps:
        """Encode photos at both levels."""
        predicted = self.normals(image)
        normals = predicted.detach()
        fine = self.fine_mix(torch.cat([self.fine_encoder(premultiplied(image)), normals], dim=1))
        return LevelMaps(self.encoder(nn.functional.avg_pool2d(image, 2)), fine, predicted)

    def logits(
        self, maps: LevelMaps, points: Float[Tensor, "B P 3"]
    ) -> tuple[Float[Tensor, "B P"], Float[Tensor, "B P"]]:
        """Log-odds of being inside, of the fine level and of the coarse one."""
        ndc = project_ndc(points)
        normals = sample_plane(maps.normals.detach(), ndc)
        coarse = torch.cat([sample_plane(maps.coarse, ndc), normals, points[..., 2:]], dim=-1)
        rough, hidden = self.coarse(coarse)
        fine = self.fine(torch.cat([sample_plane(maps.fine, ndc), normals, hidden], dim=-1))[0]
        return fine[..., 0], rough[..., 0]

    def losses(self, batch: Batch, context: StepContext) -> Losses:
        truth, maps = batch.supervision, self.maps(batch.inputs.image)
        fine, coarse = self.logits(maps, truth.points.nan_to_num())
        error = lambda logits: occupancy_error(logits, truth.sdf.nan_to_num(), truth.points)  # noqa: E731
        return {
            "normals": normal_map_loss(maps.normals, truth.depth),
            "coarse": error(coarse),
            "fine": error(fine),
        }

    def reconstruct(self, case: Case, resolution: int) -> ColoredSurface:
        maps = self.maps(inputs_at(case.shown, self.config.image_px).to(self.device).image)
        surface = occupancy_surface(lambda points: self.logits(maps, points)[0], resolution, self.device)
        return ColoredSurface(surface, photo_colors(surface, case.shown))
