"""The evaluation as one HTML file: tables, curves, sortable rows per subject with pictures; nothing is loaded."""

import base64
from html import escape
from pathlib import Path

from humanlrm.evaluate.report.rows import Row, summarize
from humanlrm.evaluate.report.strips import TILES, strip_path, thumbnail
from humanlrm.evaluate.report.tables import CURVE_METRICS, MAIN, MORE, Curve, Table, curves, mean_table
from humanlrm.evaluate.scores import METRIC, METRICS

_THUMB_PX = 64
_STYLE, _SORT = (Path(__file__).with_name(name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))


def page(title: str, parts: list[str]) -> str:
    """A whole HTML document."""
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
    body = "\n".join([f"<h1>{escape(title)}</h1>", *parts, f"<script>{_SORT}</script>"])
    return f"<!doctype html><html lang=en><head>{head}</head><body>\n{body}\n</body></html>\n"


def image_tag(data: bytes, alt: str) -> str:
    """An embedded WebP."""
    return f'<img loading=lazy alt="{escape(alt)}" src="data:image/webp;base64,{base64.b64encode(data).decode()}">'


def html_table(table: Table, attributes: str = "") -> str:
    """A sortable table; cells are HTML if they begin with "<"."""

    def cell(tag: str, column: int, content: str) -> str:
        is_html, is_word = content.startswith("<"), column < table.words
        value = "" if tag == "th" or is_word or is_html else content.split(" ")[0]
        extra = (' class="text"' if is_word else "") + (f' data-v="{escape(value)}"' if value else "")
        return f"<{tag}{extra}>{content if is_html else escape(content)}</{tag}>"

    def row(tag: str, cells: list[str]) -> str:
        return "<tr>" + "".join(cell(tag, column, content) for column, content in enumerate(cells)) + "</tr>"

    body = "\n".join(row("td", line) for line in table.lines)
    opening = f'<div class="wide"><table {attributes}class="sort"><thead>{row("th", table.columns)}</thead>'
    return f"{opening}<tbody>{body}</tbody></table></div>"


def report_page(rows: list[Row], conditions: str, out: Path) -> str:
    """The page of an evaluation; its strips are in the folder ``out``."""
    parts = [f"<p>{escape(conditions)}</p>"]
    means = [mean_table(rows, metrics) for metrics in (MAIN, MORE)]
    if means[0].lines:
        parts += ["<h2>Means</h2>", *map(html_table, means)]
    for protocol, members in curves(rows).items():
        parts += [f"<h2>Protocol: {escape(protocol)}</h2>", _charts(members)]
    parts += [
        "<h2>Subjects</h2>",
        '<p><input id="find" placeholder="find"> Click a column to sort.</p>',
        html_table(_subjects(rows, out), 'id="subjects" '),
    ]
    meanings = "".join(f"<li><b>{escape(m.title)}</b>: {escape(m.meaning)}</li>" for m in METRICS)
    return page("humanlrm evaluation", [*parts, f"<h2>Columns</h2><ul>{meanings}</ul>"])


def _subjects(rows: list[Row], out: Path) -> Table:
    """One line per subject and method: its plain views averaged, with the pictures of its first view."""
    by: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        by.setdefault((row.set, row.subject, row.method), []).append(row)
    metrics = (*MAIN, "visible_cm", "hidden_cm", "f1", "mask_iou", "sound", "cpu_s")
    lines = []
    for (name, subject, method), members in by.items():
        plain = [row for row in members if row.condition.protocol == "plain"] or members
        picture = next((path for row in plain if (path := strip_path(out, row, method)).is_file()), None)
        cell = image_tag(thumbnail(picture, _THUMB_PX), f"{subject} {method}") if picture else ""
        failure = next((row.failure for row in plain if row.failure), "")
        cell += f'<span class="failed">{escape(failure)}</span>' if failure else ""
        means = [summarize(plain, metric) for metric in metrics]
        numbers = [f"{m.mean:.{METRIC[c].digits}f}" if m else "" for c, m in zip(metrics, means, strict=True)]
        lines.append([name, subject, method, cell, *numbers])
    columns = ["set", "subject", "method", " | ".join(TILES), *(METRIC[metric].title for metric in metrics)]
    return Table("", columns, lines, 4)


# ---- curves

_WIDTH_PX, _HEIGHT_PX, _LEFT_PX, _TOP_PX, _BOTTOM_PX = 300, 170, 40, 18, 34
_COLORS = ("#1f6fb4", "#d1632a", "#3a8f4d", "#8757a8", "#777777")


def _charts(lines: list[Curve]) -> str:
    """One small chart per set and kind for the protocol's first metrics; a line with its interval per method."""
    figures = []
    for metric in CURVE_METRICS[lines[0].protocol][:4]:
        for name, kind in dict.fromkeys((c.set, c.kind) for c in lines):
            drawn = chart([c for c in lines if (c.set, c.kind) == (name, kind)], metric)
            if drawn:
                figures.append(f"<figure>{drawn}<figcaption>{escape(name)}: {escape(kind)}</figcaption></figure>")
    return f'<div class="curves">{"".join(figures)}</div>'


def chart(lines: list[Curve], metric: str) -> str:
    """An SVG of one metric over the evenly spaced levels of one kind; "" if nothing has the metric."""
    methods = [(curve.method, [summarize(rows, metric) for _, rows in curve.points]) for curve in lines]
    values = [v for _, points in methods for p in points if p for v in (p.low, p.high)]
    if not values:
        return ""
    spread = max(values) - min(values)
    margin = 0.05 * spread if spread > 1e-9 else 0.5
    low, high = min(values) - margin, max(values) + margin
    labels = [label for label, _ in lines[0].points]
    xs = [_LEFT_PX + (i + 0.5) * (_WIDTH_PX - _LEFT_PX) / len(labels) for i in range(len(labels))]

    def y(value: float) -> float:
        return _TOP_PX + (high - value) / (high - low) * (_HEIGHT_PX - _BOTTOM_PX - _TOP_PX)

    parts = [f'<text x="4" y="12">{escape(METRIC[metric].title)}</text>']
    for v in (low + 0.1 * (high - low), (low + high) / 2, high - 0.1 * (high - low)):
        parts.append(f'<path d="M{_LEFT_PX} {y(v):.1f}H{_WIDTH_PX}" stroke="#ddd"/>')
        parts.append(f'<text x="2" y="{y(v) + 4:.1f}">{v:.3g}</text>')
    for x, label in zip(xs, labels, strict=True):
        parts.append(f'<text x="{x:.0f}" y="{_HEIGHT_PX - 20}" text-anchor="middle">{label}</text>')
    for index, (method, points) in enumerate(methods):
        color = _COLORS[index % len(_COLORS)]
        drawn = [(x, point) for x, point in zip(xs, points, strict=True) if point]
        path = "L".join(f"{x:.1f} {y(point.mean):.1f}" for x, point in drawn)
        parts.append(f'<path d="M{path}" fill="none" stroke="{color}" stroke-width="2"/>')
        parts += [f'<path d="M{x:.1f} {y(p.low):.1f}V{y(p.high):.1f}" stroke="{color}"/>' for x, p in drawn]
        parts.append(f'<text x="{_LEFT_PX + 62 * index}" y="{_HEIGHT_PX - 4}" fill="{color}">{escape(method)}</text>')
    return (
        f'<svg width="{_WIDTH_PX}" height="{_HEIGHT_PX}" font-size="11" font-family="system-ui">{"".join(parts)}</svg>'
    )
