"""Held-out people: seeds, held-out identities, scan files, and photos with their scans."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from humanlrm.data.importers.io.mesh_files import read_mesh
from humanlrm.data.job import Placement
from humanlrm.data.scan import Scan
from humanlrm.evaluate.plan import SETS, Sources, check_choice
from humanlrm.mesh.surface import TriangleSurface
from humanlrm.people.avatars.person import AvatarLibrary, make_avatar
from humanlrm.people.generate import VALIDATION_SEED
from humanlrm.people.makehuman.person import make_composed
from humanlrm.people.procedural.person import make_person

_SCANS = (".obj", ".ply", ".glb")
_PHOTOS = (".png", ".jpg", ".jpeg", ".webp")


@dataclass(frozen=True)
class Unit:
    """One held-out subject, the piece of work of one worker.

    Attributes:
        set: name of the set.
        subject: unique within the set.
        person: subjects of one person (an avatar in several poses) share it.
        seed: of the person, the light and the corruptions.
        path: of the scan file, if there is one.
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

    @property
    def photo(self) -> Path | None:
        """The photo beside the scan, for subjects of --pairs."""
        return find_photo(self.path) if self.path is not None and self.set.startswith("pairs-") else None


def find_units(sources: Sources) -> list[Unit]:
    """All subjects, in a fixed order.

    Raises:
        ValueError: an unknown or empty set, a set without its asset pack, or a folder without scans.
    """
    if sources.limit is not None and sources.limit < 1:
        raise ValueError(f"limit must be positive, got {sources.limit}")
    units = [unit for name in sources.set_names for unit in _spread(_units_of_set(sources, name), sources.limit)]
    if sources.scans is not None:
        units += _units_of_files(f"scans-{sources.scans.resolve().name}", find_scans(sources.scans, sources.ids))
    if sources.pairs is not None:
        paths = [path for path in find_scans(sources.pairs) if find_photo(path) is not None]
        if not paths:
            raise ValueError(
                f"{sources.pairs} holds no photo beside a scan of its name; expected NAME.jpg and NAME.obj"
            )
        units += _units_of_files(f"pairs-{sources.pairs.resolve().name}", paths)
    if not units:
        raise ValueError("nothing to measure: name --sets, --scans or --pairs")
    return units


def _units_of_set(sources: Sources, name: str) -> list[Unit]:
    check_choice("set", name, SETS)
    count = 0 if sources.count is None else sources.count
    if count < 1 or sources.poses < 1:
        raise ValueError(f"count and poses must be positive, got {count} and {sources.poses}")
    if sources.assets is None and name != "procedural-val":
        raise ValueError(f"the set {name} needs the asset pack: give --assets DIR or set HUMANLRM_ASSETS")
    if name != "valid-val" or sources.assets is None:
        return [Unit(name, str(seed), str(seed), seed) for seed in range(VALIDATION_SEED, VALIDATION_SEED + count)]
    ids = _library(sources.assets).ids
    return [
        Unit(name, f"{avatar}_{pose}", avatar, VALIDATION_SEED + pose * len(ids) + number)
        for number, avatar in enumerate(ids)
        for pose in range(sources.poses)
    ]


def _spread(units: list[Unit], limit: int | None) -> list[Unit]:
    """At most ``limit`` units, evenly spread; no limit: all."""
    if limit is None or limit >= len(units):
        return units
    return [units[place * len(units) // limit] for place in range(limit)]


def _units_of_files(name: str, paths: list[Path]) -> list[Unit]:
    return [Unit(name, path.stem, path.stem, VALIDATION_SEED + i, path) for i, path in enumerate(paths)]


@cache
def _library(assets: Path) -> AvatarLibrary:
    return AvatarLibrary(assets, "val", cached=2)


def open_scan(sources: Sources, unit: Unit) -> Scan:
    """The person of a unit.

    Raises:
        ValueError: a scan file cannot be read.
    """
    if unit.path is not None:
        return read_scan(unit.path, unit.set)
    if unit.set == "procedural-val":
        return make_person(unit.seed)
    assert sources.assets is not None
    if unit.set == "composed-val":
        return make_composed(sources.assets, unit.seed, split="val")
    return make_avatar(_library(sources.assets), unit.seed, avatar_id=unit.person)


def read_scan(path: Path, set_name: str) -> Scan:
    """A scan file, +Y up.

    The height tells metres, centimetres or millimetres; a scan of an impossible height is scaled to 1.70 m. A scan
    that is inside out is turned.

    Raises:
        ValueError: the file cannot be read as a triangle mesh.
    """
    mesh = read_mesh(path, colorless=True)
    faces, uv_faces, height = mesh.faces, mesh.uv_faces, float(np.ptp(mesh.vertices[:, 1]))
    metres, _ = Placement().metres(max(height, 1e-9))
    vertices = mesh.vertices * metres
    if TriangleSurface(vertices, faces).volume < 0:
        faces, uv_faces = faces[:, ::-1].copy(), uv_faces[:, ::-1].copy()
    surface = vertices.astype(np.float32), faces.astype(np.int32)
    texture = mesh.uv.astype(np.float32), uv_faces.astype(np.int32), mesh.texture
    return Scan(path.stem, set_name, "see its source", *surface, *texture, None, {"height_m": height * metres})


def find_scans(folder: Path, ids: Path | None = None) -> list[Path]:
    """Mesh files of a folder and its subfolders in order of their names; ``ids`` lists the stems to take.

    Raises:
        ValueError: no such folder, nothing in it, or an id without a file.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder; give one with scans (OBJ, PLY or GLB)")
    files = {path.stem: path for path in sorted(folder.rglob("*"), reverse=True) if path.suffix.lower() in _SCANS}
    names = sorted(files) if ids is None else ids.read_text(encoding="utf-8").split()
    missing = [name for name in names if name not in files]
    if missing or not names:
        raise ValueError(
            f"{folder}: no scan for {', '.join(missing[:5]) or 'anything'}; expected NAME.obj, .ply or .glb"
        )
    return [files[name] for name in names]


def find_photo(scan: Path) -> Path | None:
    """The photo that belongs to a scan file: the same name with a picture's suffix."""
    readable = [suffix for suffix in _PHOTOS if suffix in Image.registered_extensions()]
    return next((path for suffix in readable if (path := scan.with_suffix(suffix)).is_file()), None)


def find_orphans(folder: Path) -> list[str]:
    """Names in a folder of pairs that are a scan without a photo, or a photo without a scan."""
    scans = find_scans(folder)
    alone = [path.name for path in scans if find_photo(path) is None]
    photos = {path for path in folder.rglob("*") if path.suffix.lower() in _PHOTOS}
    return alone + sorted(path.name for path in photos if path.stem not in {scan.stem for scan in scans})


def describe_units(units: list[Unit]) -> Iterator[str]:
    """One line per set."""
    for name in dict.fromkeys(unit.set for unit in units):
        persons = [unit.person for unit in units if unit.set == name]
        yield f"{name}: {len(persons)} subjects of {len(set(persons))} people"
