"""What each flag of the paper's family is worth: equal short runs with and without it, losses on held-out people.

    python -m benchmarks.flags --data data/people --validation data/held-out [--samples 4000]

A model of some 2 million parameters with the encoder of ``small``; prints a table of validation terms (box units).
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from rich.console import Console
from rich.table import Table

from humanlrm.data.loader import SampleSettings
from humanlrm.data.shards import ShardFolder
from humanlrm.model.config import PaperConfig
from humanlrm.train.config import TrainConfig
from humanlrm.train.loop import train, validate

VARIANTS: dict[str, dict[str, bool]] = {
    "none": {},
    "pixel_features": {"pixel_features": True},
    "depth_prior": {"depth_prior": True},
    "landmarks": {"landmarks": True},
    "all": {"pixel_features": True, "depth_prior": True, "landmarks": True},
}
TERMS = ("sdf", "surface", "normal", "rgb", "depth", "landmarks")


@dataclass(frozen=True)
class Options:
    """Two folders of shards that share nobody.

    Attributes:
        data: people to learn from.
        validation: other people.
        samples: length of each run.
        image_px: side of the images; shards hold a whole multiple of it.
        people: views of other people that are measured.
    """

    data: Path
    validation: Path
    samples: int = 4000
    image_px: int = 128
    people: int = 64


def config(image_px: int, flags: dict[str, bool]) -> PaperConfig:
    return PaperConfig(
        encoder="lite",
        image_px=image_px,
        camera_width=32,
        width=128,
        depth=3,
        heads=4,
        plane_side=12,
        bottleneck=16,
        upsample_width=48,
        upsample=4,
        plane_channels=16,
        field_depth=4,
        **flags,
    )


def main(options: Options) -> None:
    torch.set_num_threads(1)
    console = Console()
    table = Table("flags", *TERMS, title=f"{options.samples:,} samples at {options.image_px} px, held-out people")
    for name, flags in VARIANTS.items():
        draw = SampleSettings(512, 128)
        plan = TrainConfig(samples=options.samples, batch=8, warmup=options.samples // 20, checkpoint_s=1e9, draw=draw)
        with tempfile.TemporaryDirectory() as run, console.status(name):
            model = train(config(options.image_px, flags), plan, options.data, Path(run), workers=0)
        found = validate(model, ShardFolder(options.validation), options.people)
        console.print(name, {term: round(found[term], 4) for term in TERMS}, highlight=False)
        table.add_row(name, *(f"{found[term]:.4f}" for term in TERMS))
    console.print(table)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
