"""Settings of a training run, with a meaning per field. The paper names none of these numbers."""

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from humanlrm.data.dataset import SampleSettings
from humanlrm.train.losses import LossWeights
from humanlrm.train.render_losses import RenderSchedule

#: Fall of the learning rate after warm-up.
Fall = Literal["linear", "cosine"]
#: Trained part of a model.
Part = Literal["all", "landmarks", "field", "head"]
#: The learning rate never falls below this share of the highest.
_LEAST_RATE_SHARE = 0.02


@dataclass(frozen=True)
class TrainConfig:
    """A training run.

    Attributes:
        samples: training samples (one photo of one person each) in the whole run.
        batch: samples per process that are computed at once; more needs more memory.
        accumulate: batches per process whose gradients make one step: a larger batch without more memory.
        learning_rate: highest learning rate (AdamW), reached after warm-up.
        fall: fall of the learning rate: "linear" over the last quarter of the samples (small models keep learning at
            the full rate), or "cosine" over all of them (LRM).
        bf16: compute the network from photos to planes and landmarks in bfloat16, where the device is faster in it.
            Weights, field and losses stay float32: finite differences of a bfloat16 distance would be noise.
        weight_decay: weight decay of AdamW, on matrices only.
        warmup: samples over which the learning rate rises to its highest value.
        clip: largest norm of the gradient of a step.
        ema: decay per step of the averaged weights, which are the ones that are evaluated and exported.
        seed: seed of the initial weights and of the order of the data.
        device: device to train on: cpu, cuda or mps.
        workers: processes that load and augment data; 0: the training process does.
        checkpoint_s: seconds between checkpoints.
        keep: number of newest checkpoints that are kept.
        log_every: steps between log lines.
        validate_every: steps between validations, if there is validation data.
        picture_every: steps between pictures in the log.
        picture_px: side of a picture in the log.
        initial: another run, or a folder of exported weights, that a new run starts from. Default: new weights, and a
            landmark lifter that is fitted first.
        encoder: weights that the image encoder of a new run of base or paper starts from: a hub id such as
            facebook/dinov2-base, or a folder. Default: random weights.
        lifter_steps: steps of fitting the landmark lifter of a new run, at most as many as samples.
        part: trained part of a small model. "landmarks": the landmark estimate alone, without planes and points.
            "field": everything else, built on the true landmarks. "head": the field's part for heads alone. "all":
            everything; other models can only be trained so.
        weights: weights of the losses.
        draw: points and views that are drawn for a sample.
        rendering: losses on renderings of other views, beside the direct ones; None: no view is rendered.
    """

    samples: int = 60_000
    batch: int = 8
    accumulate: int = 1
    learning_rate: float = 8e-4
    fall: Fall = "linear"
    bf16: bool = False
    weight_decay: float = 0.02
    warmup: int = 2_000
    clip: float = 1.0
    ema: float = 0.998
    seed: int = 0
    device: str = "cpu"
    workers: int = 1
    checkpoint_s: float = 300.0
    keep: int = 3
    log_every: int = 20
    validate_every: int = 500
    picture_every: int = 500
    picture_px: int = 64
    initial: Path | None = None
    encoder: str | None = None
    lifter_steps: int = 8_000
    part: Part = "all"
    weights: LossWeights = field(default_factory=LossWeights)
    draw: SampleSettings = field(default_factory=SampleSettings)
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
        """Return the learning rate after ``seen`` samples: linear warm-up, then ``fall``, at least a fiftieth."""
        rising = min(1.0, (seen + 1) / max(1, self.warmup))
        left = (self.samples - seen) / self.samples
        if self.fall == "linear":
            falling = min(1.0, 4 * left)
        else:
            after = (self.samples - seen) / max(1, self.samples - self.warmup)
            falling = 0.5 - 0.5 * math.cos(math.pi * min(max(after, 0.0), 1.0))
        return self.learning_rate * min(rising, max(_LEAST_RATE_SHARE, falling))


def for_heads(config: TrainConfig) -> TrainConfig:
    """Adapt a run to training the field's part for heads alone.

    Points are drawn around heads only, so that three samples take the time of one. The landmarks are nearly true: a
    nose is 2 cm high, and the mean over samples whose heads err by 2 cm has none. Normals weigh more than a body's,
    because a face is a matter of slopes.
    """
    draw = SampleSettings(points=1536, surface=768, head=1.0, face=0.5, teacher_noise=0.25)
    return replace(config, part="head", draw=draw, weights=LossWeights(normal=1.0))
