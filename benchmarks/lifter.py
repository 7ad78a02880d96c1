"""How well landmarks are lifted: a new lifter is fitted to one folder of people and measured on another.

    python -m benchmarks.lifter --data data/people --validation data/held-out [--steps 8000] [--assets DIR]

Prints the mean error of a view (mean and median over the views) and the median error of a point in depth, box units:
as detected, lifted, and lifted without the detector's clues.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.table import Table
from torch import Tensor

from humanlrm.data.shards import ShardFolder
from humanlrm.model.landmark_head import Lifter
from humanlrm.people.avatars.person import AvatarLibrary
from humanlrm.people.figures import figures
from humanlrm.train.lift import fit_lifter


@dataclass(frozen=True)
class Options:
    """
    Attributes:
        data: folder of shards to fit to.
        validation: folder of shards of other people.
        steps: of the fit.
        assets: asset pack for imagined figures. Default: $HUMANLRM_ASSETS; without one the shards' own people.
        figures: how many are imagined.
        seed: of the fit.
    """

    data: Path
    validation: Path
    steps: int = 8_000
    assets: Path | None = None
    figures: int = 40_000
    seed: int = 0


def errors(found: Tensor, truth: Tensor) -> tuple[float, float, float]:
    """Mean and median over the views of the mean distance of their known points, and the median distance in depth."""
    view = (found - truth).norm(dim=-1).nanmean(1)
    return float(view.mean()), float(view.median()), float((found - truth)[..., 2].abs().nanmedian())


@torch.no_grad()
def main() -> None:
    options = tyro.cli(Options, description=__doc__)
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    pack = options.assets or os.environ.get("HUMANLRM_ASSETS")
    imagined: np.ndarray | None = None
    if pack is not None:
        imagined = figures(AvatarLibrary(Path(pack), "train"), options.figures, 1)
    lifter = Lifter()
    with torch.enable_grad():
        fit_lifter(lifter, ShardFolder(options.data), options.steps, options.seed, imagined)
    detected, detector_features, truth = (
        torch.from_numpy(a).float() for a in ShardFolder(options.validation).landmarks()
    )
    rows = {
        "as detected": detected[..., :3],
        "lifted": lifter(detected, detector_features),
        "lifted without clues": lifter(detected, torch.zeros_like(detector_features)),
    }
    table = Table("landmarks", "mean", "median", "depth", title=f"{len(truth)} views, box units")
    for name, found in rows.items():
        table.add_row(name, *(f"{value:.3f}" for value in errors(found, truth)))
    Console().print(table)


if __name__ == "__main__":
    main()
