"""The large reconstruction model: images of a person to a triplane, and the field that samples it."""

from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from humanlrm.body.landmarks import DETECTOR_FEATURE_CHANNELS
from humanlrm.camera import Cameras
from humanlrm.model.config import Config, ModelConfig
from humanlrm.model.decoder import TriplaneDecoder
from humanlrm.model.encoder import ImageFeatures, PhotoEncoder
from humanlrm.model.field import Field
from humanlrm.model.landmark_head import LandmarkEstimate, LandmarkHead
from humanlrm.model.triplane import Triplane
from humanlrm.views import Inputs

#: Parts that training can train (``TrainConfig.part``), if landmarks are estimated apart from the rest.
_PARTS = ("all", "landmarks", "field", "head")


class HumanLRM(nn.Module):
    """Human-LRM (paper, section 3): parts of one family, built and injected by :func:`build`.

    People are built by :func:`humanlrm.encoding.encode`, which corrects the estimated landmarks before it decodes.

    Args:
        encoder: images (and cameras) to features.
        landmark_head: features and detected landmarks to an estimate; ``None``: this model has no landmarks.
        decoder: features and landmarks to a triplane.
        field: a triplane and points to distances and colors.
    """

    # The families' parts have no common base class.
    encoder: Any
    landmark_head: Any
    decoder: Any
    field: Any

    def __init__(
        self, config: Config, encoder: nn.Module, landmark_head: nn.Module | None, decoder: nn.Module, field: nn.Module
    ) -> None:
        super().__init__()
        self.config = config
        self.encoder = encoder
        self.landmark_head = landmark_head
        self.decoder = decoder
        self.field = field

    @property
    def has_latent(self) -> bool:
        """True if the planes come from a latent triplane, which diffusion can sample."""
        return self.decoder.latent_shape is not None

    @property
    def parts(self) -> tuple[str, ...]:
        """Parts that can be trained (``TrainConfig.part``)."""
        return _PARTS if self.landmark_head is not None and not self.decoder.reads_estimate else ("all",)

    def extract_features(self, image: Float[Tensor, "B *V 5 H W"], cameras: Cameras | None = None) -> ImageFeatures:
        """Features of one crop per subject, or of several views with cameras.

        Args:
            image: sRGB (not premultiplied), alpha, known (1 inside the photo), all in [0, 1].

        Raises:
            ValueError: views or cameras that this model does not take.
        """
        return self.encoder(image, cameras)

    def estimate_landmarks(self, inputs: Inputs, features: ImageFeatures | None = None) -> LandmarkEstimate:
        """Landmarks from the detected ones and the image.

        Args:
            features: of the same images. Default: those that the landmarks need are extracted.

        Raises:
            ValueError: this model has no landmark head.
        """
        if self.landmark_head is None:
            raise ValueError("this model estimates no landmarks; give weights of the small family")
        features = self.encoder.for_landmarks(inputs.image) if features is None else features
        return self.landmark_head(features, inputs.landmarks, inputs.detector_features)

    def decode(
        self,
        features: ImageFeatures,
        landmarks: Float[Tensor, "B J 3"] | None,
        estimate: LandmarkEstimate | None = None,
    ) -> Triplane:
        """The planes of people with these landmarks, box units.

        Args:
            estimate: the landmarks' source; kept with the planes. The paper's family needs its tokens.
        """
        return self.decoder(features, landmarks, estimate)

    def forward(
        self,
        image: Float[Tensor, "B *V 5 H W"],
        landmarks: Float[Tensor, "B J 4"] | None = None,
        detector_features: Float[Tensor, "B J 2 C"] | None = None,
        cameras: Cameras | None = None,
    ) -> Triplane:
        """Images to planes, built on the estimated landmarks, if this model has any.

        Args:
            landmarks: detected in the first view, box units, and visibility in [0, 1]; 0 = missing.
            detector_features: the detector's features at the landmarks; 0 or ``None``: unknown.

        Raises:
            ValueError: views or cameras that this model does not take, or no landmarks where they are needed.
        """
        features = self.encoder(image, cameras)
        if self.landmark_head is None:
            return self.decoder(features, None)
        if landmarks is None:
            raise ValueError("this model estimates landmarks: give the landmarks detected in the first view")
        if detector_features is None:
            detector_features = landmarks.new_zeros(*landmarks.shape[:2], 2, DETECTOR_FEATURE_CHANNELS)
        estimate = self.landmark_head(features, landmarks, detector_features)
        return self.decoder(features, estimate.points.detach(), estimate)


def build(config: Config) -> HumanLRM:
    """A model of the config's family with new weights; the small family's encoder is pretrained.

    Raises:
        ValueError: its encoder needs ``transformers``, which is not installed.
    """
    if isinstance(config, ModelConfig):
        return build_small(config)
    from humanlrm.model.paper import build_paper  # inference with the shipped weights does not load it

    return build_paper(config)


def build_small(config: ModelConfig) -> HumanLRM:
    """The small family's model."""
    encoder = PhotoEncoder(config)
    channels = encoder.net.channels
    return HumanLRM(config, encoder, LandmarkHead(channels, config), TriplaneDecoder(config, channels), Field(config))
