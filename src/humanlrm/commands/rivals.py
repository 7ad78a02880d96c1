"""``humanlrm rivals``: rivals are trained on the same people, and all systems are measured in one table."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import tyro

from humanlrm.commands.terminal import asset_pack, check_device, console, needs_train, say
from humanlrm.rivals.plan import Comparison, RivalTraining


@dataclass(frozen=True)
class TrainRival:
    """Train a rival by the loop that trains our model. Started again with the same --run, it goes on.

    Attributes:
        name: rival to train: hmr, pifu, pifuhd, hybrid, generic, triplane, or ours (our model with the same budget).
        data: folders of shards, all alike.
        run_folder: folder of checkpoints and logs. Default: runs/rivals/NAME.
        initial: run of the rival hmr from which a new run of hybrid takes its body.
        threads: torch threads; more than one pays only on an otherwise idle machine.
    """

    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")]
    data: tuple[Path, ...]
    training: Annotated[RivalTraining, tyro.conf.arg(name="")] = field(default_factory=RivalTraining)
    run_folder: Annotated[Path | None, tyro.conf.arg(name="run")] = None
    initial: Path | None = None
    threads: int = 1

    def run(self) -> int:
        needs_train()
        import torch

        from humanlrm.data.shards import Mixture, ShardFolder
        from humanlrm.rivals.kinds import kind_of
        from humanlrm.rivals.training import train_rival
        from humanlrm.train.config import StepSettings, TrainConfig
        from humanlrm.train.hooks import ReportProgress, SaveCheckpoints
        from humanlrm.train.report import TrainingReport

        kind_of(self.name)
        options, run = self.training, self.run_folder or Path("runs/rivals") / self.name
        check_device(options.device)
        torch.set_num_threads(self.threads)
        plan = TrainConfig(
            samples=options.photos,
            hours=options.hours,
            batch=options.batch,
            learning_rate=options.learning_rate,
            seed=options.seed,
            device=options.device,
            workers=options.workers,
            steps=StepSettings(warmup=options.warmup, lifter_steps=options.lifter_steps),
        )
        data = Mixture([(ShardFolder(folder), 1.0) for folder in self.data])
        with TrainingReport(run, plan.samples, console, plan.device) as report:
            hooks = [ReportProgress(report.show_progress), SaveCheckpoints()]
            record = train_rival(self.name, plan, data, run, hooks, initial=self.initial)
        say(
            f"{self.name}: {record.samples:,} photos in {record.core_hours:.2f} core-hours, {record.trained:,} of "
            f"{record.parameters:,} parameters trained; checkpoints are in {run}"
        )
        return 0


@dataclass(frozen=True)
class RivalTable:
    """Measure ours and all trained rivals on the same photos, and write the tables. An interrupted comparison goes on.

    Attributes:
        comparison: people, photos and systems.
        out: page into which the tables are written; beside it lies the qualitative sheet.
        evaluations: folder of the measurements. Default: evaluations in --runs.
        workers: processes; each uses one core.
    """

    comparison: Annotated[Comparison, tyro.conf.arg(name="")]
    out: Path = Path("comparison.md")
    evaluations: Path | None = None
    workers: int = 1

    def run(self) -> int:
        """Measure; 1 if a case of ours failed."""
        needs_train()
        from humanlrm.commands.evaluate import progress_bar
        from humanlrm.evaluate.report.rows import count_failures
        from humanlrm.evaluate.report.tables import describe
        from humanlrm.evaluate.run import settings_of
        from humanlrm.files import write_between
        from humanlrm.rivals.comparison import MARKS, page
        from humanlrm.rivals.sheet import write_sheet
        from humanlrm.rivals.systems import evaluation_folder, find_systems, measure

        comparison = replace(self.comparison, assets=asset_pack(self.comparison.assets))
        plan, out = comparison.evaluation(), self.evaluations or comparison.runs / "evaluations"
        measured = []
        for system in find_systems(comparison):
            with progress_bar(system.name) as progress:
                measured.append((system, measure(system, plan, out, self.workers, progress)))
        folders = [evaluation_folder(system, plan, out) for system, _ in measured]
        sheet = write_sheet(measured, folders, self.out.with_suffix(".webp"))
        text = page(measured, describe(settings_of(plan)), sheet.name)
        say(write_between(self.out, MARKS, text))
        return 1 if count_failures(measured[0][1]) else 0


@dataclass(frozen=True)
class Rivals:
    """Train the kinds of methods that ours is measured against, and write the table of all."""

    command: tyro.conf.OmitSubcommandPrefixes[
        tyro.conf.OmitArgPrefixes[
            Annotated[TrainRival, tyro.conf.subcommand("train")] | Annotated[RivalTable, tyro.conf.subcommand("table")]
        ]
    ]

    def run(self) -> int:
        return self.command.run()
