"""What weights have been through: one entry per training run, kept beside the weights and carried into the next run."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

_FILE = "history.json"


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


def write_history(folder: Path, stages: list[Stage]) -> None:
    """Written under a temporary name first."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{_FILE}.partial"
    partial.write_text(json.dumps([asdict(stage) for stage in stages], indent=1) + "\n")
    partial.replace(folder / _FILE)
