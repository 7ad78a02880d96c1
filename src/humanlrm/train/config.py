"""Everything that a training run can be told, with a meaning per field. Recipes are plain functions."""

import math
from dataclasses import dataclass, field
from typing import Literal

from humanlrm.data.dataset import SampleSettings
from humanlrm.train.render_config import RenderSchedule

#: How the learning rate falls after warm-up.
Fall = Literal["linear", "cosine"]
#: What of a model is trained.
Part = Literal["all", "landmarks", "field", "head"]
#: The rate never falls below this share of the highest.
_LEAST_RATE = 0.02


@dataclass(frozen=True)
class LossWeights:
    """Weight of each loss term (our choice: chosen so that the terms are of one size after some hundred steps).

    Attributes:
        sdf: signed distance at points, L1.
        occupancy: inside or outside by the distance's sign, cross entropy; keeps the field from collapsing to zero.
        surface: |sdf| at surface points, L1; light, because a field that is zero everywhere has none of it.
        normal: squared difference of unit normals at surface points (paper: normal MSE).
        eikonal: squared deviation of the gradient's length from 1 at surface points (paper).
        rgb: colour at surface points, L1.
        depth: front and back depth of the pixels' rays, L1.
        slope: differences of neighbouring pixels' depths, L1.
        landmarks: corrected landmarks, L1.
        bones: ways between them, L1.
        heat: the spotter's heat maps, cross entropy.
        heatmaps: the landmarks that it reads off them, L1.
        coarse_depth: the depths that it predicts beside them, L1.
    """

    sdf: float = 10.0
    occupancy: float = 0.5
    surface: float = 1.0
    normal: float = 0.3
    eikonal: float = 0.05
    rgb: float = 1.5
    depth: float = 4.0
    slope: float = 15.0
    landmarks: float = 3.0
    bones: float = 2.0
    heat: float = 0.1
    heatmaps: float = 1.5
    coarse_depth: float = 2.0


@dataclass(frozen=True)
class TrainConfig:
    """A training run.

    Attributes:
        samples: (image, points) pairs to see in all.
        batch: samples per process that are computed at once.
        accumulate: batches per process whose gradients make one step.
        learning_rate: of AdamW after warm-up.
        fall: of the learning rate: "linear" over the last quarter of the samples (small models keep learning at the
            full rate, our choice), or "cosine" over all of them (LRM).
        sharded: parameters, gradients and moments are split over the processes (FSDP2) instead of copied to each (DDP).
        bf16: the network from views to planes and landmarks computes in bfloat16 (weights, field and losses stay
            float32: finite differences of a bfloat16 distance would be noise).
        weight_decay: of AdamW, on matrices only.
        warmup: samples until the learning rate is reached.
        clip: largest norm of the gradient.
        ema: decay per step of the averaged weights, which are the ones that are evaluated and exported.
        seed: of initial weights and of the order of the data.
        checkpoint_s: seconds between checkpoints.
        keep: checkpoints kept.
        log_every: steps between log lines.
        validate_every: steps between validations, if there is validation data.
        picture_every: steps between pictures in the log.
        picture_px: side of one of them.
        lifter_steps: steps of fitting the landmark lifter before a new run starts; at most ``samples``.
        weights: of the loss terms.
        part: "landmarks" trains the estimate of the landmarks alone, without planes and points; "field" trains
            everything else, on landmarks that are told, and "head" of it the field's part for heads alone (with
            :func:`around_heads`); "all" everything. Only the small family has parts.
        draw: what a sample consists of.
        rendering: losses on renderings of target views beside the direct ones; ``None``: no view is rendered.
    """

    samples: int = 60_000
    batch: int = 8
    accumulate: int = 1
    learning_rate: float = 8e-4
    fall: Fall = "linear"
    sharded: bool = False
    bf16: bool = False
    weight_decay: float = 0.02
    warmup: int = 2_000
    clip: float = 1.0
    ema: float = 0.998
    seed: int = 0
    checkpoint_s: float = 300.0
    keep: int = 3
    log_every: int = 20
    validate_every: int = 500
    picture_every: int = 500
    picture_px: int = 64
    lifter_steps: int = 8_000
    weights: LossWeights = field(default_factory=LossWeights)
    draw: SampleSettings = field(default_factory=SampleSettings)
    part: Part = "all"
    rendering: RenderSchedule | None = None

    def __post_init__(self) -> None:
        if self.samples < 1 or self.batch < 1 or self.accumulate < 1:
            raise ValueError(
                f"training needs positive samples, batch and accumulate, "
                f"got {self.samples}, {self.batch} and {self.accumulate}"
            )
        if not (math.isfinite(self.learning_rate) and self.learning_rate >= 0):
            raise ValueError(f"training needs a learning rate that is not negative, got {self.learning_rate}")

    def rate(self, seen: int) -> float:
        """Learning rate after ``seen`` samples: linear warm-up, then as ``fall`` says, never below a fiftieth."""
        rising = min(1.0, (seen + 1) / max(1, self.warmup))
        left = (self.samples - seen) / self.samples
        if self.fall == "linear":
            falling = min(1.0, 4 * left)
        else:
            after = (self.samples - seen) / max(1, self.samples - self.warmup)
            falling = 0.5 - 0.5 * math.cos(math.pi * min(max(after, 0.0), 1.0))
        return self.learning_rate * min(rising, max(_LEAST_RATE, falling))


def around_heads() -> SampleSettings:
    """What is drawn to train the field's part for heads: that alone is asked about, so that three samples take the time
    of one.

    The landmarks are nearly true. A nose is 2 cm high: where the head is told to be 2 cm beside the one that the sample
    shows, the mean over all such samples has none. Told where heads are, the part builds a nose where it is told.
    """
    return SampleSettings(points=1536, surface=768, head=1.0, face=0.5, teacher_noise=0.25)


def head_weights() -> LossWeights:
    """What counts for heads: their normals more than a body's, for a face is a matter of slopes (our choice)."""
    return LossWeights(normal=1.0)
