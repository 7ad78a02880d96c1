"""Replay every odd input of docs/photos.md, and count.

    python -m benchmarks.photos_odd [--match WORD]

Each row of the table names a test; all are run, and the rows are printed with what became of them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import tyro

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Options:
    """Attributes:
    match: only rows that hold this word.
    """

    match: str = ""


def rows(match: str = "") -> Iterator[tuple[str, str]]:
    """Input and test of each row of the table."""
    for line in (ROOT / "docs" / "photos.md").read_text(encoding="utf-8").splitlines():
        found = re.fullmatch(r"\| (.+?) \| .* \| `(tests/\S+::\w+)` \|", line)
        if found is not None and match in line:
            yield found[1], found[2]


class Outcomes:
    """A plug-in of pytest that keeps the names of tests that passed and failed."""

    def __init__(self) -> None:
        self.passed: set[str] = set()
        self.failed: set[str] = set()

    def pytest_runtest_logreport(self, report: object) -> None:
        """Note the outcome of a phase of a test."""
        name = str(getattr(report, "nodeid", "")).partition("[")[0]
        if getattr(report, "failed", False):
            self.failed.add(name)
        elif getattr(report, "passed", False) and getattr(report, "when", "") == "call":
            self.passed.add(name)


def main(options: Options) -> None:
    import pytest

    table, outcomes = list(rows(options.match)), Outcomes()
    pytest.main(["-q", "-p", "no:xdist", "--no-header", *(str(ROOT / test) for _, test in table)], plugins=[outcomes])
    good = 0
    for given, test in table:
        as_expected = test in outcomes.passed and test not in outcomes.failed
        good += as_expected
        print(f"{'as expected' if as_expected else 'NOT AS EXPECTED':16s} {given}")
    print(f"{good} of {len(table)} odd inputs as expected")


if __name__ == "__main__":
    main(tyro.cli(Options))
