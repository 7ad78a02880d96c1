"""``humanlrm prepare``: data sets of scans and captures as training data."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from humanlrm.commands.terminal import complain, console, needs_train, say
from humanlrm.data.job import PrepareJob


@dataclass(frozen=True)
class Prepare:
    """Turn a data set of scans or of multi-view captures into training shards. Goes on where an interrupted run was.

    Exit code 1 if any item was skipped; the table says which and why. Layouts and licences: docs/datasets.md.

    Attributes:
        workers: processes; each uses one core.
        preview: also write a contact sheet of up to 60 people in the shards to this picture.
    """

    job: Annotated[PrepareJob, tyro.conf.arg(name="")]
    workers: int = 1
    preview: Path | None = None

    def run(self) -> int:
        needs_train()
        from rich.progress import Progress as Bar
        from rich.table import Table

        from humanlrm.data.contact_sheet import check_picture, draw_contact_sheet, save_picture
        from humanlrm.data.prepare import plan, run, summarize
        from humanlrm.data.shards import ShardFolder

        if self.preview is not None:
            check_picture(self.preview)
        job, planned = self.job, plan(self.job)
        with Bar(console=console) as bar:
            task = bar.add_task(job.name, total=sum(len(items) for _, items in planned.todo))
            outcomes = run(job, planned.todo, self.workers, lambda o: bar.advance(task, len(o.done) + len(o.skipped)))
        table = Table(title=f"{job.source} to {job.out}", show_header=False)
        for row in summarize(job, planned, outcomes):
            table.add_row(*row)
        console.print(table)
        skipped = planned.skipped + [line for outcome in outcomes for line in outcome.skipped]
        for line in skipped:
            complain(f"skipped {line}")
        if self.preview is not None:
            save_picture(draw_contact_sheet(ShardFolder(job.out)), self.preview)
            say(self.preview)
        return 1 if skipped else 0
