"""``humanlrm evaluate``: people with a truth, photos without one, two reports compared, the model card of weights."""

import tempfile
from collections import Counter
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table as RichTable

from humanlrm.commands.terminal import asset_pack, commit, console, needs_train, say
from humanlrm.evaluate.plan import EvaluationPlan

if TYPE_CHECKING:
    from humanlrm.evaluate.report.report import Report
    from humanlrm.evaluate.report.tables import Table
    from humanlrm.train.checkpoint import Counters

#: Different reasons of failures that are printed; the report holds all.
_PRINTED_REASONS = 5
#: Columns of the terminal between the cells of a table.
_CELL_PADDING = 3


@dataclass(frozen=True)
class EvaluatePeople:
    """Measure reconstructions of held-out people against the truth, and write a report, contact sheets and a page. An
    interrupted evaluation goes on if it is started again.

    Attributes:
        plan: what is measured.
        out: folder to write. Default: evaluation; with --quick nothing is written.
        json: with --quick, also write the distances of each person to this file.
        workers: processes; each uses one core. With --ray: Ray actors.
        ray: measure on the Ray cluster at this address, e.g. auto, or local for one of this machine. Needs the extra
            "cluster".
    """

    plan: Annotated[EvaluationPlan, tyro.conf.arg(name="")]
    out: Path | None = None
    json: Path | None = None
    workers: int = 1
    ray: str | None = None

    def run(self) -> int:
        """Measure; 1 if a case of the full measure failed."""
        needs_train()
        from humanlrm.cluster import map_on_ray
        from humanlrm.evaluate.run import run

        sources, quick = self.plan.sources, self.plan.quick
        plan = replace(self.plan, sources=replace(sources, assets=asset_pack(sources.assets)))
        if self.json is not None and not (quick and len(plan.methods) == 1):
            raise ValueError("--json belongs to --quick with one method; otherwise report.json is in --out")
        if self.ray is not None and quick and self.out is None:
            raise ValueError("--quick with --ray needs --out: a folder that all machines of the cluster share")
        out = Path("evaluation") if self.out is None and not quick else self.out
        cluster = None if self.ray is None else partial(map_on_ray, address=self.ray, workers=self.workers)
        if not quick:
            _print_units(plan)
        with (
            tempfile.TemporaryDirectory() if out is None else nullcontext(out) as folder,
            progress_bar("subjects") as progress,
        ):
            report = run(plan, Path(folder), self.workers, cluster, progress)
        if out is not None:
            report.write_all(out)
        if quick:
            if self.json is not None:
                report.write_quick(self.json)
            return _print_quick(report)
        return _print_report(report, out or Path())


@dataclass(frozen=True)
class EvaluatePhotos:
    """Reconstruct all photos of a folder and write a page with pictures. Without a truth it tells how many are
    watertight, and how well their outlines agree with the masks.

    Attributes:
        folder: the photos.
        out: folder to write.
        weights: folder of weights. Default: the shipped ones.
        resolution: lattice cells per side of the surface: 64, 128, 256 or 512.
    """

    folder: tyro.conf.Positional[Path]
    out: Path = Path("evaluation")
    weights: Path | None = None
    resolution: int = 128

    def run(self) -> int:
        """Reconstruct; 1 if a photo failed."""
        from humanlrm.evaluate.photos import evaluate_photos, verdict

        with progress_bar("photos") as progress:
            rows = evaluate_photos(self.folder, self.out, self.weights, self.resolution, progress)
        for row in rows:
            if row.failure:
                say(f"{row.name}: {row.failure}")
        say(f"{verdict(rows)}\n{self.out / 'index.html'}")
        return 1 if any(row.failure for row in rows) else 0


@dataclass(frozen=True)
class EvaluateAnimation:
    """Measure the rig: held-out people reconstructed in one pose and posed like the true person in others.

    Attributes:
        count: people, each another identity up to the 34 of the pack.
        poses: new poses of each.
        assets: root of the asset pack. Default: $HUMANLRM_ASSETS.
    """

    count: int = 20
    poses: int = 10
    assets: Path | None = None

    def run(self) -> int:
        needs_train()
        from humanlrm.evaluate.animation import COLUMNS, measure_animation, summarize

        assets = asset_pack(self.assets)
        if assets is None or self.count < 1 or self.poses < 1:
            raise ValueError("give --assets DIR or set HUMANLRM_ASSETS, and at least one person and one pose")
        cases = list(measure_animation(assets, self.count, self.poses))
        for name, interval in summarize(cases).items():
            if interval is not None:
                bounds = f"[{interval.low:.4g}, {interval.high:.4g}]"
                say(f"{COLUMNS[name]}: {interval.mean:.4g} {bounds}, {interval.persons} people, {interval.cases} poses")
        return 0 if cases else 1


@dataclass(frozen=True)
class CompareReports:
    """Print the paired differences of two reports of the same photographs: second minus first.

    Attributes:
        before: a report.json, or the folder it is in.
        after: another one.
    """

    before: tyro.conf.Positional[Path]
    after: tyro.conf.Positional[Path]

    def run(self) -> int:
        from humanlrm.evaluate.report.report import Report, compare_reports, difference_table

        differences = compare_reports(Report.read(self.before), Report.read(self.after))
        title = f"{self.after} minus {self.before}: same photographs, bootstrap over people"
        _print(difference_table(differences, title))
        return 0


@dataclass(frozen=True)
class Card:
    """Measure weights again by the quick measure, and write their model card anew.

    Attributes:
        weights: folder of exported weights.
        count: held-out people to measure, a few seconds each.
        preset: name on the card. Default: of the preset with the config of the weights.
    """

    weights: Path
    count: int = 64
    preset: str | None = None

    def run(self) -> int:
        needs_train()
        from humanlrm.evaluate.card import measured_card, write_card

        with progress_bar("subjects") as progress:
            text = measured_card(self.weights, self.count, self.preset, progress)
        write_card(self.weights, text)
        say(text)
        return 0


@dataclass(frozen=True)
class Evaluate:
    """Measure how good reconstructions are."""

    command: tyro.conf.OmitSubcommandPrefixes[
        tyro.conf.OmitArgPrefixes[
            Annotated[EvaluatePeople, tyro.conf.subcommand("people")]
            | Annotated[EvaluatePhotos, tyro.conf.subcommand("photos")]
            | Annotated[EvaluateAnimation, tyro.conf.subcommand("animation")]
            | Annotated[CompareReports, tyro.conf.subcommand("compare")]
            | Annotated[Card, tyro.conf.subcommand("card")]
        ]
    ]

    def run(self) -> int:
        return self.command.run()


@contextmanager
def progress_bar(what: str):
    """A progress bar; gives a function of (done, in all)."""
    columns = TextColumn("{task.description}"), BarColumn(20), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(what)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _print(table: "Table") -> None:
    """Print a table in parts that fit the terminal, each with all its words and as many numbers as find room."""
    for part in _parts(table, console.width):
        shown = RichTable(title=table.title or None)
        for place in part:
            is_word = place < table.words
            shown.add_column(table.columns[place], justify="left" if is_word else "right", no_wrap=not is_word)
        for line in table.lines:
            shown.add_row(*(line[place] for place in part))
        console.print(shown)


def _parts(table: "Table", width: int) -> list[list[int]]:
    """Columns of each part of a table."""
    cells = zip(table.columns, *table.lines, strict=True)
    widths = [max(map(len, column)) + _CELL_PADDING for column in cells]
    words = list(range(table.words))
    room = width - 1 - min(sum(widths[: table.words]), width // 2)
    parts, used = [list(words)], 0
    for place in range(table.words, len(widths)):
        if used and used + widths[place] > room:
            parts.append(list(words))
            used = 0
        parts[-1].append(place)
        used += widths[place]
    return parts


def _print_units(plan: EvaluationPlan) -> None:
    from humanlrm.evaluate.sources import describe_units, find_orphans, find_units

    for line in describe_units(find_units(plan.sources)):
        say(line)
    if plan.sources.pairs is not None and (alone := find_orphans(plan.sources.pairs)):
        say(f"without a partner of the same name: {', '.join(alone)}", style="yellow")


def _print_quick(report: "Report") -> int:
    from humanlrm.evaluate.report.tables import quick_table

    for method in dict.fromkeys(row.method for row in report.rows):
        _print(quick_table(report.of_method(method), method, report.settings["alignment"]))
    return 0


def _print_report(report: "Report", out: Path) -> int:
    from humanlrm.evaluate.report.rows import count_failures
    from humanlrm.evaluate.report.tables import MAIN, curve_table, curves, mean_table

    means = mean_table(report.rows, MAIN, bounds=False)
    if means.lines:
        title = f"alignment: {report.settings['alignment']}; cm at true height; intervals are in the files"
        _print(replace(means, title=title))
    for members in curves(report.rows).values():
        _print(curve_table(members, bounds=False))
    failures = count_failures(report.rows)
    for reason, count in Counter(row.failure for row in report.rows if row.failure).most_common(_PRINTED_REASONS):
        say(f"failed, {count}: {reason}", style="red")
    say(f"{out / 'report.json'}  report.md  index.html  sheets/   {failures} cases failed")
    return 1 if failures else 0


@dataclass(frozen=True)
class ExportWeights:
    """Write a run's newest weights (float16) with a model card that says how good they are.

    Attributes:
        run_folder: the training run.
        data: folders of the shards it was trained on, for the card. Default: those that the run has noted; give them if
            they have moved.
        out: e.g. src/humanlrm/weights/small.
        count: held-out people to measure, a few seconds each.
        preset: name for the card. Default: of the preset that they have the config of.
        landmarks_run: another run, which trained the landmarks alone (small family): their estimate is taken from it.
    """

    run_folder: Annotated[Path, tyro.conf.arg(name="run")]
    out: Path
    data: tuple[Path, ...] = ()
    count: int = 64
    preset: str | None = None
    landmarks_run: Path | None = None

    def run(self) -> int:
        needs_train()
        from humanlrm.completion import POSES
        from humanlrm.data.shards import ShardFolder
        from humanlrm.evaluate.card import describe_data
        from humanlrm.model.history import read_history, write_history
        from humanlrm.model.pretrained import save_pretrained, with_landmarks
        from humanlrm.train.checkpoint import load_averaged_weights

        config, tensors, state = load_averaged_weights(self.run_folder)
        sources, licences = describe_data(map(ShardFolder, self._folders()))
        stages = read_history(self.run_folder)
        if self.landmarks_run is not None:
            other, theirs, seen = load_averaged_weights(self.landmarks_run)
            tensors = with_landmarks(config, tensors, other, theirs)
            stages.append(_stage(self.landmarks_run, sources, licences, seen))
        stages.append(_stage(self.run_folder, sources, licences, state))
        save_pretrained(self.out, config, tensors)
        write_history(self.out, stages)
        if getattr(config, "samples_poses", False) and not (self.out / POSES).is_dir():
            console.print(
                f"{self.out} cannot sample half bodies until `humanlrm train-poses --weights {self.out}` has been run",
                highlight=False,
            )
        return Card(self.out, self.count, self.preset).run()

    def _folders(self) -> list[Path]:
        from humanlrm.model.history import read_notes

        runs = [self.run_folder] if self.landmarks_run is None else [self.run_folder, self.landmarks_run]
        notes = [found for run in runs if (found := read_notes(run)) is not None]
        noted = list(dict.fromkeys(Path(folder) for found in notes for folder in found.data))
        gone = [folder for folder in noted if not folder.is_dir()]
        if not self.data and (gone or not noted):
            what = f"was trained on {gone[0]}, which is gone" if gone else "does not say what it was trained on"
            raise ValueError(f"{self.run_folder} {what}; name its folders of shards with --data")
        given = [folder.resolve() for folder in self.data]
        return list(dict.fromkeys([*given, *(folder for folder in noted if folder not in gone)]))


def _stage(run: Path, sources: dict[str, int], licences: list[str], state: "Counters") -> "TrainingStage":
    from humanlrm.model.history import TrainingStage, read_notes

    notes = read_notes(run)
    part, seed = ("unknown", -1) if notes is None else (notes.part, notes.seed)
    return TrainingStage(part, sources, licences, state.seen, state.seconds / 3600, seed, commit())
