"""How far off landmarks are on the way from the detector to the field: detected, lifted, spotted, corrected.

    python -m benchmarks.correction --data data/held-out [--weights DIR] [--count 592]

Prints the error of a view in box units (mean over its points; mean and median over the views), and the means of its
parts in depth and in the picture plane. Views of which a landmark is unknown are left out. Then how far off the stature
is that the corrected landmarks tell, as a share of the true one's, and whether it is too large or too small on average;
and whether strides (front-back distance of the ankles) are calibrated: truth per estimate, by least squares, is 1 if no
factor would bring them nearer, however much shorter than the true ones they are.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.table import Table

from humanlrm.body.height import standing_height
from humanlrm.body.landmarks import INDEX
from humanlrm.data.dataset import SampleSettings, TrainingDataset
from humanlrm.data.shards import ShardFolder
from humanlrm.model.pretrained import SHIPPED, from_pretrained
from humanlrm.views import collate

_BATCH = 16
_ANKLES = [INDEX["left_ankle"], INDEX["right_ankle"]]


@dataclass(frozen=True)
class Options:
    """
    Attributes:
        data: folder of shards of people that the weights have not seen.
        weights: folder of other weights than the shipped ones.
        count: views.
    """

    data: Path
    weights: Path = SHIPPED
    count: int = 592


@torch.no_grad()
def main(options: Options) -> None:
    torch.set_num_threads(1)
    model = from_pretrained(options.weights)
    views = TrainingDataset(
        ShardFolder(options.data), SampleSettings(augment=False, image_px=model.config.image_px), seed=5
    )
    errors: dict[str, list[np.ndarray]] = {}
    statures: list[float] = []
    strides: list[np.ndarray] = []
    for start in range(0, min(options.count, len(views)), _BATCH):
        batch = collate([views[k] for k in range(start, start + _BATCH)])
        given, truth = batch.inputs, batch.supervision.landmarks
        estimate = model.estimate_landmarks(given)
        found = {
            "detected": given.landmarks[..., :3],
            "lifted": model.landmark_head.lifter(given.landmarks, given.detector_features),
        }
        found |= {} if estimate.heatmaps is None else {"spotted": estimate.heatmaps.points}
        known = truth.isfinite().all(-1).all(-1)
        for name, points in (found | {"corrected": estimate.points}).items():
            errors.setdefault(name, []).append((points - truth)[known].numpy())
        pairs = zip(estimate.points[known].numpy(), truth[known].numpy(), strict=True)
        statures += [standing_height(points) / standing_height(true) - 1 for points, true in pairs]
        ankles = torch.stack([estimate.points[known], truth[known]])[:, :, _ANKLES, 2]
        strides.append((ankles[..., 0] - ankles[..., 1]).numpy())
    table = Table("landmarks", "mean", "median", "depth", "picture plane")
    for name, parts in errors.items():
        off = np.concatenate(parts)
        whole = np.linalg.norm(off, axis=-1).mean(1)
        figures = (
            whole.mean(),
            np.median(whole),
            np.abs(off[..., 2]).mean(),
            np.linalg.norm(off[..., :2], axis=-1).mean(),
        )
        table.add_row(name, *(f"{figure:.3f}" for figure in figures))
    Console().print(table)
    Console().print(f"stature off by {np.abs(statures).mean():.1%}, {np.mean(statures):+.1%} on average")
    ours, true = np.concatenate(strides, axis=1)
    per_estimate, per_truth = (ours * true).sum() / (ours**2).sum(), (ours * true).sum() / (true**2).sum()
    Console().print(f"strides: truth per estimate {per_estimate:.2f}, estimate per truth {per_truth:.2f}")


if __name__ == "__main__":
    main(tyro.cli(Options))
