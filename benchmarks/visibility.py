"""How well ``photo.visibility`` finds hidden bodies: the measure against the truth of rendered people.

    python -m benchmarks.visibility --data SHARDS [--count 400]

Prints, for photos whose shards know the whole silhouette, the share of the silhouette that is hidden against the
measure: rank correlation, false alarms on people who are seen whole, and alarms by how much is hidden.
"""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import tyro
from scipy.stats import spearmanr

from humanlrm.body.landmarks import COUNT, DETECTOR_FEATURE_CHANNELS
from humanlrm.data.shards import ShardFolder
from humanlrm.data.subject import ViewRecord
from humanlrm.frame import SquareCrop
from humanlrm.photo.crop import SubjectCrop
from humanlrm.photo.visibility import measure_visibility

_BINS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 1.01)


@dataclass(frozen=True)
class Options:
    """Attributes:
    data: folder of shards with whole silhouettes.
    count: photos.
    size_px: side of the crop that is measured.
    """

    data: Path
    count: int = 400
    size_px: int = 128


def crop_of(record: ViewRecord, size_px: int) -> SubjectCrop:
    """A photo of a shard as if it had come from a file (the whole photo is not known)."""
    planes = [np.asarray(Image.fromarray(plane).resize((size_px, size_px))) for plane in (record.alpha, record.known)]
    alpha, known = (torch.from_numpy(plane / np.float32(255))[None] for plane in planes)
    marks, detector_features = (
        torch.from_numpy(record.detected.astype(np.float32)),
        torch.zeros(COUNT, 2, DETECTOR_FEATURE_CHANNELS),
    )
    nothing = np.zeros((1, 1, 3), np.uint8), np.zeros((1, 1), np.float32)
    return SubjectCrop(
        alpha.repeat(3, 1, 1), alpha, known, marks, detector_features, SquareCrop((0.5, 0.5), 1.0), *nothing, ()
    )


def main(options: Options) -> None:
    shards = ShardFolder(options.data)
    truth, found = [], []
    views = [(i, view) for i, entry in enumerate(shards.entries) for view in range(entry.views)]
    for index, view in np.random.default_rng(0).permutation(views)[: options.count].tolist():
        record, (layers, _) = shards.load_view(index, view), shards.layers(index, view)
        if layers is None:
            continue
        whole = layers.alpha > 127
        seen = (record.alpha > 127) & (record.known > 127)
        truth.append(1 - (whole & seen).sum() / max(whole.sum(), 1))
        found.append(measure_visibility(crop_of(record, options.size_px)).hidden)
    hidden, measured = np.array(truth), np.array(found)
    print(f"{len(hidden)} photos; Spearman {spearmanr(hidden, measured)[0]:.2f}")
    print("truly hidden   photos   measured: median, 90%   needs completion")
    for low, high in pairwise(_BINS):
        of = measured[(hidden >= low) & (hidden < high)]
        if len(of):
            median, most = np.quantile(of, (0.5, 0.9))
            print(f"{low:4.0%} to {high:4.0%} {len(of):8d} {median:12.2f} {most:12.2f} {(of > 0.1).mean():12.0%}")


if __name__ == "__main__":
    main(tyro.cli(Options))
