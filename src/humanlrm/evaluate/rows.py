"""The rows of an evaluation: measured cases, means over persons with bootstrap intervals, and paired differences."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field

import numpy as np
from jaxtyping import Float

from humanlrm.evaluate.corruptions import Corruption

_RESAMPLINGS = 1000


@dataclass(frozen=True)
class Row:
    """One case through one method.

    Attributes:
        set, subject, person, yaw_deg, condition: the case.
        frontal_standing: an upright person who faces the camera.
        method: name.
        values: by metric name; only those that apply.
        failure: why there are no values, or "".
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
        """What two reports must share to be compared."""
        return self.set, self.subject, self.yaw_deg, self.condition.name

    def as_json(self) -> dict:
        return asdict(self)

    @staticmethod
    def from_json(content: dict) -> "Row":
        """Inverse of :meth:`as_json`.

        Raises:
            ValueError: it is something else.
        """
        try:
            return Row(**{**content, "condition": Corruption(**content["condition"])})
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a row of an evaluation report: {error}") from error


@dataclass(frozen=True)
class Interval:
    """A mean and its bootstrap 95% interval over persons; ``persons`` and ``cases`` are how many went in."""

    mean: float
    low: float
    high: float
    persons: int
    cases: int


def interval(values: Iterable[tuple[str, float]]) -> Interval | None:
    """Mean over cases and the percentile bootstrap over persons (1,000 resamplings, fixed seed).

    A person's cases stay together, because they are not independent. ``None`` without values.

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
    low, high = np.quantile(_resampled(total, count), [0.025, 0.975])
    return Interval(float(total.sum() / count.sum()), float(low), float(high), len(total), int(count.sum()))


def _resampled(total: Float[np.ndarray, "N"], count: np.ndarray) -> Float[np.ndarray, "R"]:
    draws = np.random.default_rng(0).integers(len(total), size=(_RESAMPLINGS, len(total)))
    return total[draws].sum(1) / count[draws].sum(1)


def summary(rows: list[Row], metric: str) -> Interval | None:
    """Of the rows that have this metric; a failed case counts as not sound."""
    values = [(row.person, row.values[metric]) for row in rows if metric in row.values]
    if metric == "sound":
        values += [(row.person, 0.0) for row in rows if row.failure]
    return interval(values)


#: Groups that tables show apart: name and which rows.
GROUPS: tuple[tuple[str, Callable[[Row], bool]], ...] = (
    ("all", lambda row: True),
    ("frontal standing", lambda row: row.frontal_standing),
)


def grouped(rows: list[Row]) -> dict[tuple[str, str, str], list[Row]]:
    """(set, group, method) -> rows of the plain protocol, in order of appearance; empty groups are left out."""
    out: dict[tuple[str, str, str], list[Row]] = {}
    plain = [row for row in rows if row.condition.protocol == "plain"]
    for name in dict.fromkeys(row.set for row in plain):
        for group, belongs in GROUPS:
            for row in plain:
                if row.set == name and belongs(row):
                    out.setdefault((name, group, row.method), []).append(row)
    return out


def paired(before: list[Row], after: list[Row], metric: str) -> Interval | None:
    """after - before over the cases that both have."""
    known = {row.case: row for row in before if metric in row.values}
    both = [(row, known[row.case]) for row in after if metric in row.values and row.case in known]
    return interval((a.person, a.values[metric] - b.values[metric]) for a, b in both)
