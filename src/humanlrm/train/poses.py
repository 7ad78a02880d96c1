"""Training of the pose denoiser: estimates of the reconstruction model on many photos first, then the denoiser."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cache
from itertools import repeat
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from humanlrm.body.balance import named_landmark
from humanlrm.data import augment
from humanlrm.data.dataset import SampleSettings, TrainingDataset
from humanlrm.data.shards import Mixture, ShardFolder
from humanlrm.diffusion.pose_prior import pose_condition
from humanlrm.diffusion.process import NoiseLevels
from humanlrm.files import atomic_write
from humanlrm.model.lrm import HumanLRM
from humanlrm.model.pose_denoiser import PoseCondition, PoseDenoiser, PoseDenoiserConfig
from humanlrm.model.pretrained import from_pretrained
from humanlrm.photo.visibility import share_below_photo
from humanlrm.train.denoise import DenoisingConfig, DenoisingObjective, denoising_steps, run_denoising
from humanlrm.train.hooks import Progress
from humanlrm.views import Inputs, collate
from humanlrm.workers import processes

#: Photos of a file of examples, and of a batch.
_FILE_PHOTOS, _BATCH_PHOTOS = 512, 16
#: Points per sample, which nothing uses here.
_UNUSED_POINTS = 8
#: Share of the body below the photo from which on legs are unknown, and frequency of bent legs that are unknown.
_LEGS_UNKNOWN_SHARE, _BENT_LEGS_FREQUENCY = 0.2, 0.2
#: Cosine of half a right angle: straighter joints are straight.
_STRAIGHT_COSINE = 0.7


@dataclass(frozen=True)
class Examples:
    """Estimates of a model on photos, and the truth.

    Attributes:
        tokens, estimate: as in :class:`PoseCondition`.
        truth: true landmarks, box units.
        share: relative frequency of the example in training, 1 for most.
    """

    tokens: Float[Tensor, "N J T"]
    estimate: Float[Tensor, "N J 3"]
    truth: Float[Tensor, "N J 3"]
    share: Float[Tensor, "N"]

    def __len__(self) -> int:
        return len(self.truth)


def pose_recipe(photos: int = 1_000_000, seed: int = 0) -> DenoisingConfig:
    """Settings of a run that sees ``photos``; each photo comes again and again, with other noise."""
    return DenoisingConfig(
        samples=photos,
        batch=64,
        learning_rate=1e-3,
        steps=denoising_steps(weight_decay=0.05, warmup=10_000, ema=0.999),
        seed=seed,
        noise=NoiseLevels(-0.8, 1.4),
    )


def train_poses(
    config: PoseDenoiserConfig,
    plan: DenoisingConfig,
    examples: Examples,
    run: Path,
    report: Callable[[Progress], None] | None = None,
) -> PoseDenoiser:
    """Train until ``plan.samples`` photos are seen; go on from the newest checkpoint of ``run`` if there is one.

    Args:
        config: sizes; the number of token channels and the size of the errors are filled in.

    Raises:
        CheckpointError: the run is one of another denoiser.
        TrainingStopped: the loss became infinite or NaN.
    """
    size = (examples.truth - examples.estimate).flatten(1).square().mean(0).sqrt()
    filled = replace(config, token_channels=examples.tokens.shape[-1], scale=tuple(size.tolist()))
    torch.manual_seed(plan.seed)
    model = PoseDenoiser(filled).train()

    def draw_examples(_: None, rng: torch.Generator) -> tuple[Tensor, PoseCondition]:
        chosen = examples.share.multinomial(plan.batch, replacement=True, generator=rng)
        estimate = examples.estimate[chosen]
        conditioned = torch.ones(plan.batch, dtype=torch.bool)
        reach = estimate.new_zeros(estimate.shape[:2])  # only samplers use it
        condition = PoseCondition(conditioned, examples.tokens[chosen].float(), estimate, reach)
        return model.normalised(examples.truth[chosen], estimate), condition

    objective = DenoisingObjective(model, plan, draw_examples)
    return run_denoising(objective, lambda seen: repeat(None), (), run, report)


def collect_examples(
    weights: Path, data: list[Path], out: Path, photos: int, seed: int = 0, workers: int = 1
) -> Examples:
    """Estimate landmarks of augmented photos, in files of ``out``; existing files are not made again.

    Args:
        weights: folder of a model of the small family.

    Raises:
        ShardError: no readable data.
        ValueError: a model without heatmaps, or a damaged file of examples.
    """
    out.mkdir(parents=True, exist_ok=True)
    files = {start: out / f"examples-{start:07d}.safetensors" for start in range(0, photos, _FILE_PHOTOS)}
    missing = {start: path for start, path in files.items() if not path.exists()}
    if missing:
        with processes(workers, torch.set_num_threads, (1,)) as pool:
            tasks = [
                pool.submit(_write_examples, path, range(start, min(start + _FILE_PHOTOS, photos)), weights, data, seed)
                for start, path in missing.items()
            ]
            for task in tasks:
                task.result()
    try:
        parts = [load_file(path) for path in files.values()]
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{out}: a damaged file of examples ({error}); delete it and run again") from error
    lacking = [f.name for f in fields(Examples) if f.name not in parts[0]]
    if lacking:
        raise ValueError(
            f"{out}: examples of an older version, without {', '.join(lacking)}; delete them and run again"
        )
    return Examples(*(torch.cat([part[f.name] for part in parts]) for f in fields(Examples)))


def training_share(inputs: Inputs, truth: Float[Tensor, "B J 3"]) -> Float[Tensor, "B"]:
    """Relative frequency of examples: people with bent legs below the photo are rarer than they were rendered.

    A third of the rendered people do not stand, in photos of all kinds. People photographed from the hips up mostly
    stand, and such a photo shows nothing of it.
    """
    below = share_below_photo(inputs, truth.nan_to_num())
    return torch.where((below > _LEGS_UNKNOWN_SHARE) & ~legs_are_straight(truth), _BENT_LEGS_FREQUENCY, 1.0)


def legs_are_straight(landmarks: Float[Tensor, "*B J 3"]) -> Bool[Tensor, "*B"]:
    """Return whether both legs continue the trunk, hips and knees at most half bent."""
    hip = (named_landmark(landmarks, "left_hip") + named_landmark(landmarks, "right_hip")) / 2
    trunk = hip - named_landmark(landmarks, "neck")
    straight = torch.ones_like(trunk[..., 0], dtype=torch.bool)
    for side in ("left", "right"):
        knee = named_landmark(landmarks, f"{side}_knee")
        thigh, shin = knee - named_landmark(landmarks, f"{side}_hip"), named_landmark(landmarks, f"{side}_ankle") - knee
        for upper, lower in ((trunk, thigh), (thigh, shin)):
            straight &= torch.nn.functional.cosine_similarity(upper, lower, dim=-1) > _STRAIGHT_COSINE
    return straight


@cache
def _load(weights: Path, data: tuple[Path, ...], seed: int) -> tuple[HumanLRM, TrainingDataset]:
    """Load model and data, once per process."""
    model = from_pretrained(weights)
    if not model.config.samples_poses:
        raise ValueError(f"{weights}: poses are sampled for models of the small family only")
    settings = SampleSettings(points=_UNUSED_POINTS, surface=_UNUSED_POINTS, image_px=model.config.image_px)
    shards = Mixture([(ShardFolder(folder), 1.0) for folder in data])
    return model, TrainingDataset(shards, settings, seed)


def _write_examples(path: Path, numbers: range, weights: Path, data: list[Path], seed: int) -> None:
    """Write the examples of samples with these running numbers."""
    model, samples = _load(weights, tuple(data), seed)
    parts: list[dict[str, Tensor]] = []
    for first in range(numbers.start, numbers.stop, _BATCH_PHOTOS):
        batch = collate([samples[k] for k in range(first, min(first + _BATCH_PHOTOS, numbers.stop))])
        rng = torch.Generator().manual_seed(first)
        inputs, supervision = augment.augment_batch(batch.inputs, batch.supervision, rng, recolor=False)
        condition = pose_condition(model, inputs)
        known = supervision.landmarks.isfinite().flatten(1).all(1)
        part = Examples(
            condition.tokens[known].half(),
            condition.estimate[known],
            supervision.landmarks[known],
            training_share(inputs, supervision.landmarks)[known],
        )
        parts.append(vars(part))
    with atomic_write(path) as partial:
        save_file({name: torch.cat([part[name] for part in parts]) for name in parts[0]}, partial)
