"""The paper's family at any size: parts and builder. Single-view student and multi-view teacher are the same model."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from humanlrm.body.landmarks import COUNT
from humanlrm.frame import project_ndc, sample_plane
from humanlrm.model.blocks import Block, zero_init
from humanlrm.model.config import PaperConfig
from humanlrm.model.landmark_head import LandmarkEstimate, Lifter
from humanlrm.model.latent_decoder import LatentDecoder
from humanlrm.model.lrm import HumanLRM
from humanlrm.model.paper_field import DensityField, PaperField
from humanlrm.model.view_encoder import ViewFeatures, build_view_encoder

_CORRECTOR_DEPTH = 2


class TokenLandmarkHead(nn.Module):
    """Detected landmarks and view tokens to corrected 3D landmarks and to tokens for the plane decoder.

    The lifter comes first (``model.landmark_head``); then every landmark is a token that attends to the first view.
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
        self.delta = zero_init(nn.Linear(width, 3))
        self.tell = nn.Linear(width, encoder_width)

    def forward(
        self,
        features: ViewFeatures,
        detected: Float[Tensor, "B J 4"],
        detector_features: Float[Tensor, "B J 2 F"],
    ) -> LandmarkEstimate:
        """Box units and visibility in [0, 1] (0 = missing) to corrected box units and tokens of the encoder's width."""
        view, visible = features.first, (detected[..., 3:] > 0).to(detected)
        start = self.lifter(detected, detector_features)
        under = self.under(sample_plane(view.patches, project_ndc(start)))
        landmarks = self.position(torch.cat([start, detected[..., 3:], visible], dim=-1)) + under + self.name
        tokens = torch.cat([landmarks, self.image(view.tokens)], dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        landmarks = self.norm(tokens[:, :COUNT])
        return LandmarkEstimate(start + self.delta(landmarks).float(), None, self.tell(landmarks))


def build_paper(config: PaperConfig) -> HumanLRM:
    """Human-LRM as in the paper (section 3.1), with new weights.

    Raises:
        ValueError: its encoder needs ``transformers``, which is not installed.
    """
    encoder = build_view_encoder(config)
    landmark_head = TokenLandmarkHead(encoder.width, config) if config.landmarks else None
    field = PaperField(config) if config.field == "sdf" else DensityField(config)
    return HumanLRM(config, encoder, landmark_head, LatentDecoder(config, encoder.width), field)
