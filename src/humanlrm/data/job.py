"""A data set to prepare, and what the user states about its files. They also feed the command line."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from humanlrm.data.settings import RenderSettings
from humanlrm.settings import METRES

if TYPE_CHECKING:
    from humanlrm.data.importers.adapter import Adapter

PARTS = ("train", "test", "all")
#: Axes that can point up in a file.
AXES = ("+x", "-x", "+y", "-y", "+z", "-z")
#: "auto" guesses the unit from the height, "height" sets the height and asks for no unit.
UNITS = (*METRES, "auto", "height")
#: Heights of people in metres, sitting children to men with raised arms, by which "auto" chooses the unit.
_HEIGHTS_M = (0.45, 2.7)


@dataclass(frozen=True)
class Placement:
    """Axes and unit of a file.

    Attributes:
        up: its up axis, one of ``AXES``.
        unit: one of ``UNITS``.
        height_m: the height of a scan of unknown unit.
    """

    up: str = "+y"
    unit: str = "auto"
    height_m: float = 1.7

    def __post_init__(self) -> None:
        if self.up not in AXES:
            raise ValueError(f"up must be one of {', '.join(AXES)}, got {self.up!r}")
        if self.unit not in UNITS:
            raise ValueError(f"unit must be one of {', '.join(UNITS)}, got {self.unit!r}")
        if not 0.3 <= self.height_m <= 2.7:
            raise ValueError(f"height_m must be between 0.3 and 2.7, got {self.height_m}")

    def metres(self, height: float) -> tuple[float, str]:
        """Metres per unit of a mesh of this height, and their source in words."""
        if self.unit in METRES:
            return METRES[self.unit], self.unit
        low, high = _HEIGHTS_M
        units = [unit for unit, metres in METRES.items() if low <= height * metres <= high]
        if self.unit == "auto" and units:
            return METRES[units[0]], f"{units[0]} (by its height)"
        return self.height_m / height, f"unknown, height set to {self.height_m:.2f} m"


@dataclass(frozen=True)
class Options:
    """Facts about the files that the data set leaves open.

    Attributes:
        up: axis of the files that points up: +x, -x, +y, -y, +z or -z (write --up=-z). none: the data set's usual one.
        unit: unit of the files: m, cm or mm; auto: the one that gives a person's height; height: the scan is scaled
            to --height-m. none: the data set's usual one.
        height_m: height in metres of scans of unknown unit.
        image_px: longer side in pixels of the photographs of captures.
        licence: licence of your own scans or photographs; it is kept in the shards.
    """

    up: str | None = None
    unit: str | None = None
    height_m: float = 1.7
    image_px: int = 512
    licence: str | None = None

    def __post_init__(self) -> None:
        self.placement()
        if not 64 <= self.image_px <= 4096:
            raise ValueError(f"image_px must be between 64 and 4096, got {self.image_px}")

    def placement(self, up: str = "+y", unit: str = "auto") -> Placement:
        """The stated axes and unit, or else the data set's."""
        return Placement(self.up or up, self.unit or unit, self.height_m)


@dataclass(frozen=True)
class PrepareJob:
    """Items of a data set, and where their shards go.

    Attributes:
        name: data set: thuman, humman, custom-humans, 2k2k, x-humans, renderpeople, zju-mocap; scans or multiview for
            your own files (layouts: docs/datasets.md).
        source: folder of the data set.
        out: folder for the shards.
        split: text file with the ids of held-out people, one per line; or thuman2: the scans 0506 to 0525 of
            THuman2. none: the data set's own parts.
        part: train (all that is not held out), test (what is held out) or all.
        every: take every n-th frame of a sequence.
        limit: take at most so many people. none: all.
        settings: how scans are photographed.
    """

    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")]
    source: Path
    out: Path
    split: str | None = None
    part: str = "train"
    every: int = 1
    limit: int | None = None
    options: Annotated[Options, tyro.conf.arg(name="files"), tyro.conf.OmitArgPrefixes] = field(default_factory=Options)
    settings: tyro.conf.Suppress[RenderSettings] = field(default_factory=RenderSettings)

    def __post_init__(self) -> None:
        if self.part not in PARTS:
            raise ValueError(f"part must be one of {', '.join(PARTS)}, got {self.part!r}")
        if self.every < 1 or (self.limit is not None and self.limit < 1):
            raise ValueError(f"every and limit must be positive, got {self.every} and {self.limit}")

    @property
    def adapter(self) -> "Adapter":
        from humanlrm.data.importers import ADAPTERS  # readers of all formats, which the command's help does not need

        if self.name not in ADAPTERS:
            raise ValueError(f"unknown data set {self.name!r}; there are {', '.join(ADAPTERS)}")
        return ADAPTERS[self.name]
