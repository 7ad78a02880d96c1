"""Landmark head: corrects the detector's landmarks by the image, before anything is built on them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from humanlrm.body.landmarks import COUNT, DETECTOR_FEATURE_CHANNELS
from humanlrm.frame import project_ndc, sample_plane
from humanlrm.model.blocks import Block, ChannelNorm, Pointwise, zero_init
from humanlrm.model.config import ModelConfig
from humanlrm.model.encoder import PhotoFeatures, Pyramid, TrainableTrunk
from humanlrm.model.heatmap_head import STRIDE, Fusion, HeatmapHead, LandmarkHeatmaps

#: Channels of a squeezed detector feature, and of what the lifter takes from the two of a landmark.
SQUEEZED, _FEATURE_CHANNELS = 64, 24
_DROPOUT = 0.1


class Lifter(nn.Module):
    """Detected landmarks and detector features to better 3D landmarks: a residual network over all points at once, as
    Martinez et al. 2017 lift 2D joints.

    It learns the detector's biases, the range of poses, and the depth in the detector's features. It is fitted to
    pairs of detected and true landmarks before training (``train.lift``): that takes minutes, end to end many hours.
    """

    def __init__(self, width: int = 768, depth: int = 3) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(COUNT, 3))
        self.squeeze = nn.Linear(DETECTOR_FEATURE_CHANNELS, SQUEEZED)
        self.forget = nn.Dropout(_DROPOUT)
        self.feature = nn.Linear(2 * SQUEEZED, _FEATURE_CHANNELS)
        self.enter = nn.Linear(COUNT * (5 + _FEATURE_CHANNELS), width)
        self.blocks = nn.ModuleList([_residual(width) for _ in range(depth)])
        self.norm = nn.LayerNorm(width)
        self.delta = zero_init(nn.Linear(width, COUNT * 3))
        self.eval()

    def train(self, mode: bool = True) -> "Lifter":
        """Stay in evaluation mode: there is no dropout while the model around it is trained; see :meth:`fitting`."""
        return super().train(False)

    @contextmanager
    def fitting(self) -> Iterator[None]:
        """Dropout while the lifter is fitted by itself."""
        super().train(True)
        try:
            yield
        finally:
            self.eval()

    def squeezed(self, detector_features: Float[Tensor, "B J 2 C"]) -> Float[Tensor, "B J 2 S"]:
        """Detector features in fewer channels; unknown ones (all 0) stay 0."""
        return self.squeeze(detector_features) * (detector_features != 0).any(-1, keepdim=True)

    def forward(
        self, detected: Float[Tensor, "B J 4"], detector_features: Float[Tensor, "B J 2 C"]
    ) -> Float[Tensor, "B J 3"]:
        """Box units in and out. A point with visibility 0 is missing: its coordinates are ignored and predicted.

        Args:
            detector_features: all 0 where there are none.
        """
        return self.lift(detected, self.squeezed(detector_features))

    def lift(self, detected: Float[Tensor, "B J 4"], squeezed: Float[Tensor, "B J 2 S"]) -> Float[Tensor, "B J 3"]:
        """:meth:`forward` of squeezed detector features."""
        visible = (detected[..., 3:] > 0).to(detected)
        start = torch.where(visible > 0, detected[..., :3], self.mean)
        has_feature = visible * (squeezed != 0).any(-1).any(-1)[..., None]
        feature = self.feature(self.forget(squeezed).flatten(-2)) * has_feature
        x = self.enter(torch.cat([start, detected[..., 3:] * visible, visible, feature], dim=-1).flatten(1))
        for block in self.blocks:
            x = x + block(x)
        return start + self.delta(self.norm(x)).unflatten(-1, (COUNT, 3))


def _residual(width: int) -> nn.Sequential:
    last = zero_init(nn.Linear(width, width))
    return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Dropout(_DROPOUT), last)


class LandmarkTokens(nn.Module):
    """Landmarks as tokens: numbers that describe each, and the image features where it projects to."""

    def __init__(self, channels: tuple[int, ...], width: int, numbers: int) -> None:
        super().__init__()
        self.name = nn.Parameter(torch.randn(COUNT, width) * 0.02)
        self.position = nn.Linear(numbers, width)
        self.under = nn.Linear(channels[2] + channels[3], width)

    def forward(
        self, places: Float[Tensor, "B J 3"], numbers: Float[Tensor, "B J T"], pyramid: Pyramid
    ) -> Float[Tensor, "B J D"]:
        """Args: ``places`` in box units, ``numbers`` of each landmark."""
        ndc = project_ndc(places)
        under = torch.cat([sample_plane(f.float(), ndc) for f in (pyramid.stride8, pyramid.stride16)], dim=-1)
        return self.position(numbers) + self.under(under) + self.name


@dataclass(frozen=True)
class LandmarkEstimate:
    """Output of a landmark head.

    Attributes:
        points: estimated landmarks, box units.
        heatmaps: landmarks in the picture; ``None``: this head has no heat maps.
        tokens: features of each landmark.
    """

    points: Float[Tensor, "B J 3"]
    heatmaps: LandmarkHeatmaps | None
    tokens: Float[Tensor, "B J D"]


class LandmarkHead(nn.Module):
    """Detected landmarks and image features to corrected 3D landmarks.

    The lifter comes first, then heat maps of the picture (``model.heatmap_head``). Then, round after round, each
    landmark is a token of its position, its visibility and the image features where it is; it attends to the other
    landmarks and to the coarse image tokens, and moves.
    """

    def __init__(self, channels: tuple[int, ...], config: ModelConfig) -> None:
        super().__init__()
        width = config.width
        self.lifter = Lifter(config.lifter_width, config.lifter_depth)
        self.image_trunk = TrainableTrunk() if config.trainable_trunk else None
        self.norms = nn.ModuleList([ChannelNorm(count) for count in channels[2:]])
        self.heatmap_head, self.fusion = HeatmapHead(channels), Fusion()
        self.image = Pointwise(channels[4], width)
        self.place = nn.Parameter(torch.randn(1, (config.image_px // 32) ** 2, width) * 0.02)
        self.rounds = nn.ModuleList([_Round(channels, config) for _ in range(config.corrector_rounds)])

    def forward(
        self,
        features: PhotoFeatures,
        detected: Float[Tensor, "B J 4"],
        detector_features: Float[Tensor, "B J 2 C"],
    ) -> LandmarkEstimate:
        """Corrected landmarks.

        Args:
            features: of the encoder; with a trunk of its own the head uses the fine maps alone.
            detected: box units and visibility in [0, 1]; visibility 0 = missing.
            detector_features: the detector's features of the landmarks; all 0 where there are none.
        """
        confidence = torch.cat([detected[..., 3:], (detected[..., 3:] > 0).to(detected)], dim=-1)
        points = self.lifter(detected, detector_features)
        pyramid = features.maps if self.image_trunk is None else self.image_trunk(features.maps)
        assert isinstance(pyramid, Pyramid)
        maps = (pyramid.stride8, pyramid.stride16, pyramid.stride32)
        stride8, stride16, stride32 = (norm(each) for norm, each in zip(self.norms, maps, strict=True))
        pyramid = replace(pyramid, stride8=stride8, stride16=stride16, stride32=stride32)
        masks = nn.functional.avg_pool2d(features.picture[:, 3:], STRIDE)
        heatmaps = self.heatmap_head(points, masks, stride8, stride16, stride32)
        points = self.fusion(points, detected, heatmaps)
        image = self.image(stride32).flatten(2).transpose(1, 2) + self.place
        tokens = points.new_zeros(*points.shape[:2], image.shape[2])
        for correct in self.rounds:
            points, tokens, image = correct(points, image, confidence, pyramid)
        return LandmarkEstimate(points, heatmaps, tokens)


class _Round(nn.Module):
    """One correction: landmarks sample the image where they are, and move. A new one leaves them in place."""

    def __init__(self, channels: tuple[int, ...], config: ModelConfig) -> None:
        super().__init__()
        width = config.width
        self.tokens = LandmarkTokens(channels, width, numbers=5)
        self.blocks = nn.ModuleList([Block(width, config.heads) for _ in range(config.corrector_depth)])
        self.norm = nn.LayerNorm(width)
        self.delta = zero_init(nn.Linear(width, 3))

    def forward(
        self,
        points: Float[Tensor, "B J 3"],
        image: Float[Tensor, "B N D"],
        confidence: Float[Tensor, "B J 2"],
        pyramid: Pyramid,
    ) -> tuple[Float[Tensor, "B J 3"], Float[Tensor, "B J D"], Float[Tensor, "B N D"]]:
        """Landmarks, their tokens (normalised) and the image's.

        Args:
            confidence: the detector's visibility, and whether it found the landmark.
        """
        places = points.detach()
        tokens = torch.cat([self.tokens(places, torch.cat([places, confidence], dim=-1), pyramid), image], dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        tokens, image = tokens.split([COUNT, image.shape[1]], dim=1)
        tokens = self.norm(tokens)
        return points + self.delta(tokens).float(), tokens, image


def select_landmarks(
    estimated: Float[Tensor, "B J 3"], landmarks_override: Float[Tensor, "B J 3"] | None
) -> Float[Tensor, "B J 3"]:
    """The landmarks to build a person on: the override where it is known (not NaN), else the estimate.

    Training overrides with the truth. A field on uncertain points learns their uncertainty: a limb of 5 cm radius whose
    depth is known to 10 cm is outside everywhere for a median, and comes out as a slab. The field's gradient does not
    reach the estimate, which has a loss of its own.
    """
    if landmarks_override is None:
        return estimated.detach()
    return torch.where(landmarks_override.isnan().any(-1, keepdim=True), estimated.detach(), landmarks_override)
