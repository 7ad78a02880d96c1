"""What ``humanlrm evaluate`` does and prints; each function returns the exit code."""

from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.measure import Measurement
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.segment import Segments
from rich.table import Table

from humanlrm.evaluate.page import report_page
from humanlrm.evaluate.photos import evaluate_photos, verdict
from humanlrm.evaluate.quick import evaluate_quick
from humanlrm.evaluate.report import (
    CURVE_METRICS,
    MAIN,
    Report,
    compare_reports,
    curve_lines,
    curves,
    failed,
    markdown,
    number,
    table,
    write_sheets,
)
from humanlrm.evaluate.run import EvaluationPlan, run
from humanlrm.evaluate.sources import describe, orphans
from humanlrm.files import write_text

#: Of failures so many reasons are printed; all are in the report.
_REASONS = 5


def _bar(console: Console) -> Progress:
    columns = TextColumn("{task.description}"), BarColumn(20), MofNCompleteColumn(), TimeRemainingColumn()
    return Progress(*columns, console=console)


def _print(console: Console, title: str, titles: list[str], lines: list[list[str]], words: int) -> None:
    shown = Table(title=title)
    for place, name in enumerate(titles):
        shown.add_column(name, justify="left" if place < words else "right")
    for line in lines:
        shown.add_row(*line)
    # In too narrow a terminal no cell would show its number: lines may be longer than it.
    options = console.options.update(width=1000)
    options = options.update(width=max(console.width, Measurement.get(console, options, shown).maximum))
    for segments in console.render_lines(shown, options, pad=False):
        console.print(Segments(segments), end="", soft_wrap=True)
        console.print()


def measure(plan: EvaluationPlan, out: Path, workers: int, ray: str | None, console: Console) -> int:
    """Measures what is missing in ``out`` and writes its reports: 1 if a case failed.

    Raises:
        ValueError: a plan that cannot be carried out, or nothing measured.
    """
    if workers < 1:
        raise ValueError(f"workers must be positive, got {workers}")
    for line in describe(plan.sources.units()):
        console.print(line, highlight=False)
    if plan.sources.pairs is not None and (alone := orphans(plan.sources.pairs)):
        console.print(f"without a partner of the same name: {', '.join(alone)}", style="yellow", highlight=False)
    with _bar(console) as bar:
        task = bar.add_task("subjects")
        rows = run(plan, out, workers, ray, lambda done, all_: bar.update(task, completed=done, total=all_))
    report = Report(plan.as_json(), rows)
    report.write(out / "report.json")
    write_text(out / "report.md", markdown(report))
    write_sheets(report, out)
    write_text(out / "index.html", report_page(report, out))
    _, lines = table(rows, MAIN, bounds=False)
    if lines:
        short = ["set", "group", "method", "people", "cases", "failed"]
        short += ["Chamfer", "P2S", "S2P", "NC", "PSNR front", "back", "IoU front", "side"]
        title = f"alignment: {plan.alignment}; cm at true height; intervals are in the files"
        _print(console, title, short, lines, 3)
    found = curves(rows)
    for protocol in dict.fromkeys(curve.protocol for curve in found):
        mine = [curve for curve in found if curve.protocol == protocol]
        _print(console, f"Protocol: {protocol}", *curve_lines(mine, CURVE_METRICS[protocol], bounds=False), words=5)
    for reason, count in Counter(row.failure for row in rows if row.failure).most_common(_REASONS):
        console.print(f"failed, {count}: {reason}", style="red", highlight=False, markup=False, soft_wrap=True)
    console.print(
        f"{out / 'report.json'}  report.md  index.html  sheets/   {failed(rows)} cases failed", highlight=False
    )
    return 1 if failed(rows) else 0


def measure_photos(folder: Path, out: Path, weights: Path | None, resolution: int, console: Console) -> int:
    """Reconstructs a folder of photos and writes a page: 1 if a photo failed.

    Raises:
        ValueError: no photos, or weights that cannot be read.
    """
    with _bar(console) as bar:
        task = bar.add_task("photos")
        rows = evaluate_photos(
            folder, out, weights, resolution, lambda done, all_: bar.update(task, completed=done, total=all_)
        )
    for row in rows:
        if row.failure:
            console.print(f"{row.name}: {row.failure}", highlight=False, markup=False)
    console.print(f"{verdict(rows)}\n{out / 'index.html'}", highlight=False)
    return 1 if any(row.failure for row in rows) else 0


def measure_quickly(
    count: int,
    alignment: str,
    resolution: int,
    weights: Path | None,
    methods: tuple[str, ...],
    json: Path | None,
    console: Console,
) -> int:
    """The quick measure of one method.

    Raises:
        ValueError: several methods, or an unknown choice.
    """
    if len(methods) != 1:
        raise ValueError(f"--quick measures one method at a time, got {', '.join(methods) or 'none'}")
    report = evaluate_quick(count, alignment, resolution, weights, methods[0], console)
    _print(console, report.title, list(report.columns), [list(line) for line in report.lines], 1)
    if json is not None:
        report.write(json)
    return 0


def print_differences(before: Path, after: Path, console: Console) -> int:
    """Paired differences of two reports, second minus first.

    Raises:
        ValueError: they cannot be read or compared.
    """
    found = compare_reports(Report.read(before), Report.read(after))
    titles = ["set", "method", "metric", "people", "cases", "difference [95%]", "verdict"]
    lines = [
        [
            d.set,
            d.method,
            d.metric.title,
            str(d.found.persons),
            str(d.found.cases),
            number(d.metric, d.found),
            d.verdict,
        ]
        for d in found
    ]
    _print(console, f"{after} minus {before}: same photographs, bootstrap over people", titles, lines, 3)
    return 0
