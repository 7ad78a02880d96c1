"""The same units on a Ray cluster (extra ``cluster``): Ray Data maps the worker over them."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from humanlrm.evaluate.run import EvaluationPlan, Worker
from humanlrm.evaluate.sources import Unit


class _Measure:
    """One per Ray actor: loads models once, as each process does on one machine."""

    def __init__(self, plan: EvaluationPlan, out: Path) -> None:
        self.worker = Worker(plan, out)

    def __call__(self, item: dict) -> dict:
        path = Path(item["path"]) if item["path"] else None
        return {"part": str(self.worker(Unit(**{**item, "path": path})))}


def measure_on_cluster(plan: EvaluationPlan, out: Path, todo: list[Unit], address: str, workers: int) -> Iterator[Path]:
    """Part files in the order in which they are written; ``out`` must be one folder for all machines.

    Args:
        address: of the cluster; "local" starts one here.
        workers: actors, one core each.

    Raises:
        ValueError: ray is not installed.
    """
    try:
        import ray  # pyright: ignore[reportMissingImports]
        import ray.data  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ValueError("--ray needs Ray Data: pip install 'humanlrm[cluster]'") from error
    if not ray.is_initialized():
        ray.init(address=None if address == "local" else address, num_cpus=workers if address == "local" else None)
    items = [{**asdict(unit), "path": str(unit.path or "")} for unit in todo]
    data = ray.data.from_items(items, override_num_blocks=len(items))
    done = data.map(_Measure, fn_constructor_args=(plan, out.resolve()), concurrency=workers, num_cpus=1)
    for item in done.iter_rows():
        yield Path(item["part"])
