"""Landmark correction: the image overrules the detector before anything is built on its points."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from humanlrm.body.landmarks import COUNT, DETECTOR_FEATURE_CHANNELS
from humanlrm.frame import project_ndc, sample_plane
from humanlrm.model.blocks import Block, ChannelNorm, Pointwise
from humanlrm.model.config import ModelConfig
from humanlrm.model.encoder import FineMaps, Pyramid, TrainableTrunk
from humanlrm.model.heatmap_head import STRIDE, Fusion, HeatmapHead, LandmarkHeatmaps

#: Channels of a squeezed clue, and of what the lifter takes from the two of a landmark.
SQUEEZED, _CLUE = 64, 24
_FORGET = 0.1


class Lifter(nn.Module):
    """Detected landmarks and their clues to better 3D landmarks: a residual network over all points at once, as
    Martinez et al. 2017 lift 2D joints; inputs, sizes and clues are our choice.

    It knows the detector's biases, what bodies can do, and what the detector's features say of depth. It is fitted to
    the shards' (detected, true) pairs and to imagined ones before training starts, because that takes minutes
    (``train.lift``) and an end-to-end model takes many hours to learn as much.
    """

    def __init__(self, width: int = 768, depth: int = 3) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(COUNT, 3))
        self.squeeze = nn.Linear(DETECTOR_FEATURE_CHANNELS, SQUEEZED)
        self.forget = nn.Dropout(_FORGET)
        self.feature = nn.Linear(2 * SQUEEZED, _CLUE)
        self.enter = nn.Linear(COUNT * (5 + _CLUE), width)
        self.blocks = nn.ModuleList([_residual(width) for _ in range(depth)])
        self.norm = nn.LayerNorm(width)
        self.delta = nn.Linear(width, COUNT * 3)
        nn.init.zeros_(self.delta.weight)
        nn.init.zeros_(self.delta.bias)
        self.eval()

    def train(self, mode: bool = True) -> "Lifter":
        """Whoever trains the model around it does not make it forget (dropout); see :meth:`fitting`."""
        return super().train(False)

    @contextmanager
    def fitting(self) -> Iterator[None]:
        """It forgets only while it is fitted by itself."""
        super().train(True)
        try:
            yield
        finally:
            self.eval()

    def squeezed(self, detector_features: Float[Tensor, "B J 2 C"]) -> Float[Tensor, "B J 2 S"]:
        """Clues in fewer channels; unknown ones (all 0) stay 0."""
        return self.squeeze(detector_features) * (detector_features != 0).any(-1, keepdim=True)

    def forward(
        self, detected: Float[Tensor, "B J 4"], detector_features: Float[Tensor, "B J 2 C"]
    ) -> Float[Tensor, "B J 3"]:
        """Box units in and out; a point with visibility 0 is missing: its coordinates are ignored and it is guessed.

        Args:
            detector_features: the detector's features of the points; all 0 where there are none.
        """
        return self.lift(detected, self.squeezed(detector_features))

    def lift(self, detected: Float[Tensor, "B J 4"], squeezed: Float[Tensor, "B J 2 S"]) -> Float[Tensor, "B J 3"]:
        """The same from squeezed clues."""
        seen = (detected[..., 3:] > 0).to(detected)
        start = torch.where(seen > 0, detected[..., :3], self.mean)
        known = seen * (squeezed != 0).any(-1).any(-1)[..., None]
        feature = self.feature(self.forget(squeezed).flatten(-2)) * known
        x = self.enter(torch.cat([start, detected[..., 3:] * seen, seen, feature], dim=-1).flatten(1))
        for block in self.blocks:
            x = x + block(x)
        return start + self.delta(self.norm(x)).unflatten(-1, (COUNT, 3))


def _residual(width: int) -> nn.Sequential:
    last = nn.Linear(width, width)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Dropout(_FORGET), last)


class LandmarkTokens(nn.Module):
    """Landmarks as tokens: what is told of each, and the image features under it (our choice)."""

    def __init__(self, channels: tuple[int, ...], width: int, numbers: int) -> None:
        super().__init__()
        self.name = nn.Parameter(torch.randn(COUNT, width) * 0.02)
        self.position = nn.Linear(numbers, width)
        self.under = nn.Linear(channels[2] + channels[3], width)

    def forward(
        self, places: Float[Tensor, "B J 3"], numbers: Float[Tensor, "B J T"], pyramid: Pyramid
    ) -> Float[Tensor, "B J D"]:
        """Args: ``places`` in box units, ``numbers`` as many numbers of each as were asked for."""
        ndc = project_ndc(places)
        under = torch.cat([sample_plane(f.float(), ndc) for f in (pyramid.stride8, pyramid.stride16)], dim=-1)
        return self.position(numbers) + self.under(under) + self.name


@dataclass(frozen=True)
class LandmarkEstimate:
    """What is found out about the landmarks of a photo.

    Attributes:
        points: where they are, box units.
        heatmaps: where the picture shows them; ``None`` without a spotter.
        tokens: of each landmark, all that was found out about it (``model.pose_denoiser`` is told).
    """

    points: Float[Tensor, "B J 3"]
    heatmaps: LandmarkHeatmaps | None
    tokens: Float[Tensor, "B J D"]


class LandmarkHead(nn.Module):
    """Detected landmarks and image features to corrected 3D landmarks (DESIGN section 5; our choice).

    The lifter comes first; then the picture says where it shows the landmarks (``model.heatmap_head``). Then, round
    after round, each landmark is a token made of its position, its visibility and the image features under it; it
    attends to the other landmarks and to the coarse image tokens, and moves.
    """

    def __init__(self, channels: tuple[int, ...], config: ModelConfig) -> None:
        super().__init__()
        width = config.width
        self.lifter = Lifter(config.lifter_width, config.lifter_depth)
        self.image_trunk = TrainableTrunk() if config.trainable_trunk else None
        self.norms = nn.ModuleList(
            [ChannelNorm(count) if config.corrector_norms else nn.Identity() for count in channels[2:]]
        )
        self.heatmap_head = HeatmapHead(channels) if config.heatmap_head else None
        self.fusion = Fusion() if config.heatmap_head else None
        self.image = Pointwise(channels[4], width)
        self.rounds = nn.ModuleList([_Round(channels, config) for _ in range(config.corrector_rounds)])

    def forward(
        self,
        detected: Float[Tensor, "B J 4"],
        detector_features: Float[Tensor, "B J 2 C"],
        features: FineMaps,
        place: Float[Tensor, "1 N D"],
        seen: Float[Tensor, "B 2 H W"],
    ) -> LandmarkEstimate:
        """Corrected landmarks.

        Args:
            detected: box units and visibility in [0, 1]; visibility 0 = missing.
            detector_features: the detector's features of the landmarks; all 0 where there are none.
            features: the encoder's; without an eye all of them, the pyramid.
            place: positional encoding of the stride-32 tokens.
            seen: mask and known part of the picture.
        """
        confidence = torch.cat([detected[..., 3:], (detected[..., 3:] > 0).to(detected)], dim=-1)
        marks = self.lifter(detected, detector_features)
        pyramid = features if self.image_trunk is None else self.image_trunk(features)
        assert isinstance(pyramid, Pyramid)
        maps = (pyramid.stride8, pyramid.stride16, pyramid.stride32)
        stride8, stride16, stride32 = (norm(found) for norm, found in zip(self.norms, maps, strict=True))
        pyramid = replace(pyramid, stride8=stride8, stride16=stride16, stride32=stride32)
        heatmaps = None
        if self.heatmap_head is not None and self.fusion is not None:
            small = nn.functional.avg_pool2d(seen, STRIDE)
            heatmaps = self.heatmap_head(marks, small, stride8, stride16, stride32)
            marks = self.fusion(marks, detected, heatmaps)
        image = self.image(stride32).flatten(2).transpose(1, 2) + place
        own = marks.new_zeros(*marks.shape[:2], image.shape[2])
        for once in self.rounds:
            marks, own, image = once(marks, image, confidence, pyramid)
        return LandmarkEstimate(marks, heatmaps, own)


class _Round(nn.Module):
    """Landmarks look at the image where they are, and move. A new one leaves them where they are."""

    def __init__(self, channels: tuple[int, ...], config: ModelConfig) -> None:
        super().__init__()
        width = config.width
        self.tokens = LandmarkTokens(channels, width, numbers=5)
        self.blocks = nn.ModuleList([Block(width, config.heads) for _ in range(config.corrector_depth)])
        self.norm = nn.LayerNorm(width)
        self.delta = nn.Linear(width, 3)
        nn.init.zeros_(self.delta.weight)
        nn.init.zeros_(self.delta.bias)

    def forward(
        self,
        marks: Float[Tensor, "B J 3"],
        image: Float[Tensor, "B N D"],
        confidence: Float[Tensor, "B J 2"],
        pyramid: Pyramid,
    ) -> tuple[Float[Tensor, "B J 3"], Float[Tensor, "B J D"], Float[Tensor, "B N D"]]:
        """The landmarks, their tokens (normalised) and the picture's.

        Args:
            confidence: what the detector says of each landmark beside its place.
        """
        places = marks.detach()
        tokens = torch.cat([self.tokens(places, torch.cat([places, confidence], dim=-1), pyramid), image], dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        own, image = tokens.split([COUNT, image.shape[1]], dim=1)
        own = self.norm(own)
        return marks + self.delta(own).float(), own, image


def select_landmarks(
    estimated: Float[Tensor, "B J 3"], landmarks_override: Float[Tensor, "B J 3"] | None
) -> Float[Tensor, "B J 3"]:
    """The landmarks that a person is built on: what is told of them, where it is known (not NaN), else the estimate.

    Training tells the truth. A field that is built on uncertain points learns their uncertainty: a limb of 5 cm radius
    whose depth is known to 10 cm is outside everywhere for a median, and comes out as a slab. Built on points that it
    can trust, it learns limbs (our choice). The field's gradient does not reach the estimate, which has a loss of its
    own.
    """
    if landmarks_override is None:
        return estimated.detach()
    return torch.where(landmarks_override.isnan().any(-1, keepdim=True), estimated.detach(), landmarks_override)
