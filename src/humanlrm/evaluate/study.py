"""Settings of the ablation study, which are the options of ``humanlrm ablate``: nothing heavy is imported here."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro

from humanlrm.model.config import PaperConfig


def plain() -> PaperConfig:
    """The paper's architecture with the encoder and about the size of ``small``, from which the rows start."""
    return PaperConfig(
        encoder="lite", image_px=256, camera_width=128, width=192, depth=4, heads=3, plane_side=16, bottleneck=16,
        upsample_width=64, plane_channels=24, field_width=64, field_depth=4, latent=32, lifter_width=256,
        lifter_depth=2,
    )  # fmt: skip


#: Tables of rows.
Rows = Literal["parts", "scaling"]


@dataclass(frozen=True)
class Variant:
    """A row of a table.

    Attributes:
        name: as printed.
        flags: differences from the base configuration.
        every: trained on every so many people.
        people: trained on so many people; the row is left out if the data hold fewer.
        scale: widths are multiplied by it.
        layers: more layers of the plane decoder, or fewer.
        augment: photographs get errors of images, masks and landmarks, and are cut off and hidden.
        captures: a third of the samples are of the folder of captures.
        after: name of the row whose weights it starts from, for half as many samples more.
        rendering: with rendering losses.
    """

    name: str
    flags: dict[str, bool | str]
    every: int = 1
    people: int | None = None
    scale: float = 1.0
    layers: int = 0
    augment: bool = True
    captures: bool = False
    after: str | None = None
    rendering: bool = False

    def config(self, base: PaperConfig) -> PaperConfig:
        """The configuration of the row."""
        sizes = {name: round(getattr(base, name) * self.scale) for name in _WIDTHS}
        return replace(base, **sizes, depth=base.depth + self.layers, **self.flags)  # pyright: ignore[reportArgumentType]


#: Widths of the trained parts.
_WIDTHS = ("camera_width", "width", "upsample_width", "plane_channels", "field_width")
_ALL: dict[str, bool | str] = {"pixel_features": True, "depth_prior": True, "landmarks": True}
_PART_ROWS = (
    Variant("SDF field (paper)", {}),
    Variant("density field (LRM)", {"field": "density"}),
    Variant("+ pixel features", {"pixel_features": True}),
    Variant("+ depth prior", {"depth_prior": True}),
    Variant("+ landmarks", {"landmarks": True}),
    Variant("all three", _ALL),
    Variant("all three, a tenth of the people", _ALL, every=10),
    Variant("all three, rendering losses from the start", _ALL, rendering=True),
    Variant("all three, rendering losses, scans and captures", _ALL, captures=True),
    Variant("all three, trained on", _ALL, after="all three"),
    Variant("all three, trained on with rendering losses", _ALL, after="all three", rendering=True),
)
_SCALING_ROWS = (
    *(Variant(f"{people:,} people", _ALL, people=people) for people in (6, 60, 600, 6_000)),
    Variant("without augmentation", _ALL, augment=False),
    Variant("half as wide, half as deep", _ALL, scale=0.5, layers=-2),
    Variant("half as wide again, half as deep again", _ALL, scale=1.5, layers=2),
    Variant("density, pixel features alone", {"pixel_features": True, "field": "density"}),
    Variant("distance, pixel features alone", {"pixel_features": True}),
)
VARIANTS: dict[Rows, tuple[Variant, ...]] = {"parts": _PART_ROWS, "scaling": _SCALING_ROWS}


@dataclass(frozen=True)
class Study:
    """Models that are trained alike and measured alike.

    Attributes:
        data: folder of shards of scans to train on.
        captures: folder of shards of multi-view captures; without it the row that mixes them in is left out.
        rows: parts: the parts of the model, one by one. scaling: numbers of people, sizes, the field and augmentation,
            measured on occluded photos, too.
        base: configuration that the rows vary.
        samples: training samples of each model.
        batch: samples of a step.
        people: held-out procedural people that each model is measured on, one photo each.
        seeds: of the runs; figures are means over them.
        bf16: compute the networks in bfloat16, where this processor is faster in it.
    """

    data: Path
    captures: Path | None = None
    rows: Rows = "parts"
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
