"""``humanlrm people``: synthetic people as training data."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import tyro

from humanlrm.commands.terminal import asset_pack, complain, console, needs_train, say
from humanlrm.data.settings import RenderSettings
from humanlrm.people.job import PeopleJob, PeopleSelection


@dataclass(frozen=True)
class People:
    """Make synthetic people and render them into training shards (--out), or only look at them (--preview, --describe).

    The same command goes on where an interrupted run was.

    Attributes:
        out: folder for the training shards. It may hold people already: those are not made again.
        preview: write a contact sheet of the people to this picture instead of training shards.
        describe: print and draw how diverse the people in the shards of --data are.
        data: folder of shards for --describe.
        figure: picture to which --describe draws its bar charts.
        workers: processes; each uses one core. With --ray: Ray actors.
        ray: render on the Ray cluster at this address, e.g. auto, or local for one of this machine. Needs the extra
            "cluster".
    """

    out: Path | None = None
    people: Annotated[PeopleSelection, tyro.conf.arg(name="")] = field(default_factory=PeopleSelection)
    preview: Path | None = None
    describe: bool = False
    data: Path | None = None
    figure: Path = Path("people-statistics.png")
    workers: int = 1
    ray: str | None = None
    photographs: tyro.conf.OmitArgPrefixes[RenderSettings] = field(default_factory=RenderSettings)

    def run(self) -> int:
        needs_train()
        modes = (self.out is not None) + (self.preview is not None) + self.describe
        if modes != 1 or self.describe != (self.data is not None):
            raise ValueError("people: give one of --out DIR, --preview PICTURE, or --describe with --data DIR")
        people = replace(self.people, assets=asset_pack(self.people.assets))
        if self.data is not None:
            return _describe(self.data, self.figure)
        if self.preview is not None:
            return _preview(people, self.preview, self.workers)
        assert self.out is not None
        return _render(PeopleJob(self.out, people, self.photographs), self.workers, self.ray)


def _render(job: PeopleJob, workers: int, ray: str | None) -> int:
    """Render the missing shards of a job; 1 if a person failed."""
    from rich.progress import Progress

    from humanlrm.people.generate import run

    todo = job.missing_shards()
    existing = job.people.count - sum(len(seeds) for _, seeds in todo)
    with Progress(console=console) as bar:
        task = bar.add_task("people", total=len(job.shards()), completed=len(job.shards()) - len(todo))
        if ray is None:
            outcomes = run(job, workers, lambda *_: bar.advance(task), todo)
        else:
            from humanlrm.people.cluster import run_on_ray

            outcomes = run_on_ray(job, ray, workers, lambda *_: bar.advance(task))
    failures = [line for outcome in outcomes for line in outcome.failures]
    for line in failures:
        complain(line)
    made = sum(outcome.subjects for outcome in outcomes)
    before = f", {existing} were there already" if existing else ""
    say(f"{made} people written to {job.out}, {len(failures)} failed{before}")
    return 1 if failures else 0


def _preview(people: PeopleSelection, picture: Path, workers: int) -> int:
    """Write a contact sheet."""
    from humanlrm.data.contact_sheet import check_picture, save_picture
    from humanlrm.people.contact_sheet import Sheet, sheet

    check_picture(picture)
    with console.status(f"Making {people.count} people"):
        save_picture(sheet(Sheet(people), workers), picture)
    say(f"{picture}  ({people.count} people)")
    return 0


def _describe(data: Path, picture: Path) -> int:
    """Print the distributions of the people in a folder of shards, and write them as a figure."""
    from rich.table import Table

    from humanlrm.data.contact_sheet import check_picture, save_picture
    from humanlrm.people.describe import describe, figure

    check_picture(picture)
    statistics = describe(data)
    for line in statistics.problems:
        complain(line)
    table = Table(
        "what", "shares, percent", title=f"{statistics.people:,} people in {statistics.views:,} views", show_lines=True
    )
    for bars in statistics.bars:
        table.add_row(bars.title, "  ".join(f"{label}: {100 * share:.0f}" for label, share in bars.shares.items()))
    console.print(table)
    save_picture(figure(statistics), picture)
    say(picture)
    return 0
