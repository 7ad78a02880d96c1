"""Settings of the ablation study, which are the options of ``humanlrm ablate``: nothing heavy is imported here."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from humanlrm.model.config import PaperConfig


def plain() -> PaperConfig:
    """The paper's architecture with the encoder and about the size of ``small``, from which the rows start."""
    return PaperConfig(
        encoder="lite", image_px=256, camera_width=128, width=192, depth=4, heads=3, plane_side=16, bottleneck=16,
        upsample_width=64, plane_channels=24, field_width=64, field_depth=4, latent=32, lifter_width=256,
        lifter_depth=2,
    )  # fmt: skip


@dataclass(frozen=True)
class Variant:
    """A row of the table.

    Attributes:
        name: as printed.
        flags: differences from the base configuration.
        tenth: trained on every tenth person.
        captures: a third of the samples are of the folder of captures.
        after: name of the row whose weights it starts from, for half as many samples more.
        rendering: with rendering losses.
    """

    name: str
    flags: dict[str, bool | str]
    tenth: bool = False
    captures: bool = False
    after: str | None = None
    rendering: bool = False


_ALL: dict[str, bool | str] = {"pixel_features": True, "depth_prior": True, "landmarks": True}
VARIANTS = (
    Variant("SDF field (paper)", {}),
    Variant("density field (LRM)", {"field": "density"}),
    Variant("+ pixel features", {"pixel_features": True}),
    Variant("+ depth prior", {"depth_prior": True}),
    Variant("+ landmarks", {"landmarks": True}),
    Variant("all three", _ALL),
    Variant("all three, a tenth of the people", _ALL, tenth=True),
    Variant("all three, rendering losses from the start", _ALL, rendering=True),
    Variant("all three, rendering losses, scans and captures", _ALL, captures=True),
    Variant("all three, trained on", _ALL, after="all three"),
    Variant("all three, trained on with rendering losses", _ALL, after="all three", rendering=True),
)


@dataclass(frozen=True)
class Study:
    """Models that are trained alike and measured alike.

    Attributes:
        data: folder of shards of scans to train on.
        captures: folder of shards of multi-view captures; without it the row that mixes them in is left out.
        base: configuration that the rows vary.
        samples: training samples of each model.
        batch: samples of a step.
        people: held-out procedural people that each model is measured on, one photo each.
        seeds: of the runs; figures are means over them.
        bf16: compute the networks in bfloat16, where this processor is faster in it.
    """

    data: Path
    captures: Path | None = None
    base: Annotated[PaperConfig, tyro.conf.Suppress] = field(default_factory=plain)
    samples: int = 6_000
    batch: int = 8
    people: int = 24
    seeds: tuple[int, ...] = (0, 1, 2)
    bf16: bool = False

    def __post_init__(self) -> None:
        if min(self.samples, self.batch, self.people) < 1 or not self.seeds:
            raise ValueError(
                f"an ablation needs samples, a batch, people and seeds; "
                f"got {self.samples}, {self.batch}, {self.people} and {self.seeds}"
            )
