"""The page of the comparison: tables of all systems per set, and paired differences to ours."""

from humanlrm.evaluate.report.report import Difference
from humanlrm.evaluate.report.rows import Row, count_failures, paired_difference, summarize
from humanlrm.evaluate.report.tables import Table, format_interval, markdown_table
from humanlrm.evaluate.scores import METRIC
from humanlrm.rivals.systems import System

#: Columns of the tables.
GEOMETRY = ("chamfer_cm", "p2s_cm", "s2p_cm", "normals_abs", "f1", "f2", "sound")
PICTURES = ("psnr_front", "psnr_side", "psnr_back", "feature_front", "feature_side", "feature_back")
OCCLUDED = ("chamfer_cm", "visible_cm", "hidden_cm", "normals_abs", "psnr_back", "feature_back")
DIFFERENCES = ("chamfer_cm", "normals_abs", "psnr_front", "psnr_back", "feature_front", "feature_back")
#: Name of the marks between which the command writes; the rest of the page stays as it is.
MARKS = "measured by humanlrm rivals table"
#: Of fewer people an interval says nothing.
_LEAST_PEOPLE = 5
#: Verdicts of ``evaluate`` on "the rival minus ours", from our side.
_VERDICTS = {"better": "ours loses", "worse": "ours wins"}

Measured = list[tuple[System, list[Row]]]


def page(measured: Measured, conditions: str, sheet: str | None = None) -> str:
    """Markdown of all tables.

    Args:
        measured: systems and their rows, ours first.
        conditions: that all numbers depend on, in one sentence.
        sheet: path of the qualitative sheet, relative to the page; ``None``: there is none.

    Raises:
        ValueError: nothing was measured.
    """
    if not measured or not any(rows for _, rows in measured):
        raise ValueError("nothing was measured: no cases")
    lines = ["## Measured here", "", "Written by `humanlrm rivals table`; do not edit.", "", conditions, ""]
    lines += ["Rivals are small ones of ours, each after the method that its row names: what was reduced stands at the",
              "head of its file in `rivals/`. They are trained on the same people by the same loop. Oracles see more",
              "than the photo. An empty cell: not trained, without networks, or not known.", ""]  # fmt: skip
    lines += _markdown("Cost", cost_table(measured))
    for name in dict.fromkeys(row.set for _, rows in measured for row in rows):
        of_set = [(system, [row for row in rows if row.set == name]) for system, rows in measured]
        plain = [(system, _of_protocol(rows, "plain")) for system, rows in of_set]
        lines += _markdown(f"{name}: geometry", mean_table(plain, GEOMETRY))
        lines += _markdown(f"{name}: pictures", mean_table(plain, PICTURES))
        lines += _markdown(f"{name}: paired differences, the system minus ours", difference_table(plain))
        occluded = [(system, _occluded(rows)) for system, rows in of_set]
        if any(rows for _, rows in occluded):
            lines += _markdown(f"{name}: occluded photos", mean_table(occluded, OCCLUDED))
    if sheet is not None:
        lines += [f"![Held-out people, a column per system]({sheet})", ""]
    return "\n".join(lines)


def cost_table(measured: Measured) -> Table:
    """Parameters, training (core-hours, photos) and core-seconds per photo of each system."""
    lines = []
    for system, rows in measured:
        millions = "" if system.parameters is None else f"{system.parameters / 1e6:.2f}"
        hours = "" if system.core_hours is None else f"{system.core_hours:.2f}"
        seen = "" if system.samples is None else f"{system.samples:,}"
        seconds = format_interval(METRIC["cpu_s"], summarize(_of_protocol(rows, "plain"), "cpu_s"))
        lines.append([system.title, millions, hours, seen, seconds])
    columns = ["system", "parameters, millions", "training core-hours", "photos seen", "core-seconds per photo"]
    return Table("", columns, lines, 1)


def mean_table(measured: Measured, metrics: tuple[str, ...]) -> Table:
    """Means and their intervals."""
    lines = []
    for system, rows in measured:
        counts = [str(len({row.person for row in rows})), str(len(rows)), str(count_failures(rows))]
        cells = [format_interval(METRIC[name], summarize(rows, name)) for name in metrics]
        lines.append([system.title, *counts, *cells])
    return Table("", ["system", "people", "photos", "failed", *(METRIC[name].title for name in metrics)], lines, 1)


def difference_table(measured: Measured) -> Table:
    """Differences of each system to the first one on the photos that both have, and what they mean for ours."""
    (_, ours), *others = measured
    lines = []
    for system, rows in others:
        cells, verdicts = [], []
        for name in DIFFERENCES:
            interval = paired_difference(ours, rows, name)
            cells.append(format_interval(METRIC[name], interval))
            if interval is not None and interval.persons >= _LEAST_PEOPLE:
                verdict = Difference("", system.name, METRIC[name], interval).verdict
                verdicts.append((_VERDICTS.get(verdict, "open"), METRIC[name].title))
        lines.append([system.title, *cells, _summary(verdicts)])
    return Table("", ["system", *(METRIC[name].title for name in DIFFERENCES), "verdict"], lines, 1)


def _summary(verdicts: list[tuple[str, str]]) -> str:
    """The metrics in which ours loses by name, and how many it wins."""
    if not verdicts:
        return "too few photos"
    lost = [title for verdict, title in verdicts if verdict == "ours loses"]
    won = sum(verdict == "ours wins" for verdict, _ in verdicts)
    text = f"ours wins {won} of {len(verdicts)}"
    return f"{text}, **loses {', '.join(lost)}**" if lost else text


def _of_protocol(rows: list[Row], protocol: str) -> list[Row]:
    return [row for row in rows if row.condition.protocol == protocol]


def _occluded(rows: list[Row]) -> list[Row]:
    """Photos of the occlusion protocol but its clean one."""
    return [row for row in _of_protocol(rows, "occlusion") if row.condition.kind != "clean"]


def _markdown(heading: str, table: Table) -> list[str]:
    return [f"### {heading}", "", *markdown_table(table)]
