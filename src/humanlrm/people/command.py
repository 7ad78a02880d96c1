"""What ``humanlrm people`` does: rendering, a contact sheet, a description of what was rendered."""

from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from humanlrm.data.contact_sheet import check_picture, save_picture
from humanlrm.people.contact_sheet import Sheet, sheet
from humanlrm.people.describe import describe, figure
from humanlrm.people.generate import PeopleJob, ShardOutcome, run


def render(job: PeopleJob, workers: int, ray: str | None, console: Console, errors: Console) -> int:
    """Renders the shards of a job that do not exist yet; 1 if a person failed, which is said by name."""
    todo = job.todo()
    there = job.count - sum(len(seeds) for _, seeds in todo)
    with Progress(console=console) as bar:
        task = bar.add_task("people", total=len(job.shards()))
        bar.advance(task, len(job.shards()) - len(todo))

        def advance(outcome: ShardOutcome, done: int, todo: int) -> None:
            bar.advance(task)

        if ray is None:
            outcomes = run(job, workers, advance, todo)
        else:
            from humanlrm.people.cluster import run_on_ray

            outcomes = run_on_ray(job, ray, workers, advance)
    failures = [line for outcome in outcomes for line in outcome.failures]
    for line in failures:
        errors.print(line, style="red", highlight=False)
    made = sum(outcome.subjects for outcome in outcomes)
    before = f", {there} were there already" if there else ""
    console.print(f"{made} people written to {job.out}, {len(failures)} failed{before}", highlight=False)
    return 1 if failures else 0


def preview(path: Path, plan: Sheet, workers: int, console: Console) -> None:
    """Writes a contact sheet.

    Raises:
        ValueError: a file name that is no picture's; before any work is done.
    """
    check_picture(path)
    with console.status(f"Making {plan.count} people"):
        save_picture(sheet(plan, workers), path)
    console.print(f"{path}  ({plan.count} people)", highlight=False)


def report(data: Path, path: Path, console: Console) -> None:
    """Prints the distributions of the people in a folder of shards and writes them as a figure.

    Raises:
        ValueError: a file name that is no picture's, or a folder without readable shards.
    """
    check_picture(path)
    found = describe(data)
    for line in found.problems:
        console.print(line, style="red", highlight=False)
    table = Table(title=f"{found.people:,} people in {found.views:,} views", show_lines=True)
    table.add_column("what")
    table.add_column("shares, percent")
    for bars in found.bars:
        table.add_row(bars.title, "  ".join(f"{label}: {100 * share:.0f}" for label, share in bars.shares.items()))
    console.print(table)
    save_picture(figure(found), path)
    console.print(f"{path}", highlight=False)
