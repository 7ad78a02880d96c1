"""What weights have been through: one entry per training run, kept beside the weights and carried into the next run."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from humanlrm.files import write_text

_FILE = "history.json"
_DATA = "data.json"


@dataclass(frozen=True)
class Stage:
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


def read_history(folder: Path) -> list[Stage]:
    """Of weights or of a run, oldest first; empty if nothing is known.

    Raises:
        ValueError: the file is damaged.
    """
    path = folder / _FILE
    if not path.exists():
        return []
    try:
        return [Stage(**fields) for fields in json.loads(path.read_text())]
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is no history of weights: {error}") from error


def noted_data(run: Path) -> list[Path]:
    """Folders of shards that a run has seen, as it noted them.

    Raises:
        ValueError: the note is damaged.
    """
    path = run / _DATA
    try:
        return [Path(name) for name in json.loads(path.read_text())] if path.exists() else []
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is no list of folders: {error}") from error


def note_data(run: Path, folders: Iterable[Path]) -> None:
    """Notes which folders of shards a run sees from now on, beside those that it has seen."""
    names = dict.fromkeys([*map(str, noted_data(run)), *(str(folder.resolve()) for folder in folders)])
    _write(run / _DATA, list(names))


def write_history(folder: Path, stages: list[Stage]) -> None:
    _write(folder / _FILE, [asdict(stage) for stage in stages])


def _write(path: Path, content: list[Any]) -> None:
    write_text(path, json.dumps(content, indent=1) + "\n")
