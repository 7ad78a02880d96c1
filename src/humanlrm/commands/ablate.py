"""``humanlrm ablate``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from humanlrm.commands.terminal import check_bf16, console, needs_train


@dataclass(frozen=True)
class Ablate:
    """Train small models that differ in one thing, measure them, and write the table. Goes on where it was interrupted.

    Attributes:
        data: folder of shards of scans.
        captures: folder of shards of multi-view captures; without it the row that mixes them in is left out.
        run: folder of runs and weights.
        out: the table to write; beside it lies a file of its figures (JSON), from which another machine can go on.
        samples: that each model sees.
        batch: samples of a step.
        people: held-out people that each model is measured on.
        seeds: of the runs.
        bf16: compute the networks in bfloat16, where this processor is faster in it.
        workers: processes, each of which trains and measures rows on one core.
    """

    data: Path
    captures: Path | None = None
    run_folder: Annotated[Path, tyro.conf.arg(name="run")] = Path("runs/ablations")
    out: Path = Path("ablations.md")
    samples: int = 6_000
    batch: int = 8
    people: int = 24
    seeds: tuple[int, ...] = (0, 1, 2)
    bf16: bool = False
    workers: int = 1

    def run(self) -> int:
        needs_train()
        from humanlrm.evaluate.ablation import Study, study
        from humanlrm.evaluate.report import write_text

        plan = Study(
            self.data,
            self.captures,
            samples=self.samples,
            batch=self.batch,
            people=self.people,
            seeds=self.seeds,
            bf16=check_bf16(self.bf16, "cpu"),
        )
        self.out.parent.mkdir(parents=True, exist_ok=True)
        figures = self.out.with_suffix(".json")
        found = study(plan, self.run_folder, figures, lambda line: console.print(line, highlight=False), self.workers)
        write_text(self.out, found)
        console.print(f"{self.out}", highlight=False)
        return 0
