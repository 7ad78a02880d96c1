"""Training the denoiser of landmarks: first what the reconstruction model makes of many photos, then the denoiser."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from humanlrm.data.loader import SampleSettings, Samplings
from humanlrm.data.shards import Mixture, ShardFolder
from humanlrm.diffusion.poses import condition_of
from humanlrm.diffusion.process import NoiseLevels
from humanlrm.model.denoiser_config import PoseDenoiserConfig
from humanlrm.model.lrm import HumanLRM
from humanlrm.model.pose_denoiser import PoseCondition, PoseDenoiser
from humanlrm.model.pretrained import from_pretrained
from humanlrm.train.diffuse import DiffuseConfig, run_denoising
from humanlrm.train.loop import Progress
from humanlrm.train.turn import turned
from humanlrm.views import collate
from humanlrm.workers import processes

#: Photos of one file of examples.
_CHUNK = 512
_BATCH = 16
#: Points are not looked at.
_FEW = 8


@dataclass(frozen=True)
class Examples:
    """What a model made of photos, and the truth.

    Attributes:
        tokens, estimate: as in :class:`PoseCondition`.
        truth: true landmarks, box units.
    """

    tokens: Float[Tensor, "N J T"]
    estimate: Float[Tensor, "N J 3"]
    truth: Float[Tensor, "N J 3"]

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
    filled = replace(config, told=examples.tokens.shape[-1], scale=tuple(size.tolist()))
    torch.manual_seed(plan.seed)
    model = PoseDenoiser(filled).train()

    def stream(seen: int) -> Iterable[None]:
        return iter([None] * -((seen - plan.samples) // plan.batch))

    def told(_: None, rng: torch.Generator) -> tuple[Tensor, PoseCondition]:
        chosen = torch.randint(len(examples), (plan.batch,), generator=rng)
        estimate = examples.estimate[chosen]
        everyone = torch.ones(plan.batch, dtype=torch.bool)
        anywhere = estimate.new_zeros(estimate.shape[:2])  # only samplers look at it
        condition = PoseCondition(everyone, examples.tokens[chosen].float(), estimate, anywhere)
        return model.normalised(examples.truth[chosen], estimate), condition

    return run_denoising(model, plan, stream, told, run, report)


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
    return Examples(*(torch.cat([part[name] for part in parts]) for name in ("tokens", "estimate", "truth")))


@dataclass(frozen=True)
class _Gatherer:
    model: HumanLRM
    samples: Samplings
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
    _gatherer = _Gatherer(model, Samplings(shards, settings, seed), photos)


def _gather(path: Path, start: int) -> None:
    assert _gatherer is not None
    found: list[dict[str, Tensor]] = []
    for first in range(start, min(start + _CHUNK, _gatherer.photos), _BATCH):
        last = min(first + _BATCH, start + _CHUNK, _gatherer.photos)
        batch = collate([_gatherer.samples[k] for k in range(first, last)])
        given, wanted = turned(batch.given, batch.wanted, torch.Generator().manual_seed(first))
        condition = condition_of(_gatherer.model, given)
        known = wanted.landmarks.isfinite().flatten(1).all(1)
        found.append(
            {
                "tokens": condition.tokens[known].half(),
                "estimate": condition.estimate[known],
                "truth": wanted.landmarks[known],
            }
        )
    partial = path.with_name(path.name + ".partial")
    save_file({name: torch.cat([part[name] for part in found]) for name in found[0]}, partial)
    partial.replace(path)
