"""From rows to files: ``report.json``, a Markdown table, contact sheets; and the comparison of two reports."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from humanlrm.evaluate.corruptions import PROTOCOLS, Corruption
from humanlrm.evaluate.rows import Interval, Row, grouped, paired, summary
from humanlrm.evaluate.run import strip_path
from humanlrm.evaluate.scores import METRIC, METRICS, Metric
from humanlrm.evaluate.strips import sheet
from humanlrm.files import atomic_write, write_text

#: Columns of the table that is printed; the report holds all.
MAIN = ("chamfer_cm", "p2s_cm", "s2p_cm", "normals_abs", "psnr_front", "psnr_back", "iou_front", "iou_side")
MORE = ("visible_cm", "hidden_cm", "normals_signed", "f1", "f2", "ssim_front", "ssim_back", "feature_front",
        "feature_back", "mask_iou", "sound", "cpu_s")  # fmt: skip
#: Strips per contact sheet, and on that of the worst cases: these are read.
_PER_SHEET, _WORST = 8, 40


@dataclass(frozen=True)
class Report:
    """What was measured and how.

    Attributes:
        settings: of the plan (``Plan.as_json``).
        rows: all of them.
    """

    settings: dict
    rows: list[Row]

    @property
    def how(self) -> str:
        """The conditions that every number depends on, in one sentence."""
        shooting = self.settings["shooting"]
        return (
            f"Alignment: {self.settings['alignment']}; mask: {shooting['mask']}; landmarks: {shooting['landmarks']}; "
            f"cm at the person's true height; {shooting['points']:,} samples per surface; pictures by the canonical "
            "camera after the alignment, in the input photo's light, before grey, compared over the true silhouette's "
            "box and 5% around it; [bootstrap 95% interval over people]."
        )

    def write(self, path: Path) -> None:
        """``report.json``, under a temporary name first.

        Raises:
            ValueError: there are no rows.
        """
        if not self.rows:
            raise ValueError("nothing was measured: no cases")
        path.parent.mkdir(parents=True, exist_ok=True)
        summaries = [
            {"set": name, "group": group, "method": method, "cases": len(rows), "failed": failed(rows)}
            | {m.name: vars(found) for m in METRICS if (found := summary(rows, m.name)) is not None}
            for (name, group, method), rows in grouped(self.rows).items()
        ]
        content = {"settings": self.settings, "summary": summaries, "rows": [row.as_json() for row in self.rows]}
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


def failed(rows: list[Row]) -> int:
    """Cases without a mesh."""
    return sum(bool(row.failure) for row in rows)


def number(metric: Metric, found: Interval | None, bounds: bool = True) -> str:
    """As in the tables: the mean and its interval."""
    if found is None:
        return ""
    shown = f"{found.mean:.{metric.digits}f}"
    return f"{shown} [{found.low:.{metric.digits}f}, {found.high:.{metric.digits}f}]" if bounds else shown


def table(rows: list[Row], columns: tuple[str, ...], bounds: bool = True) -> tuple[list[str], list[list[str]]]:
    """Titles and lines: set, group, method, people, cases, failed, then the metrics of the plain protocol.

    Args:
        bounds: with the intervals.
    """
    titles = ["set", "group", "method", "people", "cases", "failed", *(METRIC[c].title for c in columns)]
    lines = []
    for (name, group, method), mine in grouped(rows).items():
        people = len({row.person for row in mine})
        numbers = [number(METRIC[c], summary(mine, c), bounds) for c in columns]
        lines.append([name, group, method, str(people), str(len(mine)), str(failed(mine)), *numbers])
    return titles, lines


@dataclass(frozen=True)
class Curve:
    """One kind of disturbance: a point per level, the clean photograph first."""

    set: str
    method: str
    protocol: str
    kind: str
    points: list[tuple[float, list[Row]]]


def curves(rows: list[Row]) -> list[Curve]:
    """All curves of the disturbing protocols, in the order of ``PROTOCOLS``."""
    by: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        by.setdefault((row.set, row.method, row.condition.name), []).append(row)
    out = []
    for name, method in dict.fromkeys((row.set, row.method) for row in rows):
        for protocol, kinds in list(PROTOCOLS.items())[1:]:
            clean = by.get((name, method, Corruption(protocol, "clean", 0.0).name))
            for kind, levels in kinds.items():
                found = [
                    (level, by.get((name, method, Corruption(protocol, kind, level).name), [])) for level in levels
                ]
                if kind != "clean" and clean and any(mine for _, mine in found):
                    out.append(Curve(name, method, protocol, kind, [(float("nan"), clean), *found]))
    return out


def curve_lines(found: list[Curve], metrics: tuple[str, ...], bounds: bool = True) -> tuple[list[str], list[list[str]]]:
    """Titles and one line per point of every curve; ``bounds``: with the intervals.

    The change of the first metric is paired with the clean photographs and always has its interval.
    """
    first = METRIC[metrics[0]]
    titles = ["set", "method", "protocol", "what", "level", "cases", "failed", f"change of {first.title}"]
    titles += [METRIC[m].title for m in metrics]
    lines = []
    for curve in found:
        for level, rows in curve.points:
            shown = "clean" if level != level else f"{level:g}"
            numbers = [number(METRIC[m], summary(rows, m), bounds) for m in metrics]
            clean = [replace(row, condition=Corruption()) for row in curve.points[0][1]]
            change = paired(clean, [replace(row, condition=Corruption()) for row in rows], first.name)
            counts = [str(len(rows)), str(failed(rows)), number(first, change)]
            lines.append([curve.set, curve.method, curve.protocol, curve.kind, shown, *counts, *numbers])
    return titles, lines


def disturbed_lines(found: list[Curve], metrics: tuple[str, ...]) -> tuple[list[str], list[list[str]]]:
    """Titles and two lines per set and method: the clean photographs, and all disturbed ones of one protocol."""
    titles = ["set", "method", "photographs", "people", "cases", "failed", *(METRIC[m].title for m in metrics)]
    lines = []
    for name, method in dict.fromkeys((curve.set, curve.method) for curve in found):
        mine = [curve for curve in found if (curve.set, curve.method) == (name, method)]
        disturbed = [row for curve in mine for _, rows in curve.points[1:] for row in rows]
        for what, rows in (("clean", mine[0].points[0][1]), ("disturbed", disturbed)):
            counts = [str(len({row.person for row in rows})), str(len(rows)), str(failed(rows))]
            lines.append([name, method, what, *counts, *(number(METRIC[m], summary(rows, m)) for m in metrics)])
    return titles, lines


def _markdown(titles: list[str], lines: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (titles, ["---"] * len(titles), *lines)] + [""]


def markdown(report: Report) -> str:
    """All tables."""
    out = ["# Evaluation", "", "Written by `humanlrm evaluate`; do not edit.", "", report.how, ""]
    if grouped(report.rows):
        out += [*_markdown(*table(report.rows, MAIN)), *_markdown(*table(report.rows, MORE))]
    found = curves(report.rows)
    for protocol in dict.fromkeys(curve.protocol for curve in found):
        mine = [curve for curve in found if curve.protocol == protocol]
        out += [f"## Protocol: {protocol}", "", *_markdown(*disturbed_lines(mine, DISTURBED_METRICS))]
        out += _markdown(*curve_lines(mine, CURVE_METRICS[protocol]))
    failures = dict.fromkeys(
        f"{r.method} on {r.set} {r.subject} ({r.condition.name}): {r.failure}" for r in report.rows if r.failure
    )
    out += ["## Failures", "", *(f"- {line}" for line in failures), ""] if failures else []
    out += ["## Columns", "", *(f"- **{m.title}**: {m.meaning}" for m in METRICS), ""]
    return "\n".join(out)


#: What is told of all disturbed photographs together, and level by level.
DISTURBED_METRICS = ("chamfer_cm", "p2s_cm", "visible_cm", "hidden_cm", "normals_visible", "normals_hidden",
                     "psnr_side", "psnr_back", "feature_side", "feature_back")  # fmt: skip
CURVE_METRICS = {
    "occlusion": ("chamfer_cm", "visible_cm", "hidden_cm", "normals_abs", "psnr_back", "sound"),
    "robustness": ("chamfer_cm", "normals_abs", "psnr_front", "iou_front", "sound"),
    "landmarks": ("limb_cm", "limb_bound_cm", "chamfer_cm", "normals_abs", "iou_side"),
}


def write_sheets(report: Report, out: Path) -> list[Path]:
    """``sheets/``: the worst, middle and best cases per set and method, and the disturbed photographs."""
    folder = out / "sheets"
    folder.mkdir(exist_ok=True)
    written = []
    for (name, group, method), rows in grouped(report.rows).items():
        shown = [r for r in rows if strip_path(out, r, method).is_file()]
        shown.sort(key=lambda row: row.values.get("chamfer_cm", float("inf")))
        middle = max(0, len(shown) // 2 - _PER_SHEET // 2)
        parts = {"all": shown}
        if len(shown) > _PER_SHEET:
            ends = shown[:_PER_SHEET], shown[middle : middle + _PER_SHEET], shown[::-1][:_WORST]
            parts = dict(zip(("best", "middle", "worst"), ends, strict=True))
        for word, mine in parts.items() if group == "all" else ():
            written += _write_sheet(folder / f"{name}-{method}-{word}.jpg", out, mine)
    for protocol in list(PROTOCOLS)[1:]:
        mine = [r for r in report.rows if r.condition.protocol == protocol and strip_path(out, r, r.method).is_file()]
        for name, method, subject in dict.fromkeys((r.set, r.method, r.subject) for r in mine):
            rows = [r for r in mine if (r.set, r.method, r.subject) == (name, method, subject)]
            written += _write_sheet(folder / f"{protocol}-{name}-{subject}-{method}.jpg", out, rows)
    return written


def _write_sheet(path: Path, out: Path, rows: list[Row]) -> list[Path]:
    if not rows:
        return []
    picture = Image.fromarray(sheet([(_caption(row), strip_path(out, row, row.method)) for row in rows]))
    with atomic_write(path) as partial:
        picture.save(partial, "JPEG", quality=85)
    return [path]


def _caption(row: Row) -> str:
    words = [row.set, row.subject, f"yaw {row.yaw_deg:.0f}", row.method]
    words += [] if row.condition.protocol == "plain" else [row.condition.name]
    numbers = [f"{METRIC[m].title} {row.values[m]:.{METRIC[m].digits}f}" for m in MAIN if m in row.values]
    return "   ".join(words + (numbers or [f"failed: {row.failure}"]))


@dataclass(frozen=True)
class Difference:
    """One metric of two reports on the cases both have: b - a."""

    set: str
    method: str
    metric: Metric
    found: Interval

    @property
    def verdict(self) -> str:
        """ "better" or "worse" if the interval leaves zero out."""
        if self.found.low <= 0 <= self.found.high:
            return "no difference shown"
        return "better" if (self.found.mean < 0) == (self.metric.better == "low") else "worse"


def compare_reports(before: Report, after: Report) -> list[Difference]:
    """Paired differences per set and method (two reports of one method each may name it differently).

    Raises:
        ValueError: they were measured in different ways, or share no case.
    """
    for key in ("alignment", "shooting"):
        if before.settings[key] != after.settings[key]:
            raise ValueError(
                f"the reports differ in {key} ({before.settings[key]} and {after.settings[key]}): measure one again"
            )
    methods = [list(dict.fromkeys(row.method for row in report.rows)) for report in (before, after)]
    pairs = [(name, name) for name in methods[1] if name in methods[0]]
    if not pairs and len(methods[0]) == len(methods[1]) == 1:
        pairs = [(methods[0][0], methods[1][0])]
    out = []
    for name in dict.fromkeys(row.set for row in after.rows):
        for a, b in pairs:
            first = [row for row in before.rows if row.set == name and row.method == a]
            second = [row for row in after.rows if row.set == name and row.method == b]
            for metric in METRICS:
                if (found := paired(first, second, metric.name)) is not None:
                    out.append(Difference(name, a if a == b else f"{a} -> {b}", metric, found))
    if not out:
        raise ValueError("the reports share no case; compare evaluations of the same sets and methods")
    return out
