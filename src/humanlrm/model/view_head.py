"""What the first view can add to the paper's model, each behind a flag: pixel features, depth maps, landmarks."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from humanlrm.body.landmarks import COUNT, DETECTOR_FEATURE_CHANNELS
from humanlrm.frame import project_ndc, sample_plane
from humanlrm.model.blocks import Block, Pointwise
from humanlrm.model.config import PaperConfig
from humanlrm.model.encoders import ViewTokens
from humanlrm.model.landmark_head import Lifter
from humanlrm.model.latent import smooth_conv

#: Channels of the pixel features, and of the picture itself (RGB, alpha, known).
FEATURES = 16
PICTURE = 5
_MIDDLE = 32
_CORRECTOR_DEPTH = 2


class ViewHead(nn.Module):
    """Tokens and the picture itself to features at half the image's size; from them, if asked, the depth maps.

    The depth maps hold z where a pixel's ray enters and leaves the person and start 0.24 apart (our choice).
    """

    def __init__(self, encoder_width: int, depth: bool) -> None:
        super().__init__()
        self.enter = Pointwise(encoder_width, _MIDDLE)
        self.mix = nn.Sequential(smooth_conv(_MIDDLE + PICTURE, _MIDDLE), nn.SiLU(), smooth_conv(_MIDDLE, FEATURES))
        self.depth = Pointwise(FEATURES, 2) if depth else None
        if self.depth is not None:
            nn.init.zeros_(self.depth.weight)
            self.depth.bias = nn.Parameter(torch.tensor([0.12, -0.12]))

    def forward(
        self, picture: Float[Tensor, "B 5 H W"], tokens: ViewTokens
    ) -> tuple[Float[Tensor, "B 16 h w"], Float[Tensor, "B 2 h w"] | None]:
        small = nn.functional.avg_pool2d(picture, 2)
        coarse = nn.functional.interpolate(self.enter(tokens.patches), size=small.shape[-2:], mode="bilinear")
        features = self.mix(torch.cat([coarse, small], dim=1)).float()
        return features, None if self.depth is None else self.depth(features).float()


class TokenLandmarkHead(nn.Module):
    """Detected landmarks and view tokens to corrected 3D landmarks and to tokens for the plane decoder (our choice).

    The lifter comes first (``model.landmark_head``); then every landmark is a token that looks at the image.
    """

    def __init__(self, encoder_width: int, config: PaperConfig) -> None:
        super().__init__()
        width, heads = config.width, config.heads
        self.lifter = Lifter(config.lifter_width, config.lifter_depth)
        self.name = nn.Parameter(torch.randn(COUNT, width) * 0.02)
        self.position = nn.Linear(5, width)
        self.under = nn.Linear(encoder_width, width)
        self.image = nn.Linear(encoder_width, width)
        self.blocks = nn.ModuleList([Block(width, heads) for _ in range(_CORRECTOR_DEPTH)])
        self.norm = nn.LayerNorm(width)
        self.delta = nn.Linear(width, 3)
        self.tell = nn.Linear(width, encoder_width)
        nn.init.zeros_(self.delta.weight)
        nn.init.zeros_(self.delta.bias)

    def forward(
        self, detected: Float[Tensor, "B J 4"], detector_features: Float[Tensor, "B J 2 F"] | None, view: ViewTokens
    ) -> tuple[Float[Tensor, "B J 3"], Float[Tensor, "B J E"]]:
        """Box units and visibility in [0, 1] (0 = missing) to corrected box units and tokens of the encoder's width."""
        seen = (detected[..., 3:] > 0).to(detected)
        told = (
            detected.new_zeros(*detected.shape[:2], 2, DETECTOR_FEATURE_CHANNELS)
            if detector_features is None
            else detector_features
        )
        start = self.lifter(detected, told)
        under = self.under(sample_plane(view.patches, project_ndc(start)))
        marks = self.position(torch.cat([start, detected[..., 3:], seen], dim=-1)) + under + self.name
        tokens = torch.cat([marks, self.image(view.tokens)], dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        marks = self.norm(tokens[:, :COUNT])
        return start + self.delta(marks).float(), self.tell(marks)
