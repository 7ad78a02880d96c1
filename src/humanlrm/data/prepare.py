"""A data set on disk becomes training shards: the job behind ``humanlrm prepare``."""

import json
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from jaxtyping import Float

from humanlrm.body.height import standing_height
from humanlrm.body.landmarks import COUNT, INDEX
from humanlrm.data.capture import Capture, encode_capture, encode_inputs, prepare_inputs
from humanlrm.data.importers.adapter import Item
from humanlrm.data.importers.thuman import HELD_OUT
from humanlrm.data.job import PrepareJob
from humanlrm.data.records import list_entries, write_records
from humanlrm.data.render.shoot import render_subject
from humanlrm.data.scan import Scan
from humanlrm.data.shards import encode_subject
from humanlrm.data.triangulate import capture_landmarks, scan_landmarks
from humanlrm.files import read_lines, write_text
from humanlrm.photo.blazepose import PoseDetector
from humanlrm.workers import WorkerKilledError, map_tasks

#: Items per shard.
SHARD = 20
#: Least cosine between the vertical and the trunk of an upright person; the summary names so many others.
_UPRIGHT_COS, _MOST_NAMED = 0.35, 5
#: Heights in metres outside of which a unit is probably wrong.
_PLAUSIBLE_M = (1.0, 2.3)
#: Named lists of held-out ids for ``--split``.
SPLITS: dict[str, frozenset[str]] = {"thuman2": HELD_OUT}


@dataclass(frozen=True)
class PreparedItem:
    """One item in a shard.

    Attributes:
        unit: source of its unit.
        landmarks: number of known ones.
        upright: True if its trunk is.
        height_m: as if it stood upright; NaN where that is unknown.
    """

    id: str
    unit: str
    landmarks: int
    upright: bool
    height_m: float


@dataclass(frozen=True)
class PrepareOutcome:
    """Result of one shard. ``skipped``: one line for each unusable item, with its id and the reason."""

    shard: Path
    done: list[PreparedItem]
    skipped: list[str]


@dataclass(frozen=True)
class PreparePlan:
    """Items of a job on disk.

    Attributes:
        found: number of all items.
        chosen: number after split, part, every and limit.
        todo: the chosen ones that no shard holds yet, by shard.
        skipped: one line for each item whose id repeats another one's.
    """

    found: int
    chosen: int
    todo: list[tuple[Path, list[Item]]]
    skipped: list[str]

    @property
    def existing(self) -> int:
        return self.chosen - len(self.skipped) - sum(len(items) for _, items in self.todo)


def plan(job: PrepareJob) -> PreparePlan:
    """Find and choose items. Those in finished shards are not prepared again, those that were skipped are tried again.

    Raises:
        ValueError: unknown data set, no folder, nothing found, a split that names nobody, or a shard in ``out`` that
            cannot be read.
    """
    adapter = job.adapter
    if not job.source.is_dir():
        raise ValueError(f"source {job.source} is not a folder; give the folder that holds the data set")
    items = adapter.find(job.source)
    if not items:
        raise ValueError(f"nothing found in {job.source}; {adapter.title} looks like {adapter.layout}")
    chosen = choose(items, job)
    unique: dict[str, Item] = {}
    skipped = []
    for item in chosen:
        first = unique.setdefault(record_key(item.id), item)
        if first is not item:
            skipped.append(f"{item.id}: {item.path} has the same id as {first.path}; rename one")
    numbered = re.compile(rf"{re.escape(job.name)}-(\d+)\.tar")
    shards = {path: int(m[1]) for path in sorted(job.out.glob("*.tar")) if (m := numbered.fullmatch(path.name))}
    existing = {entry.key for shard in shards for entry in list_entries(shard)}
    rest = [item for key, item in unique.items() if key not in existing]
    start = max(shards.values(), default=-1) + 1
    groups = [rest[k : k + SHARD] for k in range(0, len(rest), SHARD)]
    todo = [(job.out / f"{job.name}-{start + k:05d}.tar", group) for k, group in enumerate(groups)]
    return PreparePlan(len(items), len(chosen), todo, skipped)


def choose(items: list[Item], job: PrepareJob) -> list[Item]:
    """Choose the items of the job's part: by the split list, or else by the data set's own folders.

    Raises:
        ValueError: the list names nobody, or the test part is asked for and nothing defines it.
    """
    test = [item.part == "test" for item in items]
    if job.split is not None:
        held_out = SPLITS.get(job.split) or frozenset(read_lines(Path(job.split)))
        test = [item.id in held_out or item.group in held_out for item in items]
        if not any(test):
            raise ValueError(f"split {job.split} names none of the {len(items)} items, such as {items[0].id}")
    elif job.part == "test" and all(item.part is None for item in items):
        raise ValueError(f"{job.adapter.title} has no test part of its own; give the held-out ids with --split")
    allowed = {"train": (False,), "test": (True,), "all": (False, True)}[job.part]
    chosen = [item for item, held in zip(items, test, strict=True) if held in allowed and item.frame % job.every == 0]
    return chosen[: job.limit]


def record_key(id: str) -> str:
    """An id as the name of files in a tar: webdataset ends the key at the first dot."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", id)


def prepare_item(item: Item, job: PrepareJob, detector: PoseDetector) -> tuple[dict[str, str | bytes], PreparedItem]:
    """Make one item a record. Landmarks that the data set lacks are triangulated.

    Raises:
        ValueError: the item's files cannot be used.
    """
    person: Scan | Capture = job.adapter.load(item, job.options)
    if person.landmarks is None:
        find = scan_landmarks if isinstance(person, Scan) else capture_landmarks
        person = replace(person, landmarks=find(person, detector))  # pyright: ignore[reportArgumentType]
    assert person.landmarks is not None
    landmarks, key = person.landmarks, record_key(item.id)
    known = int(np.isfinite(landmarks).all(1).sum())
    unit = str(person.tags.get("unit", "m"))
    height_m = float("nan") if unit.startswith("unknown") else _height_m(person, landmarks)
    done = PreparedItem(item.id, unit, known, _is_upright(landmarks), height_m)
    if isinstance(person, Capture):
        inputs = prepare_inputs(person, detector, job.settings.image_px, job.settings.depth_px)
        return encode_capture(person, key) | encode_inputs(inputs), done
    seed = zlib.crc32(f"{job.name}/{item.id}".encode())
    return encode_subject(render_subject(person, detector, job.settings, seed), key), done


def _is_upright(landmarks: Float[np.ndarray, "J 3"]) -> bool:
    """True if the trunk goes up (+Y) more than sideways, or is unknown."""
    trunk = landmarks[INDEX["neck"]] - (landmarks[INDEX["left_hip"]] + landmarks[INDEX["right_hip"]]) / 2
    return not trunk[1] < _UPRIGHT_COS * np.linalg.norm(trunk)


def _height_m(person: Scan | Capture, landmarks: Float[np.ndarray, "J 3"]) -> float:
    """Height as if the person stood upright; of a scan without all landmarks its longest side."""
    if np.isfinite(landmarks).all():
        return standing_height(landmarks)
    return float(np.ptp(person.vertices, axis=0).max()) if isinstance(person, Scan) else float("nan")


class ShardPreparer:
    """One process's share of a job: prepares the items of a shard."""

    def __init__(self, job: PrepareJob) -> None:
        torch.set_num_threads(1)
        self.job, self.detector = job, PoseDetector(threads=1)

    def __call__(self, task: tuple[Path, list[Item]]) -> PrepareOutcome:
        """Write one shard. Unusable items are reported and left out."""
        path, items = task
        outcome = PrepareOutcome(path, [], [])
        if write_records(path, self._records(items, outcome)) == 0:
            path.unlink()
        return outcome

    def _records(self, items: list[Item], outcome: PrepareOutcome) -> Iterator[dict[str, str | bytes]]:
        for item in items:
            try:
                record, done = prepare_item(item, self.job, self.detector)
            except Exception as error:
                # Readers raise nearly anything on strange files, and one file must not end a run of days.
                kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
                outcome.skipped.append(f"{item.id}: {kind}{' '.join(str(error).split())}")
                continue
            outcome.done.append(done)
            yield record


def run(
    job: PrepareJob,
    todo: list[tuple[Path, list[Item]]],
    workers: int = 1,
    report: Callable[[PrepareOutcome], None] | None = None,
) -> list[PrepareOutcome]:
    """Prepare shards on several processes (one: in this one); call ``report`` after each.

    Raises:
        ValueError: the folder holds shards that were made with other options; or a process was killed: finished shards
            stay and the next run continues after them.
    """
    if workers < 1:
        raise ValueError(f"workers must be positive, got {workers}")
    _check_settings(job)
    outcomes: list[PrepareOutcome] = []
    try:
        for _, outcome in map_tasks(ShardPreparer, (job,), todo, workers):
            outcomes.append(outcome)
            if report is not None:
                report(outcome)
    except WorkerKilledError as error:
        shard, items = cast(tuple[Path, list[Item]], error.task)
        raise ValueError(
            f"a process was killed while it prepared {shard.name} or a shard after it ({items[0].id} and on), "
            "perhaps for want of memory; run again with fewer workers: finished shards are kept"
        ) from error
    return outcomes


def _check_settings(job: PrepareJob) -> None:
    """Record a job's settings beside its shards; refuse a job whose settings differ from the recorded ones."""
    path = job.out / f"prepared-{job.name}.json"
    settings = json.dumps(asdict(job.options) | asdict(job.settings), indent=1)
    if not path.exists():
        write_text(path, settings + "\n")
        return
    recorded = json.loads(path.read_text(encoding="utf-8"))
    for name, value in json.loads(settings).items():
        if recorded.get(name) != value:
            raise ValueError(
                f"{job.out} holds shards with {name} {recorded.get(name)}, not {value}; give another --out"
            )


def summarize(job: PrepareJob, planned: PreparePlan, outcomes: list[PrepareOutcome]) -> list[tuple[str, str]]:
    """Rows of the final table."""
    done = [item for outcome in outcomes for item in outcome.done]
    skipped = planned.skipped + [line for outcome in outcomes for line in outcome.skipped]
    rows = [
        ("data set", f"{job.adapter.title} ({job.options.licence or job.adapter.licence})"),
        ("found", f"{planned.found}"),
        (f"chosen ({job.part})", f"{planned.chosen}"),
        ("already in shards", f"{planned.existing}"),
        ("written", f"{len(done)}"),
        ("skipped", f"{len(skipped)}"),
    ]
    rows += [(f"unit: {unit}", f"{count}") for unit, count in Counter(item.unit for item in done).most_common()]
    if done:
        rows.append(("landmarks per person", f"{np.mean([item.landmarks for item in done]):.1f} of {COUNT}"))
    lying = [item.id for item in done if not item.upright]
    if lying:
        rows.append(
            ("lie, or stand on their head", f"{_named(lying)}: if they should not, give --up and another --out")
        )
    low, high = _PLAUSIBLE_M
    odd = [f"{item.id} ({item.height_m:.2f} m)" for item in done if item.height_m < low or item.height_m > high]
    if odd:
        outside = f"under {low} m or over {high} m"
        rows.append((outside, f"{_named(odd)}: if not, give --unit and another --out"))
    return rows


def _named(people: list[str]) -> str:
    """The first of some people, and how many there are beside them."""
    more = f" and {len(people) - _MOST_NAMED} more" if len(people) > _MOST_NAMED else ""
    return ", ".join(people[:_MOST_NAMED]) + more
