"""The tables of docs/questions.md, each measured anew and written between its marks.

    python -m benchmarks.questions 1 4 7 [--out docs/questions.md] [--data data/people] [--runs runs/rivals] ...

Questions: 1 what is in the data; 2 distance or density; 3 regression, a discriminator, or diffusion; 4 what many views
add; 5 how errors of a body propagate; 6 numbers of people, and sizes; 7 run time by stage; 8 what buys detail; 9
failures; 10 frames per second. 2, 6 and parts of 8 and 9 read the figures of ``humanlrm ablate`` (docs/ablations.json,
docs/scaling.json).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro
from benchmarks import hidden_side
from benchmarks.photo_to_glb import AVATAR, FULL, matmul_s, stages
from matplotlib.figure import Figure

from humanlrm.commands.terminal import asset_pack
from humanlrm.evaluate.plan import BEST, EvaluationPlan, Sources
from humanlrm.evaluate.report.rows import Row, summarize
from humanlrm.evaluate.report.tables import Table, format_interval, markdown_table
from humanlrm.evaluate.run import run
from humanlrm.evaluate.scores import METRIC
from humanlrm.files import atomic_write, read_json, write_between
from humanlrm.people.describe import describe
from humanlrm.reconstruct import Completion
from humanlrm.rivals.plan import Comparison
from humanlrm.rivals.systems import find_systems, measure

_DOCS = Path(__file__).parents[1] / "docs"
#: Points of a line: place and value.
Curve = list[tuple[float, float]]
#: Bars of a distribution that a line of the table names.
_MOST_BARS = 6
#: Columns of rows of ``humanlrm ablate``.
_STUDIED = ("chamfer_cm", "normals_abs", "psnr_front", "psnr_back")
#: Stages that take less than this of a matrix product are left out.
_LEAST_SHARE = 0.01
#: Systems whose landmarks are spoilt, and by how much.
_SPOILT = ("humanlrm", "hybrid", "hybrid-landmarks-body")


@dataclass(frozen=True)
class Options:
    """
    Attributes:
        questions: numbers of the questions to measure.
        out: page to write into.
        data: folder of shards of people (questions 1 and 3).
        held_out: folder of shards of people that the weights have not seen (question 3).
        runs: folder of the rivals' runs (question 5).
        measured: folder of the evaluations; what lies there is not measured again.
        people: people of each set.
        workers: processes of the evaluations.
        threads: of the reconstructions whose time is measured.
        photos: that the two networks of question 3 are trained on.
    """

    questions: Annotated[tuple[int, ...], tyro.conf.Positional]
    out: Path = _DOCS / "questions.md"
    data: Path = Path("data/people")
    held_out: Path = Path("data/held-out")
    runs: Path = Path("runs/rivals")
    measured: Path = Path("runs/questions")
    people: int = 6
    workers: int = 1
    threads: int = 1
    photos: int = 2400


def data(options: Options) -> list[Table]:
    """What people and views there are."""
    found = describe(options.data)
    lines = []
    for bars in found.bars:
        largest = sorted(bars.shares, key=lambda label: -bars.shares[label])[:_MOST_BARS]
        lines.append([bars.title, ", ".join(f"{label} {bars.shares[label]:.0%}" for label in largest)])
    return [Table("", [f"{found.people:,} people, {found.views:,} views", "the largest shares"], lines, 2)]


def field(options: Options) -> list[Table]:
    """Distance and density: the bare architecture, and, once measured, with the parts of our model."""
    tables = [
        _studied("ablations", ("SDF field (paper)", "density field (LRM)")),
        _studied("scaling", ("pixel features alone",)),
    ]
    return [table for table in tables if table.lines]


def hidden(options: Options) -> list[Table]:
    """Ways to guess what is hidden."""
    run_folder = options.measured / "hidden-side"
    return [hidden_side.table(hidden_side.Options(options.data, options.held_out, run_folder, options.photos))]


def views(options: Options) -> list[Table]:
    """One, two and four views; and the best of four samples of the single one; clean and occluded photos."""
    methods = ("humanlrm", BEST, "humanlrm-two", "humanlrm-four")
    clean, occluded = _evaluate(options, "views", methods=methods), _occluded(options)
    groups = {name: [row for row in clean if row.method == name] for name in methods}
    for name in methods[:2]:
        rows = [row for row in occluded if row.method == name and row.condition.protocol != "plain"]
        groups[f"{name}, occluded photos"] = rows
    columns = ("chamfer_cm", "visible_cm", "hidden_cm", "normals_abs", "psnr_side", "psnr_back")
    return [_means("method", groups, columns)]


def errors(options: Options) -> list[Table]:
    """How errors of landmarks reach the surface, for ours and for systems that are built on a body."""
    comparison = Comparison(
        options.runs, ("composed-val",), options.people, systems=_SPOILT[1:], occluded=False, assets=asset_pack(None)
    )
    plan = replace(comparison.evaluation(), protocols=("landmarks",))
    groups: dict[str, list[Row]] = {}
    curves: dict[str, Curve] = {}
    for system in find_systems(comparison):
        by_level: dict[float, list[Row]] = {}
        for row in measure(system, plan, options.measured / "errors", options.workers):
            kind, level = row.condition.kind, row.condition.level
            if kind == "detected":
                groups.setdefault(f"{system.title}: landmarks as detected", []).append(row)
            elif kind in ("clean", "limb moved cm"):
                groups.setdefault(f"{system.title}: true, a limb off by {level:g} cm", []).append(row)
                by_level.setdefault(level, []).append(row)
        means = ((level, summarize(rows, "chamfer_cm")) for level, rows in by_level.items())
        curves[system.title] = [(level, interval.mean) for level, interval in means if interval is not None]
    _draw(options, "errors", "error of a limb's landmarks, cm", "Chamfer cm", curves)
    return [_means("system: landmarks", groups, ("chamfer_cm", "limb_cm", "limb_bound_cm", "normals_abs"))]


def scaling(options: Options) -> list[Table]:
    """Numbers of people, and sizes."""
    curve = [(float(number), float(np.mean(values))) for number, values in sorted(_errors_by_people().items())]
    _draw(options, "people", "people to train on", "Chamfer cm", {"trained alike": curve}, log=True)
    return [_studied("scaling", (" people", "half as wide"))]


def _draw(options: Options, name: str, x: str, y: str, curves: dict[str, Curve], log: bool = False) -> None:
    """Write a figure of curves beside the page."""
    figure = Figure(figsize=(6, 3), layout="constrained")
    axes = figure.add_subplot(xlabel=x, ylabel=y, xscale="log" if log else "linear")
    for title, points in curves.items():
        axes.plot(*zip(*points, strict=True), marker="o", label=title)
    axes.set_ylim(bottom=0)
    axes.legend(fontsize="small")
    with atomic_write(options.out.with_name(f"{options.out.stem}-{name}.webp")) as partial:
        figure.savefig(partial, format="webp", dpi=110)


def run_time(options: Options) -> list[Table]:
    """Stages of a photo, and what other choices would cost."""
    unit, lines = matmul_s(), []
    choices = {
        "full quality": (FULL, Completion("never")),
        "lattice of 128": (replace(FULL, resolution=128), Completion("never")),
        "texture of 2048": (replace(FULL, texture_px=2048), Completion("never")),
        "6,000 faces": (replace(FULL, faces=6_000), Completion("never")),
        "hidden parts completed": (FULL, Completion("always")),
    }
    found = {name: stages(AVATAR, *choice, options.threads, 3) for name, choice in choices.items()}
    names = list(dict.fromkeys(stage for column in found.values() for stage in column))
    for stage in [*names, "all"]:
        seconds = [sum(column.values()) if stage == "all" else column.get(stage, 0.0) for column in found.values()]
        if max(seconds) < _LEAST_SHARE * unit:
            continue
        lines.append([stage, *(f"{value / unit:.2f}" for value in seconds)])
    return [Table("", ["stage, in products of two 4096 x 4096 matrices", *found], lines, 1)]


def frames(options: Options) -> list[Table]:
    """Frames per second of each stage, and of those that a film could not do without."""
    found = stages(AVATAR, replace(FULL, resolution=128, texture_px=512, faces=6_000), Completion("never"),
                   options.threads, 3)  # fmt: skip
    lines = [[stage, f"{1 / seconds:.1f}"] for stage, seconds in found.items() if seconds > 1e-3]
    lines.append(["all", f"{1 / sum(found.values()):.2f}"])
    unit = matmul_s()
    lines.append(["one product of two 4096 x 4096 matrices", f"{1 / unit:.1f}"])
    return [Table("", [f"stage (lattice 128, 512 px, 6,000 faces, {options.threads} threads)", "per second"], lines, 1)]


def detail(options: Options) -> list[Table]:
    """Lattices, and parts of the model."""
    groups = {}
    for resolution in (64, 128, 256):
        rows = _evaluate(options, f"lattice-{resolution}", methods=("humanlrm",), resolution=resolution)
        groups[f"lattice of {resolution}"] = rows
    parts = ("SDF field (paper)", "+ ", "all three")
    return [
        _means("our weights", groups, ("normals_abs", "chamfer_cm", "f1", "psnr_front", "cpu_s")),
        _studied("ablations", parts),
    ]


def failures(options: Options) -> list[Table]:
    """Occlusions by kind; and a model that was trained without errors of photos."""
    ours = [row for row in _occluded(options) if row.method == "humanlrm"]
    groups: dict[str, list[Row]] = {}
    for row in sorted(ours, key=lambda r: (r.condition.protocol != "plain", r.condition.kind)):
        groups.setdefault(row.condition.kind.split(",")[0], []).append(row)
    columns = ("chamfer_cm", "visible_cm", "hidden_cm", "sound")
    full = f"{max(_errors_by_people()):,} people"
    return [_means("photo", groups, columns), _studied("scaling", (full, "without augmentation"), ("occluded",))]


QUESTIONS: dict[int, Callable[[Options], list[Table]]] = {
    1: data, 2: field, 3: hidden, 4: views, 5: errors, 6: scaling, 7: run_time, 8: detail, 9: failures, 10: frames,
}  # fmt: skip


def _occluded(options: Options) -> list[Row]:
    """The same people, clean and in two occluded photos each."""
    return _evaluate(options, "occluded", methods=("humanlrm", BEST), protocols=("plain", "occlusion"), draws=2)


def _evaluate(options: Options, name: str, **changes) -> list[Row]:
    """Rows of composed people and avatars, one frontal photo each."""
    sources = Sources(("composed-val", "valid-val"), options.people, 1, options.people, asset_pack(None))
    return run(EvaluationPlan(sources, views=1, **changes), options.measured / name, options.workers).rows


def _means(title: str, groups: dict[str, list[Row]], metrics: Sequence[str]) -> Table:
    lines = []
    for name, rows in groups.items():
        cells = [format_interval(METRIC[metric], summarize(rows, metric)) for metric in metrics]
        lines.append([name, str(len(rows)), *cells])
    return Table("", [title, "photos", *(METRIC[metric].title for metric in metrics)], lines, 1)


def _studied(page: str, names: tuple[str, ...], more: tuple[str, ...] = ()) -> Table:
    """Rows of a table of ``humanlrm ablate`` whose names hold one of these words: means over the seeds."""
    content = read_json(_DOCS / f"{page}.json")
    rows: dict[str, list[dict[str, float]]] = {}
    for row in content["rows"]:
        if any(name in row["variant"] for name in names):
            rows.setdefault(row["variant"], []).append(row["figures"])
    columns = (*_STUDIED, *more)
    lines = [
        [name, *(f"{np.mean([figures[column] for figures in seeds]):.{_digits(column)}f}" for column in columns)]
        for name, seeds in rows.items()
    ]
    title = f"{content['study']['samples']:,} samples of {content['study']['people'].split(',')[0]}"
    return Table("", [title, *(_title(column) for column in columns)], lines, 1)


def _title(column: str) -> str:
    return "Chamfer cm, occluded" if column == "occluded" else METRIC[column].title


def _digits(column: str) -> int:
    return METRIC["chamfer_cm" if column == "occluded" else column].digits


def _errors_by_people() -> dict[int, list[float]]:
    """Chamfer distances of the rows of the scaling that differ in their number of people, one for each seed."""
    found: dict[int, list[float]] = {}
    for row in read_json(_DOCS / "scaling.json")["rows"]:
        number, _, word = row["variant"].partition(" ")
        if word == "people":
            found.setdefault(int(number.replace(",", "")), []).append(row["figures"]["chamfer_cm"])
    return found


def main() -> None:
    options = tyro.cli(Options, description=__doc__)
    torch.set_num_threads(options.threads)
    for number in options.questions:
        text = "\n".join(line for table in QUESTIONS[number](options) for line in markdown_table(table))
        write_between(options.out, f"python -m benchmarks.questions {number}", text)
        print(f"{number}\n{text}")


if __name__ == "__main__":
    main()
