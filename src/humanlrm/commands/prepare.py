"""``humanlrm prepare``: data sets of scans and captures as training data."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from humanlrm.commands.terminal import complain, console, needs_train, say


@dataclass(frozen=True)
class Prepare:
    """Turn a data set of scans or of multi-view captures into training shards. Goes on where an interrupted run was.

    Exit code 1 if any item was skipped; the table says which and why. Layouts and licences: docs/datasets.md.

    Attributes:
        name: thuman, humman, custom-humans, 2k2k, x-humans, renderpeople, zju-mocap, scans or multiview.
        source: folder of the data set.
        out: folder for the shards.
        split: file of held-out ids, one per line, or thuman2 (0506 to 0525).
        part: train (what is not held out), test or all.
        every: of the frames of a sequence, every how many.
        limit: at most so many people.
        workers: processes.
        up: up axis of the files if it is not the data set's usual one: +x -x +y -y +z -z (write --up=-z).
        unit: m, cm, mm, auto (told by the height) or height (set it to --height-m).
        height_m: height of scans of unknown unit.
        image_px: longer side of the photographs of captures.
        licence: of your own scans or photographs; it is kept in the shards.
        preview: also write a contact sheet of up to 60 people in the shards to this picture.
    """

    name: tyro.conf.Positional[str]
    source: Path
    out: Path
    split: str | None = None
    part: str = "train"
    every: int = 1
    limit: int | None = None
    workers: int = 1
    up: str | None = None
    unit: str | None = None
    height_m: float = 1.7
    image_px: int = 512
    licence: str | None = None
    preview: Path | None = None

    def run(self) -> int:
        needs_train()
        from rich.progress import Progress as Bar
        from rich.table import Table

        from humanlrm.data.contact_sheet import check_picture, draw_contact_sheet, save_picture
        from humanlrm.data.importers.adapter import Options
        from humanlrm.data.prepare import PrepareJob, plan, run, summarize
        from humanlrm.data.shards import ShardFolder

        if self.preview is not None:
            check_picture(self.preview)
        options = Options(self.up, self.unit, self.height_m, self.image_px, self.licence)
        job = PrepareJob(self.name, self.source, self.out, options, self.split, self.part, self.every, self.limit)
        planned = plan(job)
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
            save_picture(draw_contact_sheet(ShardFolder(self.out)), self.preview)
            say(self.preview)
        return 1 if skipped else 0
