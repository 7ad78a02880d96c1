"""Fits the landmark lifter to the (detected, true) pairs of a data folder: without images, in less than a minute."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from humanlrm.data.shards import ShardFolder
from humanlrm.landmarks import COUNT, MIRROR
from humanlrm.model.corrector import Lifter
from humanlrm.train.losses import landmark_loss

_BATCH = 64
_RATE = 1e-3
_NOISE = 0.012
_MISSING = 0.04


def fit_lifter(lifter: Lifter, shards: ShardFolder, steps: int, seed: int) -> float:
    """Trains the lifter in place; returns the mean loss of the last tenth of the steps (box units).

    Mirrored pairs, jitter and missing points are drawn as in ``data.loader``; deterministic in ``seed``.
    """
    detected, truth = (torch.from_numpy(a) for a in shards.landmarks())
    with torch.no_grad():
        lifter.mean.copy_(truth.median(0).values)
    rng = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(lifter.parameters(), lr=_RATE, weight_decay=0.05)
    losses = []
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = _RATE * min(1.0, (step + 1) / 50, 2 * (steps - step) / steps)
        chosen = torch.randint(len(detected), (_BATCH,), generator=rng)
        given, wanted = _varied(detected[chosen], truth[chosen], rng)
        loss = landmark_loss(lifter(given), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss))
    return float(np.mean(losses[-max(1, steps // 10) :])) if losses else float("nan")


def _varied(
    given: Float[Tensor, "B J 4"], wanted: Float[Tensor, "B J 3"], rng: torch.Generator
) -> tuple[Float[Tensor, "B J 4"], Float[Tensor, "B J 3"]]:
    """Half of the pairs mirrored, all jittered, single points and every twentieth set missing."""
    mirror, flip = torch.from_numpy(MIRROR), torch.tensor([-1.0, 1.0, 1.0])
    turned = torch.rand(len(given), 1, 1, generator=rng) < 0.5
    given = torch.where(turned, given[:, mirror] * torch.cat([flip, torch.ones(1)]), given)
    wanted = torch.where(turned, wanted[:, mirror] * flip, wanted)
    jitter = torch.randn(len(given), COUNT, 3, generator=rng) * _NOISE * (given[..., 3:] > 0)
    given = torch.cat([given[..., :3] + jitter, given[..., 3:]], dim=-1)
    lost = torch.rand(len(given), COUNT, 1, generator=rng) < _MISSING
    lost |= torch.rand(len(given), 1, 1, generator=rng) < 0.05
    return given.masked_fill(lost, 0.0), wanted
