"""The report of an evaluation: its file, all that is written beside it, and the comparison of two reports."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from humanlrm.evaluate.report.page import report_page
from humanlrm.evaluate.report.rows import Interval, Row, count_failures, grouped, paired_difference, summarize
from humanlrm.evaluate.report.strips import write_sheets
from humanlrm.evaluate.report.tables import Table, case_name, describe, format_interval, markdown, quick_means
from humanlrm.evaluate.scores import METRICS, Metric
from humanlrm.files import write_text


@dataclass(frozen=True)
class Report:
    """Measured cases and the settings that decided the numbers.

    Attributes:
        settings: of the plan (``run.settings_of``).
        rows: all cases of all methods.
    """

    settings: dict
    rows: list[Row]

    @property
    def conditions(self) -> str:
        """The conditions that every number depends on, in one sentence."""
        return describe(self.settings)

    def of_method(self, method: str) -> list[Row]:
        """Rows of one method."""
        return [row for row in self.rows if row.method == method]

    def write(self, path: Path) -> None:
        """Write ``report.json``.

        Raises:
            ValueError: there are no rows.
        """
        if not self.rows:
            raise ValueError("nothing was measured: no cases")
        summaries = [
            {"set": name, "group": group, "method": method, "cases": len(rows), "failed": count_failures(rows)}
            | {m.name: vars(mean) for m in METRICS if (mean := summarize(rows, m.name)) is not None}
            for (name, group, method), rows in grouped(self.rows).items()
        ]
        content = {"settings": self.settings, "summary": summaries, "rows": [asdict(row) for row in self.rows]}
        write_text(path, json.dumps(content, indent=1))

    def write_all(self, out: Path) -> None:
        """Write ``report.json``, ``report.md``, ``index.html`` and ``sheets/`` into the folder of an evaluation.

        Raises:
            ValueError: there are no rows.
        """
        self.write(out / "report.json")
        write_text(out / "report.md", markdown(self.rows, self.conditions))
        write_sheets(self.rows, out)
        write_text(out / "index.html", report_page(self.rows, self.conditions, out))

    def write_quick(self, path: Path) -> None:
        """Write the distances of the quick measure of one method, and their means.

        Raises:
            ValueError: nothing was measured.
        """
        means = quick_means(self.rows)
        names = {"p2s": "p2s_cm", "s2p": "s2p_cm", "normal_consistency": "normals_abs"}
        measured = [row for row in self.rows if not row.failure]
        content = {
            "method": self.rows[0].method,
            "alignment": self.settings["alignment"],
            "rows": [
                {"name": case_name(row), "distance": {key: row.values[name] for key, name in names.items()}}
                for row in measured
            ],
            "failures": [f"{case_name(row)}: {row.failure}" for row in self.rows if row.failure],
            "mean": {key: means[name] for key, name in (names | {"chamfer": "chamfer_cm"}).items()},
        }
        write_text(path, json.dumps(content, indent=1))

    @staticmethod
    def read(path: Path) -> "Report":
        """Inverse of :meth:`write`; ``path`` may be the folder of an evaluation.

        Raises:
            ValueError: the file is missing or is no report.
        """
        try:
            content = json.loads((path / "report.json" if path.is_dir() else path).read_text(encoding="utf-8"))
            return Report(content["settings"], [Row.from_json(row) for row in content["rows"]])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is no evaluation report ({error}); give the report.json of an --out") from error


@dataclass(frozen=True)
class Difference:
    """One metric on the cases of two reports: second minus first."""

    set: str
    method: str
    metric: Metric
    interval: Interval

    @property
    def verdict(self) -> str:
        """ "better" or "worse" if the interval leaves zero out."""
        if self.interval.low <= 0 <= self.interval.high:
            return "no difference shown"
        return "better" if (self.interval.mean < 0) == (self.metric.better == "low") else "worse"


def compare_reports(before: Report, after: Report) -> list[Difference]:
    """Paired differences per set and method; two reports of one method each may name it differently.

    Raises:
        ValueError: they were measured in different ways, or share no case.
    """
    for key in ("alignment", "shooting", "quick"):
        if before.settings.get(key) != after.settings.get(key):
            raise ValueError(
                f"the reports differ in {key} ({before.settings.get(key)} and {after.settings.get(key)}): "
                "measure one again"
            )
    methods = [list(dict.fromkeys(row.method for row in report.rows)) for report in (before, after)]
    pairs = [(name, name) for name in methods[1] if name in methods[0]]
    if not pairs and len(methods[0]) == len(methods[1]) == 1:
        pairs = [(methods[0][0], methods[1][0])]
    out = []
    for name in dict.fromkeys(row.set for row in after.rows):
        for a, b in pairs:
            first, second = (
                [row for row in rows if row.set == name] for rows in (before.of_method(a), after.of_method(b))
            )
            for metric in METRICS:
                if (interval := paired_difference(first, second, metric.name)) is not None:
                    out.append(Difference(name, a if a == b else f"{a} -> {b}", metric, interval))
    if not out:
        raise ValueError("the reports share no case; compare evaluations of the same sets and methods")
    return out


def difference_table(differences: list[Difference], title: str) -> Table:
    """One line per difference."""
    columns = ["set", "method", "metric", "people", "cases", "difference [95%]", "verdict"]
    lines = []
    for d in differences:
        counts = [str(d.interval.persons), str(d.interval.cases)]
        lines.append([d.set, d.method, d.metric.title, *counts, format_interval(d.metric, d.interval), d.verdict])
    return Table(title, columns, lines, 3)
