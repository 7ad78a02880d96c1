"""History of weights: one entry per training run, kept beside the weights and carried into the next run."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from humanlrm.files import write_text

_FILE = "history.json"
_NOTES = "run.json"


@dataclass(frozen=True)
class TrainingStage:
    """One training run.

    Attributes:
        part: what was trained (``TrainConfig.part``).
        sources: subjects per data source.
        licences: of the data.
        samples: seen by this run.
        core_hours: hours times processes.
        seed: of the run.
        commit: of the code that exported it, or "unknown".
    """

    part: str
    sources: dict[str, int]
    licences: list[str]
    samples: int
    core_hours: float
    seed: int
    commit: str


def read_history(folder: Path) -> list[TrainingStage]:
    """History of weights or of a run, oldest first; empty if nothing is known.

    Raises:
        ValueError: the file is damaged.
    """
    path = folder / _FILE
    if not path.exists():
        return []
    try:
        return [TrainingStage(**fields) for fields in json.loads(path.read_text(encoding="utf-8"))]
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is no history of weights: {error}") from error


@dataclass(frozen=True)
class Notes:
    """Notes that a run writes about itself.

    Attributes:
        part: what it trains (``TrainConfig.part``).
        seed: with which it began.
        data: folders of shards that it has seen.
    """

    part: str
    seed: int
    data: list[str]


def read_notes(run: Path) -> Notes | None:
    """Notes of a run; ``None`` if it has none.

    Raises:
        ValueError: they are damaged.
    """
    path = run / _NOTES
    try:
        return Notes(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} holds no notes of a run: {error}") from error


def note(run: Path, part: str, seed: int, folders: Iterable[Path]) -> None:
    """Notes what a run does, or that it goes on, perhaps with other folders of shards."""
    before = read_notes(run) or Notes(part, seed, [])
    names = dict.fromkeys([*before.data, *(str(folder.resolve()) for folder in folders)])
    _write(run / _NOTES, asdict(replace(before, data=list(names))))


def check_goes_on(run: Path, part: str) -> None:
    """Before a run goes on.

    Raises:
        ValueError: it trained something else until now.
    """
    before = read_notes(run)
    if before is not None and before.part != part:
        raise ValueError(
            f"{run} trains the part {before.part!r}; for {part!r} give another --run, which starts with --initial {run}"
        )


def write_history(folder: Path, stages: list[TrainingStage]) -> None:
    _write(folder / _FILE, [asdict(stage) for stage in stages])


def _write(path: Path, content: Any) -> None:
    write_text(path, json.dumps(content, indent=1) + "\n")
