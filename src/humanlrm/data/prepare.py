"""A data set on disk to training shards: the job behind ``humanlrm prepare``."""

import json
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from humanlrm.body.landmarks import INDEX
from humanlrm.data.capture import encode_capture
from humanlrm.data.capture_inputs import capture_inputs, encode_inputs
from humanlrm.data.importers import ADAPTERS
from humanlrm.data.importers.io.adapter import Adapter, Item, Options
from humanlrm.data.importers.thuman import HELD_OUT
from humanlrm.data.records import entries_of, write_records
from humanlrm.data.render.shoot import RenderSettings, render_subject
from humanlrm.data.scan import Scan
from humanlrm.data.shards import encode
from humanlrm.data.triangulate import capture_landmarks, scan_landmarks
from humanlrm.files import read_lines, write_text
from humanlrm.photo.blazepose import PoseDetector
from humanlrm.photo.calibrated import Capture
from humanlrm.workers import processes

#: Items per shard.
SHARD = 20
#: Least cosine of a trunk and the vertical of somebody who does not lie; so many who do are named.
_LEANS, _NAMED = 0.35, 5
#: What shards were made with, beside them.
_SETTINGS = "prepared-{name}.json"
PARTS = ("train", "test", "all")
#: Lists of held-out ids that ``--split`` knows by name.
SPLITS: dict[str, frozenset[str]] = {"thuman2": HELD_OUT}


@dataclass(frozen=True)
class PrepareJob:
    """What to prepare.

    Attributes:
        name: of the adapter, a key of ``ADAPTERS``.
        source: the data set's folder.
        out: folder for the shards.
        options: axes, units and sizes.
        split: file of held-out ids (of items or groups), one per line, or a key of ``SPLITS``.
        part: train (everything that is not held out), test (what is held out) or all.
        every: of the frames of a sequence, every how many.
        limit: at most so many items.
        settings: how scans are rendered.
    """

    name: str
    source: Path
    out: Path
    options: Options = field(default_factory=Options)
    split: str | None = None
    part: str = "train"
    every: int = 1
    limit: int | None = None
    settings: RenderSettings = field(default_factory=RenderSettings)

    def __post_init__(self) -> None:
        if self.name not in ADAPTERS:
            raise ValueError(f"unknown data set {self.name!r}; there are {', '.join(ADAPTERS)}")
        if not self.source.is_dir():
            raise ValueError(f"source {self.source} is not a folder; give the folder that holds the data set")
        if self.part not in PARTS:
            raise ValueError(f"part must be one of {', '.join(PARTS)}, got {self.part!r}")
        if self.every < 1 or (self.limit is not None and self.limit < 1):
            raise ValueError(f"every and limit must be positive, got {self.every} and {self.limit}")

    @property
    def adapter(self) -> Adapter:
        return ADAPTERS[self.name]


@dataclass(frozen=True)
class Done:
    """One item in a shard: its id, how its unit is known, how many landmarks were found, and whether head and feet are
    where those of a person are who does not lie."""

    id: str
    unit: str
    landmarks: int
    upright: bool


@dataclass(frozen=True)
class PrepareOutcome:
    """Of one shard. ``skipped``: one line for each item that could not be used, with its id and the reason."""

    shard: Path
    done: list[Done]
    skipped: list[str]


@dataclass(frozen=True)
class PreparePlan:
    """What a job finds on disk.

    Attributes:
        found: all items.
        chosen: after split, part, every and limit.
        todo: the chosen ones that no shard holds yet, by shard.
        skipped: one line for each item whose id another one has too.
    """

    found: int
    chosen: int
    todo: list[tuple[Path, list[Item]]]
    skipped: list[str]

    @property
    def existing(self) -> int:
        return self.chosen - len(self.skipped) - sum(len(items) for _, items in self.todo)


def plan(job: PrepareJob) -> PreparePlan:
    """Finds and chooses items; those in finished shards are not done again, those that were skipped are tried again.

    Raises:
        ValueError: nothing found, a split that names nobody, or a shard in ``out`` that cannot be read.
    """
    found = job.adapter.find(job.source)
    if not found:
        raise ValueError(f"nothing found in {job.source}; {job.adapter.title} looks like {job.adapter.layout}")
    chosen = choose(found, job)
    unique: dict[str, Item] = {}
    skipped = []
    for item in chosen:
        first = unique.setdefault(key_of(item.id), item)
        if first is not item:
            skipped.append(f"{item.id}: {item.path} has the same id as {first.path}; rename one")
    numbered = re.compile(rf"{re.escape(job.name)}-(\d+)\.tar")
    shards = {path: int(m[1]) for path in sorted(job.out.glob("*.tar")) if (m := numbered.fullmatch(path.name))}
    there = {entry.key for shard in shards for entry in entries_of(shard)}
    rest = [item for key, item in unique.items() if key not in there]
    start = max(shards.values(), default=-1) + 1
    groups = [rest[k : k + SHARD] for k in range(0, len(rest), SHARD)]
    todo = [(job.out / f"{job.name}-{start + k:05d}.tar", group) for k, group in enumerate(groups)]
    return PreparePlan(len(found), len(chosen), todo, skipped)


def _check_settings(job: PrepareJob) -> None:
    """Before anything is written: shards that are there keep what they were made with, so new ones must be alike.

    Raises:
        ValueError: the folder holds shards that were made with other options; names the first.
    """
    path = job.out / _SETTINGS.format(name=job.name)
    wanted = asdict(job.options) | asdict(job.settings)
    if path.exists():
        there = json.loads(path.read_text(encoding="utf-8"))
        for name, value in json.loads(json.dumps(wanted)).items():
            if there.get(name) != value:
                raise ValueError(
                    f"{job.out} holds shards with {name} {there.get(name)}, not {value}; give another --out"
                )
        return
    write_text(path, json.dumps(wanted, indent=1) + "\n")


def choose(found: list[Item], job: PrepareJob) -> list[Item]:
    """The items of the wanted part: by the split list, or else by the data set's own folders.

    Raises:
        ValueError: the list names nobody, or the test part is wanted and nothing says what it is.
    """
    test = [item.part == "test" for item in found]
    if job.split is not None:
        named = SPLITS.get(job.split) or frozenset(read_lines(Path(job.split)))
        test = [item.id in named or item.group in named for item in found]
        if not any(test):
            raise ValueError(f"split {job.split} names none of the {len(found)} items, such as {found[0].id}")
    elif job.part == "test" and all(item.part is None for item in found):
        raise ValueError(f"{job.adapter.title} has no test part of its own; give the held-out ids with --split")
    wanted = {"train": (False,), "test": (True,), "all": (False, True)}[job.part]
    chosen = [item for item, held in zip(found, test, strict=True) if held in wanted and item.frame % job.every == 0]
    return chosen[: job.limit]


def key_of(id: str) -> str:
    """An id as the name of files in a tar: webdataset ends the key at the first dot."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", id)


def prepare_item(item: Item, job: PrepareJob, detector: PoseDetector) -> tuple[dict[str, str | bytes], Done]:
    """One item as a record. Landmarks that the data set does not have are triangulated.

    Raises:
        ValueError: the item's files cannot be used.
    """
    found: Scan | Capture = job.adapter.load(item, job.options)
    if found.landmarks is None:
        find = scan_landmarks if isinstance(found, Scan) else capture_landmarks
        found = replace(found, landmarks=find(found, detector))  # pyright: ignore[reportArgumentType]
    assert found.landmarks is not None
    marks = found.landmarks
    done = Done(item.id, str(found.tags.get("unit", "m")), int(np.isfinite(marks).all(1).sum()), _upright(marks))
    key = key_of(item.id)
    if isinstance(found, Capture):
        inputs = capture_inputs(found, detector, job.settings.image_px, job.settings.depth_px)
        return encode_capture(found, key) | encode_inputs(inputs), done
    seed = zlib.crc32(f"{job.name}/{item.id}".encode())
    return encode(render_subject(found, detector, job.settings, seed), key), done


def _upright(landmarks: Float[np.ndarray, "J 3"]) -> bool:
    """Whether the way from the hips to the neck goes up more than sideways, as far as it is known (+Y up)."""
    trunk = landmarks[INDEX["neck"]] - (landmarks[INDEX["left_hip"]] + landmarks[INDEX["right_hip"]]) / 2
    return not trunk[1] < _LEANS * np.linalg.norm(trunk)


def prepare_shard(task: tuple[Path, list[Item]], job: PrepareJob, detector: PoseDetector) -> PrepareOutcome:
    """One shard. Whatever is wrong with an item is reported and the next one follows."""
    path, items = task
    outcome = PrepareOutcome(path, [], [])

    def records() -> Iterator[dict[str, str | bytes]]:
        for item in items:
            try:
                record, done = prepare_item(item, job, detector)
            except Exception as error:
                # Readers raise nearly anything on files of strangers, and one file must not end a run of days.
                kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
                outcome.skipped.append(f"{item.id}: {kind}{' '.join(str(error).split())}")
                continue
            outcome.done.append(done)
            yield record

    if write_records(path, records()) == 0:
        path.unlink()
    return outcome


_worker: tuple[PrepareJob, PoseDetector] | None = None


def _start(job: PrepareJob) -> None:
    global _worker
    torch.set_num_threads(1)
    _worker = job, PoseDetector(threads=1)


def _shard_in_worker(task: tuple[Path, list[Item]]) -> PrepareOutcome:
    assert _worker is not None
    return prepare_shard(task, *_worker)


def run(
    job: PrepareJob,
    todo: list[tuple[Path, list[Item]]],
    workers: int = 1,
    report: Callable[[PrepareOutcome], None] | None = None,
) -> list[PrepareOutcome]:
    """Prepares shards on several processes (one: in this one); ``report`` is called after each.

    Raises:
        ValueError: the folder holds shards that were made with other options; or a process was killed: finished shards
            stay and the next run goes on after them.
    """
    if workers < 1:
        raise ValueError(f"workers must be positive, got {workers}")
    _check_settings(job)
    outcomes: list[PrepareOutcome] = []
    for outcome in _here(job, todo) if workers == 1 else _elsewhere(job, todo, workers):
        outcomes.append(outcome)
        if report is not None:
            report(outcome)
    return outcomes


_own_detector = lru_cache(maxsize=1)(PoseDetector)


def _here(job: PrepareJob, todo: list[tuple[Path, list[Item]]]) -> Iterator[PrepareOutcome]:
    for task in todo:
        yield prepare_shard(task, job, _own_detector(threads=1))


def _elsewhere(job: PrepareJob, todo: list[tuple[Path, list[Item]]], workers: int) -> Iterator[PrepareOutcome]:
    with processes(min(workers, max(1, len(todo))), _start, (job,)) as pool:
        tasks = {pool.submit(_shard_in_worker, task): task for task in todo}
        for future in as_completed(tasks):
            try:
                yield future.result()
            except BrokenProcessPool as error:
                shard, items = tasks[future]
                raise ValueError(
                    f"a process was killed while it prepared {shard.name} or a shard after it ({items[0].id} and on), "
                    "perhaps for want of memory; run again with fewer workers: finished shards are kept"
                ) from error


def summary(job: PrepareJob, planned: PreparePlan, outcomes: list[PrepareOutcome]) -> list[tuple[str, str]]:
    """Rows of the final table."""
    done = [one for outcome in outcomes for one in outcome.done]
    skipped = planned.skipped + [line for outcome in outcomes for line in outcome.skipped]
    lying = [one.id for one in done if not one.upright]
    rows = [
        ("data set", f"{job.adapter.title} ({job.options.licence or job.adapter.licence})"),
        ("found", f"{planned.found}"),
        (f"chosen ({job.part})", f"{planned.chosen}"),
        ("already in shards", f"{planned.existing}"),
        ("written", f"{len(done)}"),
        ("skipped", f"{len(skipped)}"),
    ]
    rows += [(f"unit: {unit}", f"{count}") for unit, count in Counter(one.unit for one in done).most_common()]
    if done:
        rows.append(("landmarks per person", f"{np.mean([one.landmarks for one in done]):.1f} of 19"))
    if lying:
        named = ", ".join(lying[:_NAMED]) + (f" and {len(lying) - _NAMED} more" if len(lying) > _NAMED else "")
        rows.append(("lie, or stand on their head", f"{named}: if they should not, give --up, and another --out"))
    return rows
