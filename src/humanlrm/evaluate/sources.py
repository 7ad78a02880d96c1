"""Where held-out people come from: seeds, held-out identities, scan files, photos with their scans."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from humanlrm.data.scan import Scan
from humanlrm.evaluate.scan_files import PICTURES, find_scans, person_picture, read_scan
from humanlrm.people.avatars.person import AvatarLibrary, make_avatar
from humanlrm.people.generate import VALIDATION_SEED
from humanlrm.people.makehuman.person import make_composed
from humanlrm.people.procedural.person import make_person

#: What can be named on the command line; folders have options of their own.
SETS = ("procedural-val", "composed-val", "valid-val")


@dataclass(frozen=True)
class Unit:
    """One held-out subject: what a worker does in one piece.

    Attributes:
        set: name of the set.
        subject: unique within it.
        person: subjects of one person (an avatar in several poses) share it.
        seed: of the person, light and disturbances.
        path: of the scan file, if it is one.
    """

    set: str
    subject: str
    person: str
    seed: int
    path: Path | None = None

    @property
    def stem(self) -> str:
        """File name of its results."""
        return f"{self.set}-{self.subject}".replace("/", "_")


@dataclass(frozen=True)
class Sources:
    """Which people are measured.

    Attributes:
        sets: of ``SETS``.
        count: people per set of seeds.
        poses: per avatar.
        first_seed: seeds are held out from ``VALIDATION_SEED`` on.
        assets: asset pack, for composed-val and valid-val.
        scans: folder of scan files (any depth; THuman's NNNN/NNNN.obj): +Y up.
        ids: file with the stems that are wanted of ``scans``, e.g. a data set's test list.
        pairs: folder of NAME.jpg or .png beside NAME.obj, .ply or .glb (+Y up, +Z toward the camera).
    """

    sets: tuple[str, ...] = ("procedural-val",)
    count: int = 100
    poses: int = 3
    first_seed: int = VALIDATION_SEED
    assets: Path | None = None
    scans: Path | None = None
    ids: Path | None = None
    pairs: Path | None = None

    def units(self) -> list[Unit]:
        """All subjects, in a fixed order.

        Raises:
            ValueError: an unknown or empty set, a set without its asset pack, or a folder without scans.
        """
        found = [unit for name in self.sets for unit in self._of_set(name)]
        if self.scans is not None:
            found += _files(f"scans-{self.scans.resolve().name}", find_scans(self.scans, self.ids))
        if self.pairs is not None:
            found += _files(f"pairs-{self.pairs.resolve().name}", _paired(self.pairs))
        if not found:
            raise ValueError("nothing to measure: name --sets, --scans or --pairs")
        return found

    def _of_set(self, name: str) -> list[Unit]:
        if name not in SETS:
            raise ValueError(f"unknown set {name!r}; there are {', '.join(SETS)}")
        if self.count < 1 or self.poses < 1 or self.first_seed < VALIDATION_SEED:
            raise ValueError(
                f"count and poses must be positive and seeds at least {VALIDATION_SEED}; "
                f"got {self.count}, {self.poses}, {self.first_seed}"
            )
        if name == "procedural-val":
            return [Unit(name, str(seed), str(seed), seed) for seed in self._seeds]
        if self.assets is None:
            raise ValueError(f"the set {name} needs the asset pack: give --assets DIR or set HUMANLRM_ASSETS")
        if name == "composed-val":
            return [Unit(name, str(seed), str(seed), seed) for seed in self._seeds]
        ids = _library(self.assets).ids
        return [
            Unit(name, f"{avatar}_{pose}", avatar, self.first_seed + pose * len(ids) + number)
            for number, avatar in enumerate(ids)
            for pose in range(self.poses)
        ]

    @property
    def _seeds(self) -> range:
        return range(self.first_seed, self.first_seed + self.count)

    def scan(self, unit: Unit) -> Scan:
        """The person of a unit.

        Raises:
            ValueError: a scan file cannot be read.
        """
        if unit.path is not None:
            return read_scan(unit.path, unit.set)
        if unit.set == "procedural-val":
            return make_person(unit.seed)
        assert self.assets is not None
        if unit.set == "composed-val":
            return make_composed(self.assets, unit.seed, split="val")
        return make_avatar(_library(self.assets), unit.seed, avatar_id=unit.person)


@cache
def _library(assets: Path) -> AvatarLibrary:
    return AvatarLibrary(assets, "val", cached=2)


def _files(name: str, paths: list[Path]) -> list[Unit]:
    return [Unit(name, path.stem, path.stem, VALIDATION_SEED + i, path) for i, path in enumerate(paths)]


def _paired(folder: Path) -> list[Path]:
    found = [path for path in find_scans(folder) if person_picture(path) is not None]
    if not found:
        raise ValueError(f"{folder} holds no photo beside a scan of the same name; expected NAME.jpg and NAME.obj")
    return found


def orphans(folder: Path) -> list[str]:
    """Names in a folder of pairs that are a scan without a photo, or a photo without a scan."""
    scans = find_scans(folder)
    alone = [path.name for path in scans if person_picture(path) is None]
    photos = {path for path in folder.rglob("*") if path.suffix.lower() in PICTURES}
    return alone + sorted(path.name for path in photos if path.stem not in {scan.stem for scan in scans})


def describe(units: list[Unit]) -> Iterator[str]:
    """One line per set."""
    for name in dict.fromkeys(unit.set for unit in units):
        mine = [unit for unit in units if unit.set == name]
        yield f"{name}: {len(mine)} subjects of {len({unit.person for unit in mine})} people"
