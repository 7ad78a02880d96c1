"""Everything that a training run can be told, with a meaning per field. Recipes are plain functions."""

from dataclasses import dataclass, field

from humanlrm.data.loader import SampleSettings


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
        landmarks: corrected landmarks, L1.
    """

    sdf: float = 10.0
    occupancy: float = 0.5
    surface: float = 1.0
    normal: float = 0.3
    eikonal: float = 0.05
    rgb: float = 1.5
    depth: float = 4.0
    landmarks: float = 3.0


@dataclass(frozen=True)
class TrainConfig:
    """A training run.

    Attributes:
        samples: (image, points) pairs to see in all; the learning rate falls over the last quarter of them.
        batch: samples per step and process.
        learning_rate: of AdamW after warm-up.
        weight_decay: of AdamW, on matrices only.
        warmup: samples until the learning rate is reached.
        clip: largest norm of the gradient.
        ema: decay per step of the averaged weights, which are the ones that are evaluated and exported.
        seed: of initial weights and of the order of the data.
        checkpoint_s: seconds between checkpoints.
        keep: checkpoints kept.
        log_every: steps between log lines.
        validate_every: steps between validations, if there is validation data.
        lifter_steps: steps of fitting the landmark lifter before a new run starts; at most ``samples``.
        weights: of the loss terms.
        draw: what a sample consists of.
    """

    samples: int = 60_000
    batch: int = 8
    learning_rate: float = 8e-4
    weight_decay: float = 0.02
    warmup: int = 2_000
    clip: float = 1.0
    ema: float = 0.998
    seed: int = 0
    checkpoint_s: float = 300.0
    keep: int = 3
    log_every: int = 20
    validate_every: int = 500
    lifter_steps: int = 4_000
    weights: LossWeights = field(default_factory=LossWeights)
    draw: SampleSettings = field(default_factory=SampleSettings)

    def __post_init__(self) -> None:
        if self.samples < 1 or self.batch < 1:
            raise ValueError(f"training needs positive samples and batch, got {self.samples} and {self.batch}")

    def rate(self, seen: int) -> float:
        """Learning rate after ``seen`` samples: linear warm-up, constant, linear fall over the last quarter."""
        rising = min(1.0, (seen + 1) / max(1, self.warmup))
        falling = min(1.0, max(0.02, (self.samples - seen) / (0.25 * self.samples)))
        return self.learning_rate * min(rising, falling)
