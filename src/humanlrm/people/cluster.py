"""The rendering job on a Ray cluster: a Ray Data dataset of shards, rendered as on one machine."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from humanlrm.cluster import map_on_ray
from humanlrm.people.generate import ShardOutcome, ShardRenderer
from humanlrm.people.job import PeopleJob


class _Renderer:
    """A Ray actor's shards."""

    def __init__(self, job: PeopleJob) -> None:
        self.renderer = ShardRenderer(job)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        outcome = self.renderer((Path(row["shard"]), range(int(row["start"]), int(row["stop"]))))
        return {"shard": str(outcome.shard), "subjects": outcome.subjects, "failures": "\n".join(outcome.failures)}


def run_on_ray(
    job: PeopleJob, address: str, workers: int = 1, report: Callable[[ShardOutcome, int, int], None] | None = None
) -> list[ShardOutcome]:
    """Render the shards that do not exist yet on a Ray cluster whose machines share ``job.out`` and the assets.

    Args:
        address: of the cluster, e.g. "auto" or "ray://head:10001"; "local" starts one on this machine.
        workers: Ray actors of one core each.
        report: called after each shard with (outcome, shards done, shards to do).

    Raises:
        ValueError: Ray is not installed, or there is no cluster at the address.
    """
    # Workers run elsewhere: relative folders would be theirs.
    assets = job.people.assets and job.people.assets.absolute()
    job = replace(job, out=job.out.absolute(), people=replace(job.people, assets=assets))
    tasks = job.missing_shards()
    rows = [{"shard": str(path), "start": seeds.start, "stop": seeds.stop} for path, seeds in tasks]
    outcomes: list[ShardOutcome] = []
    for row in map_on_ray(rows, _Renderer, (job,), address, workers) if rows else ():
        failures = [line for line in str(row["failures"]).split("\n") if line]
        outcomes.append(ShardOutcome(Path(row["shard"]), int(row["subjects"]), failures))
        if report is not None:
            report(outcomes[-1], len(outcomes), len(tasks))
    return outcomes
