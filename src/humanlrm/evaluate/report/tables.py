"""Tables of an evaluation, as text cells: means, corrupted photographs, curves; and all of them as Markdown."""

from dataclasses import dataclass, replace

import numpy as np

from humanlrm.evaluate.plan import PROTOCOLS, Corruption
from humanlrm.evaluate.report.rows import Interval, Row, count_failures, grouped, paired_difference, summarize
from humanlrm.evaluate.scores import METRIC, METRICS, Metric

#: Columns of the table that is printed; the report holds all.
MAIN = ("chamfer_cm", "p2s_cm", "s2p_cm", "normals_abs", "psnr_front", "psnr_back", "iou_front", "iou_side")
MORE = ("visible_cm", "hidden_cm", "normals_signed", "f1", "f2", "ssim_front", "ssim_back", "feature_front",
        "feature_back", "mask_iou", "sound", "cpu_s")  # fmt: skip
#: Columns of all corrupted photographs together, and of each level.
CORRUPTED_METRICS = ("chamfer_cm", "p2s_cm", "visible_cm", "hidden_cm", "normals_visible", "normals_hidden",
                     "psnr_side", "psnr_back", "feature_side", "feature_back")  # fmt: skip
CURVE_METRICS = {
    "occlusion": ("chamfer_cm", "visible_cm", "hidden_cm", "normals_abs", "psnr_back", "sound"),
    "robustness": ("chamfer_cm", "normals_abs", "psnr_front", "iou_front", "sound"),
    "landmarks": ("limb_cm", "limb_bound_cm", "chamfer_cm", "normals_abs", "iou_side"),
}
_QUICK_METRICS = MAIN[:4]
_QUICK_WORST = 3


@dataclass(frozen=True)
class Table:
    """Cells of a table; the first ``words`` columns hold words, the others numbers."""

    title: str
    columns: list[str]
    lines: list[list[str]]
    words: int


@dataclass(frozen=True)
class Curve:
    """One kind of corruption: (label of the level, rows) per point, the clean photograph first."""

    set: str
    method: str
    protocol: str
    kind: str
    points: list[tuple[str, list[Row]]]


def describe(settings: dict) -> str:
    """The conditions that the numbers of an evaluation depend on, in one sentence."""
    shooting = settings.get("shooting", {})
    if settings.get("quick"):
        how = "quick measure: one hand-held photo of each person; mask: exact; landmarks: detected"
        scale = "cm at a height of 1.70 m; 100,000 samples per surface"
    else:
        how = f"mask: {shooting['mask']}; landmarks: {shooting['landmarks']}"
        scale = (
            f"cm at the person's true height; {shooting['points']:,} samples per surface; pictures by the canonical "
            "camera after the alignment, in the input photo's light, before grey, compared over the true silhouette's "
            "box and 5% around it"
        )
    return f"Alignment: {settings['alignment']}; {how}; {scale}; [bootstrap 95% interval over people]."


def format_interval(metric: Metric, interval: Interval | None, bounds: bool = True) -> str:
    """The mean and its interval, "" without values."""
    if interval is None:
        return ""
    return interval.text(metric.digits) if bounds else f"{interval.mean:.{metric.digits}f}"


def _numbers(rows: list[Row], metrics: tuple[str, ...], bounds: bool = True) -> list[str]:
    return [format_interval(METRIC[name], summarize(rows, name), bounds) for name in metrics]


def _counts(rows: list[Row]) -> list[str]:
    """People, cases and failures."""
    return [str(len({row.person for row in rows})), str(len(rows)), str(count_failures(rows))]


def _columns(names: str, metrics: tuple[str, ...]) -> list[str]:
    return [*names.split(", "), *(METRIC[name].title for name in metrics)]


def mean_table(rows: list[Row], metrics: tuple[str, ...], bounds: bool = True) -> Table:
    """Means of the plain protocol per set, group and method, of the metrics that any row has.

    Args:
        bounds: with the intervals.
    """
    metrics = tuple(name for name in metrics if any(name in row.values for row in rows)) or metrics
    lines = [
        [*names, *_counts(members), *_numbers(members, metrics, bounds)] for names, members in grouped(rows).items()
    ]
    return Table("", _columns("set, group, method, people, cases, failed", metrics), lines, 3)


def quick_table(rows: list[Row], method: str, alignment: str) -> Table:
    """The three worst cases of the quick measure, the mean, and the failures."""
    measured = [row for row in rows if not row.failure]
    worst = sorted(measured, key=lambda row: -row.values["chamfer_cm"])[:_QUICK_WORST]
    values = [(case_name(row), row.values) for row in worst] + [("mean of all", quick_means(rows))]
    lines = [[name, *(f"{v[m]:.{METRIC[m].digits}f}" for m in _QUICK_METRICS)] for name, v in values]
    lines += [[f"failed: {case_name(row)}: {row.failure}", "", "", "", ""] for row in rows if row.failure]
    title = f"{method}: {len(measured)} held-out people, cm at 1.70 m, alignment: {alignment}"
    return Table(title, ["", "Chamfer cm", "P2S cm", "S2P cm", "NC |cos|"], lines, 1)


def quick_means(rows: list[Row]) -> dict[str, float]:
    """Means of the quick measure over its measured cases.

    Raises:
        ValueError: no case was measured.
    """
    values = [[row.values[name] for name in _QUICK_METRICS[1:]] for row in rows if not row.failure]
    if not values:
        raise ValueError("nothing was measured: no cases")
    p2s, s2p, normals = np.mean(values, axis=0)
    return dict(zip(_QUICK_METRICS, map(float, ((p2s + s2p) / 2, p2s, s2p, normals)), strict=True))


def case_name(row: Row) -> str:
    """Name of a case of the quick measure: the person and the camera's yaw."""
    return f"{row.set.removesuffix('-val')}-{row.subject}@{row.yaw_deg:.0f}"


def curves(rows: list[Row]) -> dict[str, list[Curve]]:
    """Curves per corrupting protocol, in the order of ``PROTOCOLS``.

    Plain photographs stand in for the clean ones of a protocol that has none.
    """
    by: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        by.setdefault((row.set, row.method, row.condition.name), []).append(row)
    out: dict[str, list[Curve]] = {}
    for protocol, kinds in list(PROTOCOLS.items())[1:]:
        for name, method in dict.fromkeys((row.set, row.method) for row in rows):
            clean = by.get((name, method, Corruption(protocol).name)) or by.get((name, method, Corruption().name))
            for kind, levels in kinds.items():
                members = [by.get((name, method, Corruption(protocol, kind, level).name), []) for level in levels]
                if kind != "clean" and clean and any(members):
                    points = [("clean", clean), *zip((f"{level:g}" for level in levels), members, strict=True)]
                    out.setdefault(protocol, []).append(Curve(name, method, protocol, kind, points))
    return out


def curve_table(kinds: list[Curve], bounds: bool = True) -> Table:
    """One line per point of every curve of one protocol; ``bounds``: with the intervals.

    The change of the first metric is paired with the clean photographs and always has its interval.
    """
    protocol = kinds[0].protocol
    metrics = CURVE_METRICS[protocol]
    first, lines = METRIC[metrics[0]], []
    for curve in kinds:
        clean = [replace(row, condition=Corruption()) for row in curve.points[0][1]]
        for label, rows in curve.points:
            change = paired_difference(clean, [replace(row, condition=Corruption()) for row in rows], first.name)
            names = [curve.set, curve.method, protocol, curve.kind, label]
            lines.append([*names, *_counts(rows)[1:], format_interval(first, change), *_numbers(rows, metrics, bounds)])
    columns = _columns(f"set, method, protocol, what, level, cases, failed, change of {first.title}", metrics)
    return Table(f"Protocol: {protocol}", columns, lines, 5)


def corrupted_table(kinds: list[Curve], metrics: tuple[str, ...] = CORRUPTED_METRICS) -> Table:
    """Two lines per set and method: the clean photographs, and all corrupted ones of one protocol."""
    lines = []
    for names in dict.fromkeys((curve.set, curve.method) for curve in kinds):
        members = [curve for curve in kinds if (curve.set, curve.method) == names]
        corrupted = [row for curve in members for _, rows in curve.points[1:] for row in rows]
        for kind, rows in (("clean", members[0].points[0][1]), ("corrupted", corrupted)):
            lines.append([*names, kind, *_counts(rows), *_numbers(rows, metrics)])
    return Table("", _columns("set, method, photographs, people, cases, failed", metrics), lines, 3)


def markdown(rows: list[Row], conditions: str) -> str:
    """All tables of an evaluation."""
    out = ["# Evaluation", "", "Written by `humanlrm evaluate`; do not edit.", "", conditions, ""]
    for metrics in (MAIN, MORE) if grouped(rows) else ():
        out += markdown_table(mean_table(rows, metrics))
    for protocol, members in curves(rows).items():
        out += [f"## Protocol: {protocol}", "", *markdown_table(corrupted_table(members))]
        out += markdown_table(curve_table(members))
    failures = dict.fromkeys(
        f"- {r.method} on {r.set} {r.subject} ({r.condition.name}): {r.failure}" for r in rows if r.failure
    )
    out += ["## Failures", "", *failures, ""] if failures else []
    return "\n".join([*out, "## Columns", "", *(f"- **{m.title}**: {m.meaning}" for m in METRICS), ""])


def markdown_table(table: Table) -> list[str]:
    """Lines of a table, and an empty one."""
    rows = (table.columns, ["---"] * len(table.columns), *table.lines)
    return [f"| {' | '.join(cells)} |" for cells in rows] + [""]
