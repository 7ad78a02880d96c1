"""The evaluation as one HTML file: tables, curves, sortable rows per subject with pictures; nothing is loaded."""

import base64
from html import escape
from pathlib import Path

from humanlrm.evaluate.report import CURVE_METRICS, MAIN, MORE, Curve, Report, curves, table
from humanlrm.evaluate.rows import Row, summary
from humanlrm.evaluate.run import strip_path
from humanlrm.evaluate.scores import METRIC, METRICS
from humanlrm.evaluate.strips import TILES, thumbnail

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


def html_table(titles: list[str], lines: list[list[str]], text: int, kind: str = "sort") -> str:
    """A table whose first ``text`` columns hold words; cells are HTML if they begin with "<"."""

    def cell(tag: str, place: int, content: str) -> str:
        shown = content if content.startswith("<") else escape(content)
        value = content.split(" ")[0] if tag == "td" and place >= text and not content.startswith("<") else ""
        extra = (' class="text"' if place < text else "") + (f' data-v="{escape(value)}"' if value else "")
        return f"<{tag}{extra}>{shown}</{tag}>"

    head = "".join(cell("th", i, t) for i, t in enumerate(titles))
    body = "\n".join("<tr>" + "".join(cell("td", i, c) for i, c in enumerate(line)) + "</tr>" for line in lines)
    return f'<div class="wide"><table class="{kind}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def report_page(report: Report, out: Path) -> str:
    """The page of an evaluation; ``out`` is where its strips are."""
    parts = [f"<p>{escape(report.how)}</p>"]
    titles, lines = table(report.rows, MAIN)
    if lines:
        parts += ["<h2>Means</h2>", html_table(titles, lines, 3), html_table(*table(report.rows, MORE), 3)]
    found = curves(report.rows)
    for protocol in dict.fromkeys(curve.protocol for curve in found):
        parts += [f"<h2>Protocol: {escape(protocol)}</h2>", _charts([c for c in found if c.protocol == protocol])]
    parts += [
        "<h2>Subjects</h2>",
        '<p><input id="find" placeholder="find"> Click a column to sort.</p>',
        _subjects(report.rows, out),
    ]
    meanings = "".join(f"<li><b>{escape(m.title)}</b>: {escape(m.meaning)}</li>" for m in METRICS)
    return page("humanlrm evaluation", [*parts, f"<h2>Columns</h2><ul>{meanings}</ul>"])


def _subjects(rows: list[Row], out: Path) -> str:
    """One row per subject and method, its plain views averaged, with the pictures of its first view."""
    by: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        by.setdefault((row.set, row.subject, row.method), []).append(row)
    columns = (*MAIN, "visible_cm", "hidden_cm", "f1", "mask_iou", "sound", "cpu_s")
    titles = ["set", "subject", "method", " | ".join(TILES), *(METRIC[c].title for c in columns)]
    lines = []
    for (name, subject, method), mine in by.items():
        plain = [row for row in mine if row.condition.protocol == "plain"] or mine
        picture = next((p for row in plain if (p := strip_path(out, row, method)).is_file()), None)
        shown = image_tag(thumbnail(picture, _THUMB_PX), f"{subject} {method}") if picture else ""
        wrong = next((row.failure for row in plain if row.failure), "")
        shown += f'<span class="failed">{escape(wrong)}</span>' if wrong else ""
        means = [summary(plain, c) for c in columns]
        numbers = [f"{m.mean:.{METRIC[c].digits}f}" if m else "" for c, m in zip(columns, means, strict=True)]
        lines.append([name, subject, method, shown, *numbers])
    return html_table(titles, lines, 4).replace("<table ", '<table id="subjects" ')


# ---- curves

_WIDE, _TALL, _LEFT, _BOTTOM = 300, 170, 40, 34
_COLORS = ("#1f6fb4", "#d1632a", "#3a8f4d", "#8757a8", "#777777")


def _charts(found: list[Curve]) -> str:
    """One small chart per set and kind for the protocol's first metrics; a line with its interval per method."""
    out = []
    for metric in CURVE_METRICS[found[0].protocol][:4]:
        for name, kind in dict.fromkeys((c.set, c.kind) for c in found):
            mine = [c for c in found if (c.set, c.kind) == (name, kind)]
            drawn = chart(mine, metric)
            if drawn:
                out.append(f"<figure>{drawn}<figcaption>{escape(name)}: {escape(kind)}</figcaption></figure>")
    return f'<div class="curves">{"".join(out)}</div>'


def chart(mine: list[Curve], metric: str) -> str:
    """An SVG of one metric over the levels of one kind, evenly spaced; "" if nothing has the metric."""
    lines = [(c.method, [(summary(rows, metric)) for _, rows in c.points]) for c in mine]
    values = [v for _, points in lines for p in points if p for v in (p.low, p.high)]
    if not values:
        return ""
    low, high = min(values), max(values)
    low, high = (
        (low - 0.5, high + 0.5) if high - low < 1e-9 else (low - 0.05 * (high - low), high + 0.05 * (high - low))
    )
    labels = ["clean" if level != level else f"{level:g}" for level, _ in mine[0].points]
    x = [_LEFT + (i + 0.5) * (_WIDE - _LEFT) / len(labels) for i in range(len(labels))]
    y = lambda v: 18 + (high - v) / (high - low) * (_TALL - _BOTTOM - 18)  # noqa: E731
    parts = [f'<text x="4" y="12">{escape(METRIC[metric].title)}</text>']
    for v in (low + 0.1 * (high - low), (low + high) / 2, high - 0.1 * (high - low)):
        parts.append(
            f'<path d="M{_LEFT} {y(v):.1f}H{_WIDE}" stroke="#ddd"/><text x="2" y="{y(v) + 4:.1f}">{v:.3g}</text>'
        )
    for place, label in zip(x, labels, strict=True):
        parts.append(f'<text x="{place:.0f}" y="{_TALL - 20}" text-anchor="middle">{label}</text>')
    for index, (method, points) in enumerate(lines):
        color = _COLORS[index % len(_COLORS)]
        known = [(place, p) for place, p in zip(x, points, strict=True) if p]
        path = "L".join(f"{a:.1f} {y(p.mean):.1f}" for a, p in known)
        parts.append(f'<path d="M{path}" fill="none" stroke="{color}" stroke-width="2"/>')
        parts += [f'<path d="M{a:.1f} {y(p.low):.1f}V{y(p.high):.1f}" stroke="{color}"/>' for a, p in known]
        parts.append(f'<text x="{_LEFT + 62 * index}" y="{_TALL - 4}" fill="{color}">{escape(method)}</text>')
    return f'<svg width="{_WIDE}" height="{_TALL}" font-size="11" font-family="system-ui">{"".join(parts)}</svg>'
