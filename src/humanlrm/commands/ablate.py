"""``humanlrm ablate``: the ablation study."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from humanlrm.commands.terminal import check_bf16, needs_train, say
from humanlrm.evaluate.study import Study
from humanlrm.files import write_text


@dataclass(frozen=True)
class Ablate:
    """Train small models that differ in one thing, measure them, and write the table. An interrupted study goes on if
    it is started again.

    Attributes:
        study: models and data.
        run_folder: folder of runs and weights.
        out: the table to write; beside it lies a file of its figures (JSON), from which another machine can go on.
        workers: processes, each of which trains and measures rows on one core.
    """

    study: Annotated[Study, tyro.conf.arg(name="")]
    run_folder: Annotated[Path, tyro.conf.arg(name="run")] = Path("runs/ablations")
    out: Path = Path("ablations.md")
    workers: int = 1

    def run(self) -> int:
        needs_train()
        from humanlrm.evaluate.ablation import study

        plan = replace(self.study, bf16=check_bf16(self.study.bf16, "cpu"))
        figures = self.out.with_suffix(".json")
        text = study(plan, self.run_folder, figures, say, self.workers)
        say(write_text(self.out, text))
        return 0
