"""Row "implicit": pixel-aligned occupancy, and a color field on top of it.

Follows PIFu and Tex-PIFu (Saito et al. 2019): a point's occupancy is a function of the image's features at its
projection and of its depth; the color of a surface point is a function of features of its own, of those of the
geometry, and of its depth. Reduced against the paper:

- a feature pyramid over EfficientNet-Lite0 at 256 px instead of four stacked hourglasses at 512 px, one loss instead
  of one after each hourglass;
- MLPs of 256, 128, 64 instead of 1024, 512, 256, 128;
- the color's encoder is frozen but for its pyramid, and both parts are trained at once, the color's on detached
  features of the geometry;
- three eighths of the points are spread evenly instead of a sixteenth; the frame's perspective camera.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from humanlrm.evaluate.case import Case, ColoredSurface
from humanlrm.evaluate.methods import colors_at_vertices, inputs_at
from humanlrm.frame import project_ndc, sample_plane
from humanlrm.rivals.pixels import (
    PICTURE,
    ImplicitFunction,
    PixelEncoder,
    occupancy_error,
    occupancy_surface,
)
from humanlrm.rivals.rival import Rival
from humanlrm.train.losses import Losses, inside_box, rgb_loss
from humanlrm.train.objective import StepContext
from humanlrm.views import Batch, premultiplied

#: Deviation of the offset of color samples along the normal, box units (the paper: 1 cm).
_COLOR_OFFSET = 0.01
_COLOR_WIDTHS = (128, 64)


@dataclass(frozen=True)
class PifuConfig:
    """Sizes of :class:`Pifu`.

    Attributes:
        family: names the rival in its checkpoints.
        image_px: side of the square input crop; a multiple of 32.
        width: channels of the pixel features.
        widths: of the hidden layers of the occupancy's MLP.
    """

    family: Literal["rival-pifu"] = "rival-pifu"
    image_px: int = 256
    width: int = 64
    widths: tuple[int, ...] = (256, 128, 64)


@dataclass(frozen=True)
class PixelMaps:
    """Maps of a photo that points sample.

    Attributes:
        features: of the geometry, at stride 4.
        color_features: of the color, at stride 4.
        picture: premultiplied RGB, alpha, known.
    """

    features: Float[Tensor, "B C h w"]
    color_features: Float[Tensor, "B C h w"]
    picture: Float[Tensor, "B 5 H W"]


class Pifu(Rival):
    """Pixel-aligned occupancy and color."""

    weights: ClassVar[dict[str, float]] = {"occupancy": 1.0, "color": 0.3}

    def __init__(self, config: PifuConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = PixelEncoder(config.width)
        self.occupancy = ImplicitFunction(config.width + 1, config.widths)
        self.color_encoder = PixelEncoder(config.width, trained=False, net=self.encoder.net)
        self.color = ImplicitFunction(2 * config.width + PICTURE + 1, _COLOR_WIDTHS, outputs=3)

    def maps(self, image: Float[Tensor, "B 5 H W"]) -> PixelMaps:
        """Encode photos."""
        return PixelMaps(self.encoder(image), self.color_encoder(image), premultiplied(image))

    def logits(self, maps: PixelMaps, points: Float[Tensor, "B P 3"]) -> Float[Tensor, "B P"]:
        """Log-odds of being inside."""
        features = sample_plane(maps.features, project_ndc(points))
        return self.occupancy(torch.cat([features, points[..., 2:]], dim=-1))[0][..., 0]

    def colors(self, maps: PixelMaps, points: Float[Tensor, "B P 3"]) -> Float[Tensor, "B P 3"]:
        """sRGB in [0, 1] of surface points."""
        ndc = project_ndc(points)
        sampled = [sample_plane(each, ndc) for each in (maps.features.detach(), maps.color_features, maps.picture)]
        return self.color(torch.cat([*sampled, points[..., 2:]], dim=-1))[0].sigmoid()

    def losses(self, batch: Batch, context: StepContext) -> Losses:
        truth, maps = batch.supervision, self.maps(batch.inputs.image)
        logits = self.logits(maps, truth.points.nan_to_num())
        rng = torch.Generator().manual_seed(context.seed)
        offset = torch.randn(truth.surface.shape[:2], generator=rng).to(truth.surface)[..., None] * _COLOR_OFFSET
        moved = truth.surface.nan_to_num() + offset * truth.normals.nan_to_num()
        return {
            "occupancy": occupancy_error(logits, truth.sdf.nan_to_num(), truth.points, squared=True),
            "color": rgb_loss(self.colors(maps, moved), truth.rgb, inside_box(truth.surface)),
        }

    def reconstruct(self, case: Case, resolution: int) -> ColoredSurface:
        maps = self.maps(inputs_at(case.shown, self.config.image_px).to(self.device).image)
        surface = occupancy_surface(lambda points: self.logits(maps, points), resolution, self.device)
        color = lambda points, _: self.colors(maps, points[None].to(self.device))[0].cpu()  # noqa: E731
        return ColoredSurface(surface, colors_at_vertices(surface, color))
