"""Fitting of the landmark lifter to (detected, true) landmarks of a data folder and synthetic ones, without images."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor

from humanlrm.data import augment
from humanlrm.data.shards import Mixture, ShardFolder
from humanlrm.files import atomic_write
from humanlrm.model.landmark_head import SQUEEZED, Lifter
from humanlrm.train.losses import landmark_loss
from humanlrm.train.randomness import seed_of
from humanlrm.train.stop import StopRequested, catch_stop_signals

_LIFTER_BATCH = 256
_LIFTER_RATE = 1e-3
_WARMUP_STEPS = 50
#: Views of which statistics are taken.
_STATISTICS_VIEWS = 2000
#: Share of synthetic pairs in a batch, before and after this share of the steps: first the poses of bodies, then the
#: errors of the detector.
_SYNTHETIC, _FIRST_STEPS = (0.9, 0.35), 0.4
#: Seconds between two savings of a fit, and steps between two reports.
_SAVE_S, _REPORT_STEPS = 30.0, 20

Pairs = tuple[Float[Tensor, "B J 4"], Float[Tensor, "B J 2 S"], Float[Tensor, "B J 3"]]


@dataclass(frozen=True)
class FitProgress:
    """A fit's file and its listener.

    Attributes:
        file: state of a fit that was stopped; the next one with the same file goes on from it. ``None``: nothing is
            saved.
        report: called with the steps that are done and all steps.
    """

    file: Path | None = None
    report: Callable[[int, int], None] = lambda done, steps: None

    def save(self, lifter: Lifter, optimizer: torch.optim.Optimizer, step: int) -> None:
        """Write lifter, moments and the steps that are done."""
        if self.file is None:
            return
        state = {f"lifter.{name}": value.contiguous() for name, value in lifter.state_dict().items()}
        for k, parameter in enumerate(lifter.parameters()):
            state |= {f"{key}.{k}": value.contiguous() for key, value in optimizer.state[parameter].items()}
        with atomic_write(self.file) as partial:
            save_file(state | {"done": torch.tensor(step)}, partial)

    def load(self, lifter: Lifter, optimizer: torch.optim.Optimizer) -> int:
        """Take up a saved fit; return the number of its steps, 0 for a new one."""
        if self.file is None or not self.file.exists():
            return 0
        state = load_file(self.file)
        lifter.load_state_dict({name[7:]: value for name, value in state.items() if name.startswith("lifter.")})
        for k, parameter in enumerate(lifter.parameters()):
            found = {key: state[f"{key}.{k}"] for key in ("step", "exp_avg", "exp_avg_sq") if f"{key}.{k}" in state}
            if found:
                optimizer.state[parameter] = found
        return int(state["done"])


_UNSEEN = FitProgress()


def fit_lifter(
    lifter: Lifter,
    shards: ShardFolder | Mixture,
    steps: int,
    seed: int,
    figures: Float[np.ndarray, "N J 3"] | None = None,
    progress: FitProgress = _UNSEEN,
) -> float:
    """Train the lifter in place; deterministic in ``seed``, stopped in between or not.

    Without a view whose true landmarks are known the lifter stays as it is.

    Args:
        figures: true landmarks of people of whom synthetic detections are made, any unit, +Y up. Default: those of the
            shards that are fully known.

    Returns:
        the mean loss of the last tenth of the steps (box units), NaN if there were none.

    Raises:
        StopRequested: SIGTERM or Ctrl-C came; then the fit is saved.
    """
    detected, detector_features, truth = (torch.from_numpy(a) for a in shards.landmarks())
    if len(truth) == 0:
        return float("nan")
    _set_statistics(lifter, detector_features, truth)
    with torch.no_grad():  # once: the layer that squeezes features stays as it is until the whole model is trained
        squeezed = torch.cat([lifter.squeezed(part.float()) for part in detector_features.split(_LIFTER_BATCH)])
    bodies = truth[~truth.isnan().any(-1).any(-1)] if figures is None else torch.from_numpy(figures)
    optimizer = torch.optim.AdamW(lifter.parameters(), lr=_LIFTER_RATE, betas=(0.9, 0.98), weight_decay=0.02)
    losses, saved_s = [], time.monotonic()
    first = progress.load(lifter, optimizer)
    batches = _draw_batches((detected, squeezed, truth), bodies, range(first, steps), steps, seed)
    with lifter.fitting(), catch_stop_signals() as signals:
        for step, batch in enumerate(batches, first):
            for group in optimizer.param_groups:
                group["lr"] = _LIFTER_RATE * min(1.0, (step + 1) / _WARMUP_STEPS, 2 * (steps - step) / steps)
            inputs, features, target = batch
            loss = landmark_loss(lifter.lift(inputs, features), target)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(lifter.parameters(), 1.0)
            optimizer.step()
            losses.append(float(loss.detach()))
            if step % _REPORT_STEPS == 0 or step + 1 == steps:
                progress.report(step + 1, steps)
            if signals or step + 1 == steps or time.monotonic() - saved_s > _SAVE_S:
                progress.save(lifter, optimizer, step + 1)
                saved_s = time.monotonic()
            if signals and step + 1 < steps:
                raise StopRequested(
                    f"asked to stop after {step + 1:,} of {steps:,} steps of the landmark lifter's first fit, which "
                    "are saved; run the same command again to go on"
                )
    return float(np.mean(losses[-max(1, steps // 10) :])) if losses else float("nan")


def _draw_batches(
    pairs: Pairs, bodies: Float[Tensor, "N J 3"], chosen_steps: range, steps: int, seed: int
) -> Iterator[Pairs]:
    """Augmented pairs of the data and synthetic ones of ``bodies``, which have no detector features."""
    for step in chosen_steps:  # each with randomness of its own, so that a fit can begin anywhere
        rng = torch.Generator().manual_seed(seed_of(seed, step))
        torch.manual_seed(seed_of(seed, step))  # dropout
        synthetic = int(_LIFTER_BATCH * _SYNTHETIC[step > _FIRST_STEPS * steps]) if len(bodies) else 0
        chosen = torch.randint(len(pairs[0]), (_LIFTER_BATCH - synthetic,), generator=rng)
        detected, features, truth = (part[chosen] for part in pairs)
        if synthetic:
            figures = bodies[torch.randint(len(bodies), (synthetic,), generator=rng)]
            more_detected, more_truth = augment.synthetic_detections(figures, rng)
            detected, truth = torch.cat([detected, more_detected]), torch.cat([truth, more_truth])
            features = torch.cat([features, features.new_zeros(synthetic, *features.shape[1:])])
        yield augment.augment_pairs(detected, features, truth, rng)


@torch.no_grad()
def _set_statistics(lifter: Lifter, detector_features: Float[Tensor, "N J 2 C"], truth: Float[Tensor, "N J 3"]) -> None:
    """Set mean positions of the landmarks, and the features' principal components, each of deviation 1."""
    lifter.mean.copy_(truth.nanmedian(0).values.nan_to_num())
    features = detector_features[:: max(1, len(detector_features) // _STATISTICS_VIEWS)].float().flatten(0, 2)
    features = features[(features != 0).any(-1)]
    if len(features) <= SQUEEZED:
        return
    mean, scale = features.mean(0), 1 / (features.std(0) + 1e-3)
    standard = (features - mean) * scale
    directions = torch.linalg.eigh(standard.T @ standard).eigenvectors[:, -SQUEEZED:]
    squeeze = scale[:, None] * directions / ((standard @ directions).std(0) + 1e-3)
    lifter.squeeze.weight.copy_(squeeze.T)
    lifter.squeeze.bias.copy_(-mean @ squeeze)
