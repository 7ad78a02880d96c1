"""Training the denoiser of landmarks: first what the reconstruction model makes of many photos, then the denoiser."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
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
from humanlrm.model.denoiser_config import PoseDenoiserConfig
from humanlrm.model.lrm import HumanLRM
from humanlrm.model.pose_denoiser import PoseCondition, PoseDenoiser
from humanlrm.model.pretrained import from_pretrained
from humanlrm.photo.visibility import share_below_photo
from humanlrm.train.diffuse import DiffuseConfig, run_denoising
from humanlrm.train.loop import Progress
from humanlrm.views import Inputs, collate
from humanlrm.workers import processes

#: Photos of one file of examples.
_CHUNK = 512
_BATCH = 16
#: Points are not looked at.
_FEW = 8
#: Share of the body below the photo from which on legs are unknown; how often those who do not stand are seen then; and
#: the cosine of half a right angle.
_MUCH_BELOW, _RARE, _STRAIGHT = 0.2, 0.2, 0.7


@dataclass(frozen=True)
class Examples:
    """What a model made of photos, and the truth.

    Attributes:
        tokens, estimate: as in :class:`PoseCondition`.
        truth: true landmarks, box units.
        share: how often each is seen, 1 for most.
    """

    tokens: Float[Tensor, "N J T"]
    estimate: Float[Tensor, "N J 3"]
    truth: Float[Tensor, "N J 3"]
    share: Float[Tensor, "N"]

    def __len__(self) -> int:
        return len(self.truth)


def recipe(photos: int = 1_000_000, seed: int = 0) -> DiffuseConfig:
    """Of a run; photos come again and again, each time with other noise."""
    return DiffuseConfig(
        samples=photos,
        batch=64,
        learning_rate=1e-3,
        weight_decay=0.05,
        warmup=10_000,
        ema=0.999,
        seed=seed,
        noise=NoiseLevels(-0.8, 1.4),
    )


def train_poses(
    config: PoseDenoiserConfig,
    plan: DiffuseConfig,
    examples: Examples,
    run: Path,
    report: Callable[[Progress], None] | None = None,
) -> PoseDenoiser:
    """Trains until ``plan.samples`` photos are seen; goes on from the newest checkpoint of ``run`` if there is one.

    Args:
        config: sizes; what is told and the size of the errors are filled in.

    Raises:
        CheckpointError: the run is one of another denoiser.
        TrainingStopped: the loss became infinite or NaN.
    """
    size = (examples.truth - examples.estimate).flatten(1).square().mean(0).sqrt()
    filled = replace(config, token_channels=examples.tokens.shape[-1], scale=tuple(size.tolist()))
    torch.manual_seed(plan.seed)
    model = PoseDenoiser(filled).train()

    def stream(seen: int) -> Iterable[None]:
        return iter([None] * -((seen - plan.samples) // plan.batch))

    def conditioned(_: None, rng: torch.Generator) -> tuple[Tensor, PoseCondition]:
        chosen = examples.share.multinomial(plan.batch, replacement=True, generator=rng)
        estimate = examples.estimate[chosen]
        everyone = torch.ones(plan.batch, dtype=torch.bool)
        anywhere = estimate.new_zeros(estimate.shape[:2])  # only samplers look at it
        condition = PoseCondition(everyone, examples.tokens[chosen].float(), estimate, anywhere)
        return model.normalised(examples.truth[chosen], estimate), condition

    return run_denoising(model, plan, stream, conditioned, run, report)


def gather(weights: Path, data: list[Path], out: Path, photos: int, seed: int = 0, workers: int = 1) -> Examples:
    """Augmented photos to examples, in files of ``out``; those that are there are not made again.

    Args:
        weights: folder of a model of the small family.

    Raises:
        ShardError: no readable data.
        ValueError: a model without heat maps, or a damaged file of examples.
    """
    out.mkdir(parents=True, exist_ok=True)
    starts = range(0, photos, _CHUNK)
    paths = [out / f"examples-{start:07d}.safetensors" for start in starts]
    todo = [(path, start) for path, start in zip(paths, starts, strict=True) if not path.exists()]
    if todo:
        with processes(workers, _start, (weights, data, seed, photos)) as pool:
            for done in [pool.submit(_gather, *task) for task in todo]:
                done.result()
    try:
        parts = [load_file(path) for path in paths]
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{out}: a damaged file of examples ({error}); delete it and run again") from error
    missing = [f.name for f in fields(Examples) if f.name not in parts[0]]
    if missing:
        raise ValueError(
            f"{out}: examples of an older version, without {', '.join(missing)}; delete them and run again"
        )
    return Examples(*(torch.cat([part[f.name] for part in parts]) for f in fields(Examples)))


def usual(inputs: Inputs, truth: Float[Tensor, "B J 3"]) -> Float[Tensor, "B"]:
    """How often an example is seen: whoever's legs lie below the photo and do not stand, less often than they were
    rendered.

    Of the people who are rendered a third do not stand, whatever the photo shows of them. Of people who are
    photographed from the hips up most do, and nothing in such a photo says otherwise (our choice).
    """
    below = share_below_photo(inputs, truth.nan_to_num())
    return torch.where((below > _MUCH_BELOW) & ~legs_are_straight(truth), _RARE, 1.0)


def legs_are_straight(landmarks: Float[Tensor, "*B J 3"]) -> Bool[Tensor, "*B"]:
    """Whether both legs go on where the trunk ends, hips and knees at most half bent."""
    hip = (named_landmark(landmarks, "left_hip") + named_landmark(landmarks, "right_hip")) / 2
    trunk = hip - named_landmark(landmarks, "neck")
    straight = torch.ones_like(trunk[..., 0], dtype=torch.bool)
    for side in ("left", "right"):
        knee = named_landmark(landmarks, f"{side}_knee")
        thigh, shin = knee - named_landmark(landmarks, f"{side}_hip"), named_landmark(landmarks, f"{side}_ankle") - knee
        for first, then in ((trunk, thigh), (thigh, shin)):
            straight &= torch.nn.functional.cosine_similarity(first, then, dim=-1) > _STRAIGHT
    return straight


@dataclass(frozen=True)
class _Gatherer:
    model: HumanLRM
    samples: TrainingDataset
    photos: int


_gatherer: _Gatherer | None = None


def _start(weights: Path, data: list[Path], seed: int, photos: int) -> None:
    global _gatherer
    torch.set_num_threads(1)
    model = from_pretrained(weights)
    if not isinstance(model, HumanLRM):
        raise ValueError(f"{weights}: poses are sampled for models of the small family only")
    settings = SampleSettings(points=_FEW, surface=_FEW, image_px=model.config.image_px)
    shards = Mixture([(ShardFolder(folder), 1.0) for folder in data])
    _gatherer = _Gatherer(model, TrainingDataset(shards, settings, seed), photos)


def _gather(path: Path, start: int) -> None:
    assert _gatherer is not None
    found: list[dict[str, Tensor]] = []
    for first in range(start, min(start + _CHUNK, _gatherer.photos), _BATCH):
        last = min(first + _BATCH, start + _CHUNK, _gatherer.photos)
        batch = collate([_gatherer.samples[k] for k in range(first, last)])
        rng = torch.Generator().manual_seed(first)
        inputs, supervision = augment.augment_batch(batch.inputs, batch.supervision, rng, recolor=False)
        condition = pose_condition(_gatherer.model, inputs)
        known = supervision.landmarks.isfinite().flatten(1).all(1)
        found.append(
            {
                "tokens": condition.tokens[known].half(),
                "estimate": condition.estimate[known],
                "truth": supervision.landmarks[known],
                "share": usual(inputs, supervision.landmarks)[known],
            }
        )
    with atomic_write(path) as partial:
        save_file({name: torch.cat([part[name] for part in found]) for name in found[0]}, partial)
