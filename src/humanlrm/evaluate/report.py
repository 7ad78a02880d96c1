"""From cases to a table: rows, means, and a JSON file."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_args

from rich.console import Console
from rich.progress import track

from humanlrm.evaluate.baselines import BASELINES
from humanlrm.evaluate.geometry import Alignment, SurfaceDistance
from humanlrm.evaluate.protocol import Row, lrm_method, mean, measure, procedural_cases
from humanlrm.matting import PoseDetector
from humanlrm.model.pretrained import SHIPPED, from_pretrained


@dataclass(frozen=True)
class Report:
    """Measured rows and how they were measured."""

    method: str
    alignment: Alignment
    rows: list[Row]
    failures: list[str]

    @property
    def mean(self) -> SurfaceDistance:
        return mean(self.rows)

    @property
    def title(self) -> str:
        return f"{self.method}: {len(self.rows)} held-out people, cm at 1.70 m, alignment: {self.alignment}"

    columns = ("", "Chamfer cm", "P2S cm", "S2P cm", "NC |cos|")

    @property
    def lines(self) -> list[tuple[str, ...]]:
        """The three worst cases, then the mean."""
        worst = sorted(self.rows, key=lambda row: -row.distance.chamfer)[:3]
        named = [(row.name, row.distance) for row in worst] + [("mean of all", self.mean)]
        lines = [
            (name, f"{d.chamfer:.2f}", f"{d.p2s:.2f}", f"{d.s2p:.2f}", f"{d.normal_consistency:.3f}")
            for name, d in named
        ]
        return lines + [(f"failed: {failure}", "", "", "", "") for failure in self.failures]

    def write(self, path: Path) -> None:
        """All rows as JSON, written under a temporary name first."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".partial")
        content = {**asdict(self), "mean": {**asdict(self.mean), "chamfer": self.mean.chamfer}}
        partial.write_text(json.dumps(content, indent=1))
        partial.replace(path)


def evaluate_procedural(
    count: int, alignment: str, resolution: int, weights: Path | None, baseline: str | None, console: Console
) -> Report:
    """Measures the model, or a floor, on ``count`` held-out procedural people.

    Raises:
        ValueError: an unknown alignment or baseline, or no people.
    """
    if alignment not in get_args(Alignment):
        raise ValueError(f"unknown alignment {alignment!r}; there are {', '.join(get_args(Alignment))}")
    if baseline is not None and baseline not in BASELINES:
        raise ValueError(f"unknown baseline {baseline!r}; there are {', '.join(BASELINES)}")
    method = BASELINES[baseline] if baseline else lrm_method(from_pretrained(weights or SHIPPED), resolution)
    cases = procedural_cases(count, PoseDetector())
    rows, failures = [], []
    for case in track(cases, "evaluate", total=count, console=console):
        try:
            rows.append(measure(method, case, alignment))  # pyright: ignore[reportArgumentType]
        except ValueError as error:
            failures.append(f"{case.name}: {error}")
    return Report(baseline or "humanlrm", alignment, rows, failures)  # pyright: ignore[reportArgumentType]
