"""Settings of a training run, with a meaning per field. The paper names none of these numbers."""

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro

from humanlrm.data.settings import SampleSettings
from humanlrm.render.settings import Sampling

#: Fall of the learning rate after warm-up.
Fall = Literal["linear", "cosine"]
#: Trained part of a model.
Part = Literal["all", "landmarks", "field", "head"]
#: The learning rate never falls below this share of the highest.
_LEAST_RATE_SHARE = 0.02


@dataclass(frozen=True)
class LossWeights:
    """Weight of each loss; the weighted losses are of one size after some hundred steps.

    Attributes:
        sdf: signed distance at points, L1.
        occupancy: inside or outside by the sign of the distance, cross entropy; keeps the field from collapsing to 0.
        surface: |sdf| at surface points, L1; light, because a field that is zero everywhere has none of it.
        normal: squared difference of unit normals at surface points (paper: normal MSE).
        eikonal: squared deviation of the gradient's length from 1 at surface points (paper).
        rgb: color at surface points, L1.
        depth: front and back depth of the pixels' rays, L1.
        slope: differences of neighboring pixels' depths, L1.
        landmarks: estimated 3D landmarks, L1.
        bones: vectors between estimated landmarks along the bones, L1.
        heat: heatmaps of the landmarks, cross entropy.
        heatmaps: landmarks that are read from the heatmaps, L1.
        coarse_depth: depth maps that are predicted beside the heatmaps, L1.
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
class RenderWeights:
    """Weight of each rendering loss.

    The reason is the size of a loss for a typical error after some hundred steps. Weighted losses are then between 0.01
    and 0.1, like those of direct supervision.

    Attributes:
        rgb: squared difference of colors; an error of 0.1 is 0.01.
        perceptual: difference of patches in features; unlike patches are about 0.5 apart. LRM and its relatives weigh
            it about like colors.
        mask: cross entropy of the silhouette; rays are gathered at its edge, where 0.2 is normal. Light, because people
            are built on landmarks with noise: at 0.1 limbs became thin, and the input view lost (docs/log/training.md).
        normal: squared difference of unit normals, 0.1 for 18 degrees; as heavy as on surface samples.
        depth: scale-invariant squared log depth; 0.05 units at 4 units are 0.00015.
        eikonal: as on surface samples; without rendered normals only this keeps distances distances.
    """

    rgb: float = 1.0
    perceptual: float = 0.1
    mask: float = 0.03
    normal: float = 0.1
    depth: float = 50.0
    eikonal: float = 0.05


@dataclass(frozen=True)
class RenderStage:
    """Pixels that are rendered per subject and step.

    Attributes:
        render_px: side to which target views are reduced; a divisor of their side.
        rays: single pixels, from all target views together.
        edge: share of them at the edge of the silhouette; the others lie in its bounding box.
        patch_px: side of one patch for the perceptual loss, a multiple of 8; 0: none.
        sampling: field samples per ray.
        recompute: save memory for time (gradient checkpointing).
    """

    render_px: int = 64
    rays: int = 128
    edge: float = 0.4
    patch_px: int = 16
    sampling: Sampling = field(default_factory=Sampling)
    recompute: bool = False

    def __post_init__(self) -> None:
        if self.patch_px % 8 or not 0 <= self.patch_px <= self.render_px:
            raise ValueError(
                f"patch_px must be a multiple of 8 (the coarsest features' stride) between 0 and render_px, "
                f"got patch_px={self.patch_px}, render_px={self.render_px}"
            )
        if self.rays < 1 or not 0 <= self.edge <= 1:
            raise ValueError(f"RenderStage needs rays >= 1 and 0 <= edge <= 1, got rays={self.rays}, edge={self.edge}")


@dataclass(frozen=True)
class RenderSchedule:
    """Two stages of rendering: low resolution first, then that of the target views.

    At low resolution a pixel covers more of the person: wrong limbs still overlap with right ones, and a patch shows a
    whole part of the body.

    Attributes:
        low: the first stage.
        high: the second stage, at the resolution of the target views.
        switch: share of the run after which the second stage begins.
        views: target views per sample.
        patch_every: steps from one patch for the perceptual loss to the next. A patch costs about as much as all single
            pixels together; its weight is that of such a step.
        weights: weights of the rendering losses.
    """

    low: RenderStage = field(default_factory=RenderStage)
    high: RenderStage = field(default_factory=lambda: RenderStage(render_px=128, patch_px=24))
    switch: float = 0.6
    views: int = 2
    patch_every: int = 4
    weights: RenderWeights = field(default_factory=RenderWeights)

    def __post_init__(self) -> None:
        if self.views < 1 or self.patch_every < 1:
            raise ValueError(
                f"RenderSchedule needs views >= 1 and patch_every >= 1, got views={self.views}, "
                f"patch_every={self.patch_every}"
            )

    def at(self, progress: float) -> RenderStage:
        """Return the stage after this share (0 to 1) of the run."""
        return self.low if progress < self.switch else self.high


@dataclass(frozen=True)
class StepSettings:
    """Details of a step; rarely changed.

    Attributes:
        weight_decay: weight decay of AdamW, on matrices only.
        warmup: samples over which the learning rate rises to its highest value.
        clip: largest norm of the gradient of a step.
        beta2: AdamW's memory of squared gradients.
        ema: decay per step of the averaged weights, which are the ones that are evaluated and exported.
        lifter_steps: steps of fitting the landmark lifter of a new run, at most as many as samples.
    """

    weight_decay: float = 0.02
    warmup: int = 2_000
    clip: float = 1.0
    beta2: float = 0.98
    ema: float = 0.998
    lifter_steps: int = 8_000


@dataclass(frozen=True)
class LogSettings:
    """Checkpoints and the log; rarely changed.

    Attributes:
        checkpoint_s: seconds between checkpoints.
        keep: number of newest checkpoints that are kept.
        log_every: steps between log lines.
        validate_every: steps between validations, if there is validation data.
        picture_every: steps between pictures in the log.
        picture_px: side of a picture in the log.
    """

    checkpoint_s: float = 300.0
    keep: int = 3
    log_every: int = 20
    validate_every: int = 500
    picture_every: int = 500
    picture_px: int = 64


@dataclass(frozen=True)
class TrainConfig:
    """A training run.

    Attributes:
        samples: training samples, one photo of one person each, in the whole run (--photos).
        hours: end the run after this many hours of computing (with one thread: processor time), though it has not seen
            all samples; the learning rate falls by whichever is nearer to its end. One process only. none: samples
            alone decide.
        batch: samples per process that are computed at once; more needs more memory.
        accumulate: batches per process whose gradients make one step: a larger batch without more memory.
        learning_rate: highest learning rate (AdamW), reached after warm-up.
        fall: fall of the learning rate: linear over the last quarter of the samples (small models keep learning at the
            full rate), or cosine over all of them (LRM).
        bf16: compute the network from photos to planes and landmarks in bfloat16, where the device is faster in it.
            Weights, field and losses stay float32: finite differences of a bfloat16 distance would be noise.
        seed: seed of the initial weights and of the order of the data.
        device: device to train on: cpu, cuda or mps.
        workers: processes that load and augment data; 0: the training process does.
        initial: another run, or a folder of exported weights, that a new run starts from. none: new weights, and a
            landmark lifter that is fitted first.
        encoder: weights that the image encoder of a new run of base or paper starts from: a hub id such as
            facebook/dinov2-base, or a folder. none: random weights.
        part: trained part of a tiny or small model. landmarks: the landmark estimate alone, without planes and points.
            field: everything else, built on the true landmarks. head: the field's part for heads alone. all:
            everything; other models can only be trained so.
        steps: details of a step.
        log: checkpoints and the log.
        weights: weights of the losses.
        draw: points and views that are drawn for a sample.
        rendering: losses on renderings of other views, beside the direct ones; None: no view is rendered.
    """

    samples: Annotated[int, tyro.conf.arg(name="photos")] = 60_000
    hours: float | None = None
    batch: int = 8
    accumulate: int = 1
    learning_rate: float = 8e-4
    fall: Fall = "linear"
    bf16: bool = False
    seed: int = 0
    device: str = "cpu"
    workers: int = 1
    initial: Path | None = None
    encoder: str | None = None
    part: Part = "all"
    steps: tyro.conf.OmitArgPrefixes[StepSettings] = field(default_factory=StepSettings)
    log: tyro.conf.OmitArgPrefixes[LogSettings] = field(default_factory=LogSettings)
    weights: tyro.conf.Suppress[LossWeights] = field(default_factory=LossWeights)
    draw: tyro.conf.Suppress[SampleSettings] = field(default_factory=SampleSettings)
    rendering: tyro.conf.Suppress[RenderSchedule | None] = None

    def __post_init__(self) -> None:
        if self.samples < 1 or self.batch < 1 or self.accumulate < 1:
            raise ValueError(
                f"training needs positive samples, batch and accumulate, "
                f"got {self.samples}, {self.batch} and {self.accumulate}"
            )
        if self.hours is not None and not self.hours > 0:
            raise ValueError(f"training needs positive hours, got {self.hours}")
        if not (math.isfinite(self.learning_rate) and self.learning_rate >= 0):
            raise ValueError(f"training needs a learning rate that is not negative, got {self.learning_rate}")

    def progress(self, seen: int, seconds: float) -> float:
        """Return the share of the run that is over, 1 or more at its end.

        Args:
            seen: samples.
            seconds: of computing.
        """
        spent = 0.0 if self.hours is None else seconds / (3600 * self.hours)
        return max(seen / self.samples, spent)

    def rate(self, seen: int, seconds: float = 0.0) -> float:
        """Return the learning rate after ``seen`` samples: linear warm-up, then ``fall``, at least a fiftieth."""
        rising = min(1.0, (seen + 1) / max(1, self.steps.warmup))
        left = 1 - self.progress(seen, seconds)
        if self.fall == "linear":
            falling = min(1.0, 4 * left)
        else:
            after = left * self.samples / max(1, self.samples - self.steps.warmup)
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
