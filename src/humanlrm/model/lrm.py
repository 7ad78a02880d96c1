"""The large reconstruction model: one view of a person to a triplane, and the field that reads it."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from humanlrm.body.balance import upright
from humanlrm.body.landmarks import INDEX
from humanlrm.frame import project_ndc
from humanlrm.model.blocks import Pointwise
from humanlrm.model.config import Config, ModelConfig, PaperConfig
from humanlrm.model.decoder import TriplaneDecoder
from humanlrm.model.encoder import LiteEncoder
from humanlrm.model.encoders import view_encoder
from humanlrm.model.field import Field
from humanlrm.model.landmark_head import Estimate, LandmarkCorrector, LandmarkTokens, settled
from humanlrm.model.paper import PaperLRM
from humanlrm.model.triplane import GivenView, Triplane, sample_plane
from humanlrm.views import Given

#: Beginnings of the names of what ``HumanLRM.landmarks_of`` needs beside the frozen encoder.
LANDMARK_PARTS = ("corrector.", "place32")
#: The same of parts that older weights lack and training adds: the field's for heads, the planes' eye, more layers. New
#: ones change nothing of what the rest does.
ADDED = ("field.head.", "decoder.sight.", *(f"decoder.transformer.blocks.{layer}." for layer in range(1, 12)))
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
        self.corrector = LandmarkCorrector(channels, config)
        self.marks = LandmarkTokens(channels, config.width, told=3)
        self.decoder = TriplaneDecoder(config, channels)
        self.depth = Pointwise(config.plane_channels, 2)
        self.field = Field(config)
        nn.init.zeros_(self.depth.weight)
        self.depth.bias = nn.Parameter(torch.tensor([0.12, -0.12]))

    def planes_of(self, given: Given, told: Float[Tensor, "B J 3"] | None = None, estimate: bool = True) -> Triplane:
        """What a batch of the loader, or a photo, shows; ``told`` and ``estimate`` as in :meth:`forward`."""
        return self(given.image, given.landmarks, given.clues, told, estimate)

    def landmarks_of(self, given: Given) -> Estimate:
        """The landmarks alone, as :meth:`forward` estimates them."""
        look = self.encoder if self.corrector.eye is None else self.encoder.fine
        features = look(_person(given.image))
        return self.corrector(given.landmarks, given.clues, features, self.place32, given.image[:, 3:])

    def believed(
        self, landmarks: Float[Tensor, "B *K J 3"], image: Float[Tensor, "B 5 H W"]
    ) -> Float[Tensor, "B *K J 3"]:
        """Estimated landmarks of a picture, or K samples of them, as people are built on them."""
        if not self.config.upright:
            return landmarks
        feet = landmarks[..., _FEET, :]
        shown = sample_plane(image[:, 4:], project_ndc(feet).flatten(1, -2)) > 0.5
        return upright(landmarks, ~shown.reshape(feet.shape[:-1]).any(-1))

    def forward(
        self,
        image: Float[Tensor, "B 5 H W"],
        landmarks: Float[Tensor, "B J 4"],
        clues: Float[Tensor, "B J 2 C"],
        told: Float[Tensor, "B J 3"] | None = None,
        estimate: bool = True,
    ) -> Triplane:
        """One square crop per subject to its triplane.

        Args:
            image: sRGB (not premultiplied), alpha, known (1 inside the photo), all in [0, 1].
            landmarks: detected landmarks, box units, and visibility in [0, 1]; 0 = missing.
            clues: the detector's features at the landmarks; 0 = unknown.
            told: landmarks to build on instead of the estimated ones; NaN where the estimate has to do.
            estimate: whether they are estimated if all of them are told.
        """
        pyramid = self.encoder(_person(image))
        seen = torch.cat([image[:, :3] * image[:, 3:4], image[:, 3:]], dim=1)
        skip = self.skip(torch.cat([pyramid.stride2, nn.functional.avg_pool2d(seen, 2)], dim=1))
        if not estimate and told is not None and bool(told.isfinite().all()):
            estimated, spots, used = None, None, told
        else:
            found = self.corrector(landmarks, clues, pyramid, self.place32, image[:, 3:])
            estimated, spots = found.points, found.spots
            used = settled(self.believed(estimated, image), told)
        bones, xy, zy, xz = self.decoder(pyramid, used, self.marks(used, used, pyramid), skip)
        along = nn.functional.interpolate(bones[:, :1], size=xy.shape[-2:], mode="bilinear")
        depth = self.depth(xy).float() + along.float()
        given = GivenView(seen, skip.float(), depth, used, estimated, spots)
        return Triplane(xy.float(), zy.float(), xz.float(), given)


def _person(image: Float[Tensor, "B 5 H W"]) -> Float[Tensor, "B 3 H W"]:
    """The person on grey."""
    rgb, alpha = image[:, :3], image[:, 3:4]
    return rgb * alpha + 0.5 * (1 - alpha)


#: A model of either family: ``model.planes_of(given, told) -> Triplane`` and ``model.field`` that reads it.
Model = HumanLRM | PaperLRM


def build(config: Config) -> Model:
    """A model of the config's family and size with new weights; the small family's encoder is pretrained.

    Raises:
        ValueError: its encoder needs ``transformers``, which is not installed.
    """
    if isinstance(config, PaperConfig):
        return PaperLRM(config, view_encoder(config))
    return HumanLRM(config, LiteEncoder())
