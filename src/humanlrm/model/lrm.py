"""The large reconstruction model: one view of a person to a triplane, and the field that reads it."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from humanlrm.body.balance import undo_lean
from humanlrm.body.landmarks import INDEX
from humanlrm.frame import project_ndc, sample_plane
from humanlrm.model.blocks import Pointwise
from humanlrm.model.config import Config, ModelConfig, PaperConfig
from humanlrm.model.decoder import TriplaneDecoder
from humanlrm.model.encoder import LiteEncoder
from humanlrm.model.encoders import view_encoder
from humanlrm.model.field import Field
from humanlrm.model.landmark_head import LandmarkEstimate, LandmarkHead, LandmarkTokens, select_landmarks
from humanlrm.model.paper import PaperLRM
from humanlrm.model.triplane import InputView, Triplane
from humanlrm.views import Inputs

#: Beginnings of the names of what ``HumanLRM.landmarks_of`` needs beside the frozen encoder.
LANDMARK_PARTS = ("landmark_head.", "place32")
#: The same of parts that older weights lack and training adds: the field's for heads, the planes' eye, more layers. New
#: ones change nothing of what the rest does.
ADDED = ("field.head.", "decoder.adapter.", *(f"decoder.transformer.blocks.{layer}." for layer in range(1, 12)))
_FEET = [INDEX[f"{side}_{name}"] for side in ("left", "right") for name in ("ankle", "toe")]


class HumanLRM(nn.Module):
    """Human-LRM's single-view model (paper, section 3) at the size of ``config``."""

    def __init__(self, config: ModelConfig, encoder: LiteEncoder) -> None:
        super().__init__()
        self.config = config
        self.encoder = encoder
        channels = encoder.channels
        self.skip = nn.Sequential(Pointwise(channels[0] + 5, 16), nn.SiLU())
        self.place32 = nn.Parameter(torch.randn(1, (config.image_px // 32) ** 2, config.width) * 0.02)
        self.landmark_head = LandmarkHead(channels, config)
        self.landmark_tokens = LandmarkTokens(channels, config.width, numbers=3)
        self.decoder = TriplaneDecoder(config, channels)
        self.depth = Pointwise(config.plane_channels, 2)
        self.field = Field(config)
        nn.init.zeros_(self.depth.weight)
        self.depth.bias = nn.Parameter(torch.tensor([0.12, -0.12]))

    def encode(
        self, inputs: Inputs, landmarks_override: Float[Tensor, "B J 3"] | None = None, estimate: bool = True
    ) -> Triplane:
        """What a batch of the loader, or a photo, shows; ``landmarks_override`` and ``estimate`` as in
        :meth:`forward`."""
        return self(inputs.image, inputs.landmarks, inputs.detector_features, landmarks_override, estimate)

    def estimate_landmarks(self, inputs: Inputs) -> LandmarkEstimate:
        """The landmarks alone, as :meth:`forward` estimates them."""
        look = self.encoder if self.landmark_head.image_trunk is None else self.encoder.fine
        features = look(_person(inputs.image))
        return self.landmark_head(
            inputs.landmarks, inputs.detector_features, features, self.place32, inputs.image[:, 3:]
        )

    def correct_posture(
        self, landmarks: Float[Tensor, "B *K J 3"], image: Float[Tensor, "B 5 H W"]
    ) -> Float[Tensor, "B *K J 3"]:
        """Estimated landmarks of a picture, or K samples of them, as people are built on them."""
        if not self.config.upright:
            return landmarks
        feet = landmarks[..., _FEET, :]
        shown = sample_plane(image[:, 4:], project_ndc(feet).flatten(1, -2)) > 0.5
        return undo_lean(landmarks, ~shown.reshape(feet.shape[:-1]).any(-1))

    def forward(
        self,
        image: Float[Tensor, "B 5 H W"],
        landmarks: Float[Tensor, "B J 4"],
        detector_features: Float[Tensor, "B J 2 C"],
        landmarks_override: Float[Tensor, "B J 3"] | None = None,
        estimate: bool = True,
    ) -> Triplane:
        """One square crop per subject to its triplane.

        Args:
            image: sRGB (not premultiplied), alpha, known (1 inside the photo), all in [0, 1].
            landmarks: detected landmarks, box units, and visibility in [0, 1]; 0 = missing.
            detector_features: the detector's features at the landmarks; 0 = unknown.
            landmarks_override: landmarks to build on instead of the estimated ones; NaN where the estimate has to do.
            estimate: whether they are estimated if all of them are told.
        """
        pyramid = self.encoder(_person(image))
        seen = torch.cat([image[:, :3] * image[:, 3:4], image[:, 3:]], dim=1)
        skip = self.skip(torch.cat([pyramid.stride2, nn.functional.avg_pool2d(seen, 2)], dim=1))
        if not estimate and landmarks_override is not None and bool(landmarks_override.isfinite().all()):
            estimated, heatmaps, used = None, None, landmarks_override
        else:
            found = self.landmark_head(landmarks, detector_features, pyramid, self.place32, image[:, 3:])
            estimated, heatmaps = found.points, found.heatmaps
            used = select_landmarks(self.correct_posture(estimated, image), landmarks_override)
        bones, xy, zy, xz = self.decoder(pyramid, used, self.landmark_tokens(used, used, pyramid), skip)
        along = nn.functional.interpolate(bones[:, :1], size=xy.shape[-2:], mode="bilinear")
        depth = self.depth(xy).float() + along.float()
        inputs = InputView(seen, skip.float(), depth, used, estimated, heatmaps)
        return Triplane(xy.float(), zy.float(), xz.float(), inputs)


def _person(image: Float[Tensor, "B 5 H W"]) -> Float[Tensor, "B 3 H W"]:
    """The person on grey."""
    rgb, alpha = image[:, :3], image[:, 3:4]
    return rgb * alpha + 0.5 * (1 - alpha)


#: A model of either family: ``model.encode(inputs, landmarks_override) -> Triplane`` and ``model.field`` that reads it.
Model = HumanLRM | PaperLRM


def build(config: Config) -> Model:
    """A model of the config's family and size with new weights; the small family's encoder is pretrained.

    Raises:
        ValueError: its encoder needs ``transformers``, which is not installed.
    """
    if isinstance(config, PaperConfig):
        return PaperLRM(config, view_encoder(config))
    return HumanLRM(config, LiteEncoder())
