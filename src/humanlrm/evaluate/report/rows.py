"""Rows of an evaluation: measured cases, means over persons with bootstrap intervals, and paired differences."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from humanlrm.evaluate.plan import Corruption

_RESAMPLINGS = 1000


@dataclass(frozen=True)
class Row:
    """One case through one method.

    Attributes:
        set, subject, person, yaw_deg, condition: of the case.
        frontal_standing: an upright person who faces the camera.
        method: name.
        values: by metric name; only the metrics that apply.
        failure: reason why there are no values, or "".
    """

    set: str
    subject: str
    person: str
    yaw_deg: float
    condition: Corruption
    frontal_standing: bool
    method: str
    values: dict[str, float] = field(default_factory=dict)
    failure: str = ""

    @property
    def case(self) -> tuple[str, str, float, str]:
        """Identity of the case in two reports."""
        return self.set, self.subject, self.yaw_deg, self.condition.name

    @staticmethod
    def from_json(content: dict) -> "Row":
        """Inverse of ``asdict``.

        Raises:
            ValueError: it is something else.
        """
        try:
            return Row(**{**content, "condition": Corruption(**content["condition"])})
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a row of an evaluation report: {error}") from error


@dataclass(frozen=True)
class Interval:
    """A mean and its bootstrap 95% interval over persons; ``persons`` and ``cases`` are counts."""

    mean: float
    low: float
    high: float
    persons: int
    cases: int

    def text(self, digits: int) -> str:
        """The mean and the interval, as tables show them."""
        return f"{self.mean:.{digits}f} [{self.low:.{digits}f}, {self.high:.{digits}f}]"


def bootstrap(values: Iterable[tuple[str, float]]) -> Interval | None:
    """Mean over cases, and the percentile bootstrap over persons (1,000 resamplings, fixed seed).

    A person's cases stay together, because they depend on each other. ``None`` without values.

    Args:
        values: (person, value) of each case.
    """
    sums: dict[str, list[float]] = {}
    for person, value in values:
        sums.setdefault(person, []).append(value)
    if not sums:
        return None
    total = np.array([sum(v) for v in sums.values()])
    count = np.array([len(v) for v in sums.values()])
    draws = np.random.default_rng(0).integers(len(total), size=(_RESAMPLINGS, len(total)))
    low, high = np.quantile(total[draws].sum(1) / count[draws].sum(1), [0.025, 0.975])
    return Interval(float(total.sum() / count.sum()), float(low), float(high), len(total), int(count.sum()))


def count_failures(rows: list[Row]) -> int:
    """Cases without a mesh."""
    return sum(bool(row.failure) for row in rows)


def summarize(rows: list[Row], metric: str) -> Interval | None:
    """Mean and interval of the rows that have a metric; a failed case counts as not sound."""
    values = [(row.person, row.values[metric]) for row in rows if metric in row.values]
    if metric == "sound":
        values += [(row.person, 0.0) for row in rows if row.failure]
    return bootstrap(values)


def grouped(rows: list[Row]) -> dict[tuple[str, str, str], list[Row]]:
    """(set, group, method) -> rows of the plain protocol, in order of appearance; empty groups are left out.

    Groups: "all", and "frontal standing" people alone.
    """
    out: dict[tuple[str, str, str], list[Row]] = {}
    plain = [row for row in rows if row.condition.protocol == "plain"]
    for name in dict.fromkeys(row.set for row in plain):
        members = [row for row in plain if row.set == name]
        for group, chosen in (("all", members), ("frontal standing", [r for r in members if r.frontal_standing])):
            for row in chosen:
                out.setdefault((name, group, row.method), []).append(row)
    return out


def paired_difference(before: list[Row], after: list[Row], metric: str) -> Interval | None:
    """Interval of after - before over the cases that both have."""
    earlier = {row.case: row.values[metric] for row in before if metric in row.values}
    both = [row for row in after if metric in row.values and row.case in earlier]
    return bootstrap((row.person, row.values[metric] - earlier[row.case]) for row in both)
