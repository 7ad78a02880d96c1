"""A folder of photos to a folder of people: resumable, and no photo stops the others."""

import csv
import hashlib
import io
import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from humanlrm.files import atomic_write, read_json, write_text
from humanlrm.settings import PhotoOptions
from humanlrm.workers import WorkerKilledError, map_tasks

#: Endings of files that are taken for photos.
PHOTO_SUFFIXES = frozenset(
    [".avif", ".bmp", ".gif", ".heic", ".heif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"]
)
_RECORDS = ".records"
#: Height of a strip of the contact sheet, pixels, and strips of one sheet.
_STRIP_PX, _SHEET_STRIPS = 160, 60
_COLUMNS: tuple[str, ...] = (
    "photo",
    "state",
    "reason",
    "people",
    "files",
    "seconds",
    "confidence",
    "people_seen",
    "warnings",
)


@dataclass(frozen=True)
class BatchPlan:
    """Photos and what is made of them.

    Attributes:
        photos: folder that is searched, with its subfolders.
        out: folder of the results; a photo's files have its name and subfolder.
        options: what is made.
        weights: folder of weights; ``None``: the shipped ones.
        device: cpu, cuda or mps.
        threads: of each worker.
    """

    photos: Path
    out: Path
    options: PhotoOptions
    weights: Path | None = None
    device: str = "cpu"
    threads: int = 1

    def absolute(self) -> "BatchPlan":
        """The plan for processes elsewhere, with absolute folders."""
        weights = None if self.weights is None else self.weights.absolute()
        return BatchPlan(self.photos.absolute(), self.out.absolute(), self.options, weights, self.device, self.threads)


@dataclass(frozen=True)
class PhotoRecord:
    """Outcome of a photo.

    Attributes:
        photo: its path within the folder of photos.
        state: done or failed.
        reason: why it failed.
        files: written files, paths within the folder of results.
        people: reports of the people and samples.
        seconds: time that it took.
    """

    photo: str
    state: str
    reason: str = ""
    files: tuple[str, ...] = ()
    people: tuple[dict[str, Any], ...] = ()
    seconds: float = 0.0

    @classmethod
    def from_plain(cls, values: dict[str, Any]) -> "PhotoRecord":
        sequences: dict[str, Any] = {"files": tuple(values["files"]), "people": tuple(values["people"])}
        return cls(**values | sequences)


class PhotoTask:
    """Reconstruction of the plan's photos, one row at a time; also an actor of Ray Data."""

    def __init__(self, plan: BatchPlan) -> None:
        import torch

        from humanlrm.reconstruct import SHIPPED, Reconstructor

        torch.set_num_threads(plan.threads)
        self._plan = plan
        self._reconstructor = Reconstructor(plan.weights or SHIPPED, plan.device, plan.threads)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Write a photo's files and its record. Errors become the record's reason."""
        start, plan = time.perf_counter(), self._plan
        try:
            files, people = self._reconstruct(row)
        except (ValueError, OSError, MemoryError) as error:
            record = PhotoRecord(row["photo"], "failed", str(error) or type(error).__name__)
        else:
            record = PhotoRecord(row["photo"], "done", "", tuple(files), tuple(people))
        values = asdict(record) | {"seconds": time.perf_counter() - start}
        write_text(_record_path(plan.out, row["key"]), json.dumps(values))
        return {"record": json.dumps(values)}

    def _reconstruct(self, row: dict[str, Any]) -> tuple[list[str], list[dict[str, Any]]]:
        from humanlrm.results import reconstruct_photo, write_results

        plan = self._plan
        people = reconstruct_photo(self._reconstructor, plan.photos / row["photo"], plan.options)
        target = plan.out / row["target"]
        files = write_results(people, target.parent, target.name, plan.options)
        return [path.relative_to(plan.out).as_posix() for path in files], [person.report() for person in people]


#: Maps rows on a cluster, see ``cluster.map_on_ray``.
Cluster = Callable[[list[dict[str, Any]], type, tuple[Any, ...]], Iterable[dict[str, Any]]]


def find_photos(folder: Path) -> list[Path]:
    """Photos of a folder and its subfolders, by their endings; hidden ones are left out.

    Raises:
        ValueError: no such folder, or no photo in it.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder; give a folder of photos")
    files = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.suffix.lower() in PHOTO_SUFFIXES]
    photos = [path for path in files if not any(part.startswith(".") for part in path.parts)]
    if not photos:
        raise ValueError(f"{folder} holds no photo; expected files such as .jpg, .png or .webp")
    return photos


def run_batch(
    plan: BatchPlan,
    workers: int = 1,
    cluster: Cluster | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[PhotoRecord]:
    """Reconstruct the photos that are not done yet, and write the summaries of all.

    A photo is done if its content, the options and the weights are those of an earlier run, and its files exist.
    Photos that failed are tried again.

    Args:
        workers: processes.
        cluster: or where the rows are mapped instead.
        progress: called with photos that are done, and all.

    Returns:
        a record per photo, in the order of their paths.

    Raises:
        ValueError: no photos, unusable weights, or an unknown format.
    """
    from humanlrm.results import check_formats

    check_formats(plan.options)
    plan = plan.absolute()
    rows = _rows(plan)
    records = {row["photo"]: record for row in rows if (record := _earlier(plan.out, row["key"])) is not None}
    missing = [row for row in rows if row["photo"] not in records]
    report = progress or (lambda *_: None)
    report(len(records), len(rows))
    if missing:
        if cluster is None:
            mapped = map_in_processes(missing, plan, workers)
        else:
            mapped = (PhotoRecord.from_plain(json.loads(o["record"])) for o in cluster(missing, PhotoTask, (plan,)))
        for record in mapped:
            records[record.photo] = record
            report(len(records), len(rows))
    ordered = [records[row["photo"]] for row in rows]
    write_summaries(plan.out, ordered)
    return ordered


def map_in_processes(rows: list[dict[str, Any]], plan: BatchPlan, workers: int) -> Iterator[PhotoRecord]:
    """Records in the order in which they are done.

    A photo whose process dies is tried once more, alone, so that it takes no other photo with it.
    """
    todo, suspects = list(rows), []
    while todo:
        try:
            for row, answer in map_tasks(PhotoTask, (plan,), tuple(todo), workers, isolated=True):
                todo.remove(row)
                yield PhotoRecord.from_plain(json.loads(answer["record"]))
        except WorkerKilledError:  # tasks begin in their order: the processes had the first ones that are left
            suspects += todo[:workers]
            del todo[:workers]
    for row in suspects:
        try:
            ((_, answer),) = map_tasks(PhotoTask, (plan,), (row,), 1, isolated=True)
            yield PhotoRecord.from_plain(json.loads(answer["record"]))
        except WorkerKilledError:
            yield PhotoRecord(row["photo"], "failed", "its process ended, twice; there may be too little memory")


def _rows(plan: BatchPlan) -> list[dict[str, Any]]:
    """A row per photo: its path, the stem of its files, and the key of its record."""
    from humanlrm.reconstruct import SHIPPED

    photos = find_photos(plan.photos)
    weights = (plan.weights or SHIPPED) / "model.safetensors"
    if not weights.is_file():
        raise ValueError(f"{weights} is missing; give a folder of exported weights")
    common = json.dumps(plan.options.to_plain(), sort_keys=True).encode() + _digest(weights)
    stems = [path.with_suffix("").as_posix().lower() for path in photos]
    rows = []
    for path, stem in zip(photos, stems, strict=True):
        # Photos that differ in their endings only keep these.
        target = path.with_suffix("") if stems.count(stem) == 1 else path
        name = f"{path.as_posix()}\n{target.as_posix()}\n".encode()
        key = hashlib.sha256(name + common + _digest(plan.photos / path)).hexdigest()
        rows.append({"photo": path.as_posix(), "target": target.as_posix(), "key": key})
    return rows


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _record_path(out: Path, key: str) -> Path:
    return out / _RECORDS / f"{key}.json"


def _earlier(out: Path, key: str) -> PhotoRecord | None:
    """The record of an earlier run if the photo is done and its files exist."""
    path = _record_path(out, key)
    if not path.is_file():
        return None
    record = PhotoRecord.from_plain(read_json(path))
    complete = record.state == "done" and all((out / name).is_file() for name in record.files)
    return record if complete else None


# ---- summaries


def write_summaries(out: Path, records: list[PhotoRecord]) -> None:
    """Write ``summary.csv``, ``summary.jsonl`` and the contact sheets."""
    write_text(out / "summary.jsonl", "".join(json.dumps(asdict(record)) + "\n" for record in records))
    table = io.StringIO()
    writer = csv.DictWriter(table, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    for record in records:
        writer.writerow(_summary_row(record))
    write_text(out / "summary.csv", table.getvalue())
    strips = [out / name for record in records for name in record.files if name.endswith(".preview.png")]
    for number, start in enumerate(range(0, len(strips), _SHEET_STRIPS), start=1):
        _write_sheet(out / f"contact-sheet-{number}.jpg", strips[start : start + _SHEET_STRIPS])


def _summary_row(record: PhotoRecord) -> dict[str, Any]:
    first = record.people[0] if record.people else {}
    return {
        "photo": record.photo,
        "state": record.state,
        "reason": record.reason,
        "people": len(record.people),
        "files": " ".join(record.files),
        "seconds": f"{record.seconds:.2f}",
        "confidence": first.get("confidence"),
        "people_seen": first.get("people_seen"),
        "warnings": " ".join(warning["code"] for warning in first.get("warnings", ())),
    }


def _write_sheet(path: Path, previews: list[Path]) -> None:
    """Previews below each other."""
    strips = []
    for preview in previews:
        with Image.open(preview) as image:
            width = round(image.width * _STRIP_PX / image.height)
            strips.append(np.asarray(image.convert("RGB").resize((width, _STRIP_PX))))
    widest = max(strip.shape[1] for strip in strips)
    padded = [np.pad(s, ((0, 0), (0, widest - s.shape[1]), (0, 0)), constant_values=255) for s in strips]
    with atomic_write(path) as partial:
        Image.fromarray(np.concatenate(padded)).save(partial, "JPEG", quality=85)
