"""The rendering job on a Ray cluster: a Ray Data dataset of shards, rendered as on one machine."""

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from humanlrm.people.generate import ShardOutcome, ShardRenderer
from humanlrm.people.job import PeopleJob


class _Renderer:
    """A Ray actor's shards."""

    def __init__(self, job: PeopleJob) -> None:
        self.renderer = ShardRenderer(job)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        outcome = self.renderer(Path(row["shard"]), range(int(row["start"]), int(row["stop"])))
        return {"shard": str(outcome.shard), "subjects": outcome.subjects, "failures": "\n".join(outcome.failures)}


def run_on_ray(
    job: PeopleJob, address: str, workers: int = 1, report: Callable[[ShardOutcome, int, int], None] | None = None
) -> list[ShardOutcome]:
    """Renders the shards that do not exist yet on a Ray cluster; ``job.out`` and the assets are folders that all
    its machines share.

    Args:
        address: of the cluster, e.g. "auto" or "ray://head:10001"; "local" starts one on this machine.
        workers: Ray actors of one core each.
        report: called after each shard with (outcome, shards done, shards to do).

    Raises:
        ValueError: Ray is not installed, or there is no cluster at the address.
    """
    if importlib.util.find_spec("ray") is None:
        raise ValueError("people: --ray needs Ray; pip install 'humanlrm[cluster]'")
    import ray  # pyright: ignore[reportMissingImports]
    import ray.data  # pyright: ignore[reportMissingImports]

    # Workers run elsewhere: relative folders would be theirs.
    assets = job.people.assets and job.people.assets.absolute()
    job = replace(job, out=job.out.absolute(), people=replace(job.people, assets=assets))
    tasks = job.missing_shards()
    if not tasks:
        return []
    try:
        if address == "local":
            ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False)
        else:
            ray.init(address=address, log_to_driver=False)
    except (ConnectionError, ValueError) as error:
        raise ValueError(f"people: no Ray cluster at {address!r} ({error}); start one, or use --ray local") from error
    outcomes: list[ShardOutcome] = []
    try:
        rows = [{"shard": str(path), "start": seeds.start, "stop": seeds.stop} for path, seeds in tasks]
        rendered = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
            _Renderer,
            fn_constructor_args=(job,),
            num_cpus=1,
            compute=ray.data.ActorPoolStrategy(size=min(workers, len(rows))),
        )
        for row in rendered.iter_rows():
            failures = [line for line in str(row["failures"]).split("\n") if line]
            outcomes.append(ShardOutcome(Path(row["shard"]), int(row["subjects"]), failures))
            if report is not None:
                report(outcomes[-1], len(outcomes), len(tasks))
    finally:
        ray.shutdown()
    return outcomes
