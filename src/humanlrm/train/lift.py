"""Fits the landmark lifter to the (detected, true) pairs of a data folder and to imagined ones: without images."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from humanlrm.body.landmarks import COUNT, MIRROR
from humanlrm.data.augment.synthetic_detections import synthetic_detections
from humanlrm.data.shards import Mixture, ShardFolder
from humanlrm.model.landmark_head import SQUEEZED, Lifter
from humanlrm.train.losses import landmark_loss

_BATCH = 256
_RATE = 1e-3
_NOISE = 0.012
_MISSING = 0.04
_STATISTICS = 2000
#: Share of imagined pairs in a batch, before and after this share of the steps (our choice: first what bodies can do,
#: then what the detector does).
_IMAGINED, _FIRST = (0.9, 0.35), 0.4


def fit_lifter(
    lifter: Lifter,
    shards: ShardFolder | Mixture,
    steps: int,
    seed: int,
    figures: Float[np.ndarray, "N J 3"] | None = None,
) -> float:
    """Trains the lifter in place; returns the mean loss of the last tenth of the steps (box units).

    Without a view of which true landmarks are known the lifter stays as it is and the loss is NaN.
    Mirrored pairs, jitter and missing points are drawn as in ``data.dataset``; deterministic in ``seed``.

    Args:
        figures: true landmarks of people who are photographed in imagination only
            (``data.augment.synthetic_detections``), any unit, +Y up; by default those of the shards that are fully
            known.
    """
    detected, detector_features, truth = (torch.from_numpy(a) for a in shards.landmarks())
    if len(truth) == 0:
        return float("nan")
    _set_statistics(lifter, detector_features, truth)
    with torch.no_grad():  # once: what squeezes the clues stays as it is until the whole model is trained
        detector_features = torch.cat([lifter.squeezed(part.float()) for part in detector_features.split(_BATCH)])
    bodies = truth[~truth.isnan().any(-1).any(-1)] if figures is None else torch.from_numpy(figures)
    rng = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(lifter.parameters(), lr=_RATE, betas=(0.9, 0.98), weight_decay=0.02)
    losses = []
    with lifter.fitting():
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = _RATE * min(1.0, (step + 1) / 50, 2 * (steps - step) / steps)
            synthetic = int(_BATCH * _IMAGINED[step > _FIRST * steps]) if len(bodies) else 0
            chosen = torch.randint(len(detected), (_BATCH - synthetic,), generator=rng)
            batch = detected[chosen], detector_features[chosen], truth[chosen]
            if synthetic:
                chosen = bodies[torch.randint(len(bodies), (synthetic,), generator=rng)]
                seen, true = synthetic_detections(chosen, rng)
                none = detector_features.new_zeros(synthetic, *detector_features.shape[1:])
                batch = tuple(torch.cat(pair) for pair in zip(batch, (seen, none, true), strict=True))
            inputs, features, target = _varied(*batch, rng)
            loss = landmark_loss(lifter.lift(inputs, features), target)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(lifter.parameters(), 1.0)
            optimizer.step()
            losses.append(float(loss.detach()))
    return float(np.mean(losses[-max(1, steps // 10) :])) if losses else float("nan")


@torch.no_grad()
def _set_statistics(lifter: Lifter, detector_features: Float[Tensor, "N J 2 C"], truth: Float[Tensor, "N J 3"]) -> None:
    """Mean positions of the points; the clues' principal components, each of deviation 1, on some thousand views."""
    lifter.mean.copy_(truth.nanmedian(0).values.nan_to_num())
    some = detector_features[:: max(1, len(detector_features) // _STATISTICS)].float().flatten(0, 2)
    some = some[(some != 0).any(-1)]
    if len(some) <= SQUEEZED:
        return
    mean, scale = some.mean(0), 1 / (some.std(0) + 1e-3)
    standard = (some - mean) * scale
    directions = torch.linalg.eigh(standard.T @ standard).eigenvectors[:, -SQUEEZED:]
    squeeze = scale[:, None] * directions / ((standard @ directions).std(0) + 1e-3)
    lifter.squeeze.weight.copy_(squeeze.T)
    lifter.squeeze.bias.copy_(-mean @ squeeze)


def _varied(
    detected: Float[Tensor, "B J 4"],
    detector_features: Float[Tensor, "B J 2 C"],
    truth: Float[Tensor, "B J 3"],
    rng: torch.Generator,
) -> tuple[Float[Tensor, "B J 4"], Float[Tensor, "B J 2 C"], Float[Tensor, "B J 3"]]:
    """Half of the pairs mirrored, all jittered, single points, every twentieth set and every tenth's clues missing."""
    mirror, flip = torch.from_numpy(MIRROR), torch.tensor([-1.0, 1.0, 1.0])
    turned = torch.rand(len(detected), 1, 1, generator=rng) < 0.5
    detected = torch.where(turned, detected[:, mirror] * torch.cat([flip, torch.ones(1)]), detected)
    detector_features = torch.where(turned[..., None], detector_features[:, mirror].flip(2), detector_features)
    truth = torch.where(turned, truth[:, mirror] * flip, truth)
    jitter = torch.randn(len(detected), COUNT, 3, generator=rng) * _NOISE * (detected[..., 3:] > 0)
    detected = torch.cat([detected[..., :3] + jitter, detected[..., 3:]], dim=-1)
    lost = torch.rand(len(detected), COUNT, 1, generator=rng) < _MISSING
    lost |= torch.rand(len(detected), 1, 1, generator=rng) < 0.05
    unclear = lost | (torch.rand(len(detected), 1, 1, generator=rng) < 0.1)
    return detected.masked_fill(lost, 0.0), detector_features.masked_fill(unclear[..., None], 0.0), truth
