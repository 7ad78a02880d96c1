"""Selection of people by seed, and the shards that they are rendered into. They also feed the command line."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from humanlrm.data.settings import RenderSettings

Kind = Literal["procedural", "avatar", "composed"]
#: People per shard.
SHARD = 50


@dataclass(frozen=True)
class PeopleSelection:
    """People with consecutive seeds. A seed always makes the same person.

    Attributes:
        count: number of people.
        seed: seed of the first person. Give another one to make other people.
        kind: make people of one kind only: procedural (built from simple shapes), avatar (ready-made characters) or
            composed (bodies dressed in garments). The last two need the asset pack. none: a mix.
        assets: folder of the asset pack with avatars, garments and poses. none: the folder that $HUMANLRM_ASSETS
            names; if that is not set either, all people are procedural.
    """

    count: int = 100
    seed: int = 0
    kind: Kind | None = None
    assets: Path | None = None

    def __post_init__(self) -> None:
        if self.count < 1 or self.seed < 0:
            raise ValueError(f"people: count must be positive and seed not negative, got {self.count}, {self.seed}")

    @property
    def seeds(self) -> range:
        return range(self.seed, self.seed + self.count)


@dataclass(frozen=True)
class PeopleJob:
    """People to render as training data.

    Attributes:
        out: folder of the shards.
    """

    out: Path
    people: PeopleSelection = field(default_factory=PeopleSelection)
    settings: RenderSettings = field(default_factory=RenderSettings)

    def shards(self) -> list[tuple[Path, range]]:
        """File name and seeds of every shard. Names carry the first seed, so that jobs can add to a folder."""
        seeds = self.people.seeds
        starts = range(seeds.start, seeds.stop, SHARD)
        return [(self.out / f"people-{s:08d}.tar", range(s, min(s + SHARD, seeds.stop))) for s in starts]

    def missing_shards(self) -> list[tuple[Path, range]]:
        """The shards that do not exist, or end where a smaller job ended (or where the last person failed).

        Raises:
            ValueError: a shard that begins elsewhere holds some of the people already; they would count twice.
        """
        first_seed, stop = self.people.seeds.start, self.people.seeds.stop
        for path in sorted(set(self.out.glob("people-*.tar")) - {path for path, _ in self.shards()}):
            first = int(path.stem.rpartition("-")[2])
            if first_seed - SHARD < first < stop and (last := _last_seed(path)) >= first_seed:
                raise ValueError(
                    f"{path} holds the seeds {first} to {last} already; give --seed {last + 1}, or another --out"
                )
        return [(path, seeds) for path, seeds in self.shards() if not path.exists() or _last_seed(path) < seeds[-1]]


def _last_seed(shard: Path) -> int:
    from humanlrm.data.records import list_entries  # numpy, which the command's help does not need

    return max((int(entry.key) for entry in list_entries(shard)), default=-1)
