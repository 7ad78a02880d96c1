"""Heat maps of the landmarks in the picture: they correct what the detector got wrong of a limb."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from humanlrm.body.landmarks import COUNT
from humanlrm.body.skeleton import SkeletonCapsules
from humanlrm.frame import project_ndc, unproject_ndc
from humanlrm.model.blocks import Pointwise, conv, zero_init

_WIDTH = 96
_BONES = 4
#: Twice the variance of the Gaussians that are drawn at the initial landmarks (ndc).
_GAUSSIAN = 0.02
#: Pixels of the picture along a side of a cell of the maps.
STRIDE = 8


@dataclass(frozen=True)
class LandmarkHeatmaps:
    """Landmarks as the heat maps place them.

    Attributes:
        logits: of each landmark over the cells of the picture.
        points: their mean places, box units.
        confidence: of each landmark: the largest probability of a cell, and the deviation of its place (ndc).
        coarse_depth: z where the cells' rays enter and leave the person, box units; an auxiliary output by which the
            features learn depth everywhere.
    """

    logits: Float[Tensor, "B J S S"]
    points: Float[Tensor, "B J 3"]
    confidence: Float[Tensor, "B J 2"]
    coarse_depth: Float[Tensor, "B 2 S S"]


class HeatmapHead(nn.Module):
    """Image features and initial landmarks to heat maps, whose means are the landmarks (Sun et al. 2018).

    The initial landmarks are drawn into the picture, so the network only has to correct them. Their depth is corrected
    by the mean of a map, weighted by the heat.
    """

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.draw = SkeletonCapsules()
        self.from32, self.from16 = Pointwise(channels[4], _WIDTH), Pointwise(channels[3], _WIDTH)
        self.from8 = Pointwise(channels[2], _WIDTH)
        self.guess = conv(_BONES + COUNT + 2, _WIDTH)
        self.mix16 = nn.Sequential(nn.SiLU(), conv(_WIDTH, _WIDTH), nn.SiLU())
        self.mix8 = nn.ModuleList([nn.Sequential(nn.SiLU(), conv(_WIDTH, _WIDTH), nn.SiLU()) for _ in range(3)])
        self.heat = Pointwise(_WIDTH, COUNT)
        self.depth = zero_init(Pointwise(_WIDTH, COUNT))
        self.coarse_depth = zero_init(Pointwise(_WIDTH, 2))

    def forward(
        self,
        initial: Float[Tensor, "B J 3"],
        masks: Float[Tensor, "B 2 S S"],
        stride8: Float[Tensor, "B C8 S S"],
        stride16: Float[Tensor, "B C16 _ _"],
        stride32: Float[Tensor, "B C32 _ _"],
    ) -> LandmarkHeatmaps:
        """Args: ``initial`` landmarks in box units, ``masks`` alpha and known of the picture, normalised features."""
        side = stride8.shape[-1]
        centres = _centres(side, initial)
        squared = squared_distances(initial, side)
        bones = self.draw.rasterize(initial, (0, 1, 2), side, perspective=True)
        drawn = torch.cat([bones, (-squared / _GAUSSIAN).exp(), masks], dim=1)
        double = lambda x: nn.functional.interpolate(x, scale_factor=2, mode="bilinear")  # noqa: E731
        x = double(self.from32(stride32)) + self.from16(stride16)
        x = double(x + self.mix16(x)) + self.from8(stride8) + self.guess(drawn)
        for mix in self.mix8:
            x = x + mix(x)
        logits = self.heat(x).float()
        share = logits.flatten(2).softmax(-1).unflatten(-1, (side, side))
        across, down = share.sum(2), share.sum(3)
        place = torch.stack([across @ centres, down @ -centres], dim=-1)
        spread = (across @ centres**2 + down @ centres**2 - (place**2).sum(-1)).clamp(min=1e-6).sqrt()
        z = initial[..., 2] + (share * self.depth(x).float()).sum((2, 3))
        confidence = torch.stack([share.flatten(2).amax(-1), spread], dim=-1)
        return LandmarkHeatmaps(logits, unproject_ndc(place, z), confidence, self.coarse_depth(x).float())


class Fusion(nn.Module):
    """Initial landmarks, heat maps and their confidences to better landmarks, at once. A new one changes nothing."""

    def __init__(self, width: int = 384) -> None:
        super().__init__()
        self.enter = nn.Linear(COUNT * 10, width)
        self.blocks = nn.ModuleList([_residual(width) for _ in range(2)])
        self.norm = nn.LayerNorm(width)
        self.share = zero_init(nn.Linear(width, COUNT * 6))

    def forward(
        self, initial: Float[Tensor, "B J 3"], detected: Float[Tensor, "B J 4"], heatmaps: LandmarkHeatmaps
    ) -> Float[Tensor, "B J 3"]:
        """Box units. Predicts a share of the way from the initial landmark to the heat map's, and an offset."""
        toward = heatmaps.points - initial
        visible = (detected[..., 3:] > 0).to(detected)
        x = self.enter(torch.cat([initial, toward, heatmaps.confidence, detected[..., 3:], visible], dim=-1).flatten(1))
        for block in self.blocks:
            x = x + block(x)
        share, offset = self.share(self.norm(x)).unflatten(-1, (COUNT, 6)).chunk(2, dim=-1)
        return initial + share * toward + offset


def squared_distances(points: Float[Tensor, "B J 3"], side: int) -> Float[Tensor, "B J {side} {side}"]:
    """Squared distances of a heat map's cells from the projections of points (ndc)."""
    ndc, centres = project_ndc(points), _centres(side, points)
    return (centres - ndc[..., :1])[..., None, :] ** 2 + (-centres - ndc[..., 1:])[..., :, None] ** 2


def _centres(side: int, like: Tensor) -> Float[Tensor, "{side}"]:
    return (torch.arange(side, device=like.device, dtype=like.dtype) + 0.5) / side * 2 - 1


def _residual(width: int) -> nn.Sequential:
    return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))
