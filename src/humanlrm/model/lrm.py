"""The large reconstruction model: one view of a person to a triplane, and the field that reads it."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from humanlrm.model.blocks import Pointwise
from humanlrm.model.config import Config, ModelConfig, PaperConfig
from humanlrm.model.decoder import TriplaneDecoder
from humanlrm.model.encoder import PhotoEncoder, PhotoFeatures, Pyramid
from humanlrm.model.encoders import view_encoder
from humanlrm.model.field import Field
from humanlrm.model.landmark_head import LandmarkEstimate, LandmarkHead, LandmarkTokens
from humanlrm.model.paper import PaperLRM
from humanlrm.model.triplane import InputView, Triplane
from humanlrm.views import Inputs

#: Beginnings of the names of what ``HumanLRM.estimate_landmarks`` needs beside the frozen encoder.
LANDMARK_PARTS = ("landmark_head.", "place32")
#: The same of parts that older weights lack and training adds: the field's for heads, the planes' eye, more layers. New
#: ones change nothing of what the rest does.
ADDED = ("field.head.", "decoder.adapter.", *(f"decoder.transformer.blocks.{layer}." for layer in range(1, 12)))


class HumanLRM(nn.Module):
    """Human-LRM's single-view model (paper, section 3) at the size of ``config``."""

    def __init__(self, config: ModelConfig, encoder: PhotoEncoder) -> None:
        super().__init__()
        self.config = config
        self.encoder = encoder
        channels = encoder.net.channels
        self.skip = nn.Sequential(Pointwise(channels[0] + 5, 16), nn.SiLU())
        self.place32 = nn.Parameter(torch.randn(1, (config.image_px // 32) ** 2, config.width) * 0.02)
        self.landmark_head = LandmarkHead(channels, config)
        self.landmark_tokens = LandmarkTokens(channels, config.width, numbers=3)
        self.decoder = TriplaneDecoder(config, channels)
        self.depth = Pointwise(config.plane_channels, 2)
        self.field = Field(config)
        nn.init.zeros_(self.depth.weight)
        self.depth.bias = nn.Parameter(torch.tensor([0.12, -0.12]))

    def extract_features(self, image: Float[Tensor, "B 5 H W"]) -> PhotoFeatures:
        """Features of one square crop per subject: sRGB (not premultiplied), alpha, known (1 inside the photo), all in
        [0, 1]."""
        return self.encoder(image)

    def estimate_landmarks(self, inputs: Inputs, features: PhotoFeatures | None = None) -> LandmarkEstimate:
        """Landmarks from the detected ones and the image.

        Args:
            features: of the same images. Default: they are extracted, as few as the landmarks need.
        """
        fine = self.landmark_head.image_trunk is not None
        found: PhotoFeatures = self.encoder(inputs.image, fine) if features is None else features
        return self.landmark_head(
            inputs.landmarks, inputs.detector_features, found.maps, self.place32, found.picture[:, 3:]
        )

    def decode(
        self, features: PhotoFeatures, landmarks: Float[Tensor, "B J 3"], estimate: LandmarkEstimate | None = None
    ) -> Triplane:
        """The planes of people whose landmarks these are; box units.

        Args:
            estimate: from which the landmarks were made; kept with the planes.
        """
        pyramid, seen = features.maps, features.picture
        assert isinstance(pyramid, Pyramid)
        skip = self.skip(torch.cat([pyramid.stride2, nn.functional.avg_pool2d(seen, 2)], dim=1))
        bones, xy, zy, xz = self.decoder(pyramid, landmarks, self.landmark_tokens(landmarks, landmarks, pyramid), skip)
        along = nn.functional.interpolate(bones[:, :1], size=xy.shape[-2:], mode="bilinear")
        depth = self.depth(xy).float() + along.float()
        estimated, heatmaps = (None, None) if estimate is None else (estimate.points, estimate.heatmaps)
        inputs = InputView(seen, skip.float(), depth, landmarks, estimated, heatmaps)
        return Triplane(xy.float(), zy.float(), xz.float(), inputs)

    def forward(
        self,
        image: Float[Tensor, "B 5 H W"],
        landmarks: Float[Tensor, "B J 4"],
        detector_features: Float[Tensor, "B J 2 C"],
    ) -> Triplane:
        """Photos to planes, built on the estimated landmarks. People are built by :func:`humanlrm.reconstruct.encode`,
        which corrects them first.

        Args:
            landmarks: detected landmarks, box units, and visibility in [0, 1]; 0 = missing.
            detector_features: the detector's features at the landmarks; 0 = unknown.
        """
        features = self.extract_features(image)
        estimate = self.estimate_landmarks(Inputs(image, landmarks, detector_features), features)
        return self.decode(features, estimate.points.detach(), estimate)


#: A model of either family: ``reconstruct.encode(model, inputs) -> Triplane`` and ``model.field`` that reads it.
Model = HumanLRM | PaperLRM


def build(config: Config) -> Model:
    """A model of the config's family and size with new weights; the small family's encoder is pretrained.

    Raises:
        ValueError: its encoder needs ``transformers``, which is not installed.
    """
    if isinstance(config, PaperConfig):
        return PaperLRM(config, view_encoder(config))
    return HumanLRM(config, PhotoEncoder())
