"""The evaluation as a job: one part file per held-out subject, so that it can be interrupted, shared and resumed."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

from humanlrm.evaluate.plan import OURS, EvaluationPlan
from humanlrm.evaluate.report.report import Report
from humanlrm.evaluate.report.rows import Row
from humanlrm.evaluate.sources import Unit, find_units
from humanlrm.evaluate.worker import UnitMapper, Worker, part_path, unit_row
from humanlrm.files import write_text
from humanlrm.model.pretrained import SHIPPED, read_pretrained
from humanlrm.workers import map_tasks

#: Maps an actor class over plain rows on a cluster: (rows, class, arguments of the constructor) -> mapped rows.
Mapper = Callable[[list[dict], type, tuple], Iterable[dict]]
#: Called after each subject with (subjects done, subjects in all).
Progress = Callable[[int, int], None]


def settings_of(plan: EvaluationPlan) -> dict:
    """The settings that decide the numbers; which subjects are measured may grow later."""
    content = json.loads(json.dumps(asdict(plan), default=str))
    content.pop("sources")
    if not plan.outside:
        content.pop("outside")
    weights = (plan.weights or SHIPPED) / "model.safetensors"
    used = _uses_weights(plan) and weights.is_file()
    content["weights_sha256"] = hashlib.sha256(weights.read_bytes()).hexdigest() if used else None
    return content


def _uses_weights(plan: EvaluationPlan) -> bool:
    return any(name in OURS for name in plan.methods)


def prepare(plan: EvaluationPlan, out: Path) -> tuple[list[Unit], list[Unit]]:
    """Make the folder; return all units, and those that are not done yet.

    Raises:
        ValueError: the folder holds parts that were measured in another way, or the weights cannot be read.
    """
    units = find_units(plan.sources)
    if _uses_weights(plan):
        read_pretrained(plan.weights or SHIPPED)
    path, settings = out / "settings.json", json.dumps(settings_of(plan), indent=1)
    if path.is_file() and path.read_text(encoding="utf-8") != settings:
        raise ValueError(f"{out} holds an evaluation with other settings (settings.json); choose another --out")
    write_text(path, settings)
    return units, [unit for unit in units if not part_path(out, unit).exists()]


def run(
    plan: EvaluationPlan,
    out: Path,
    workers: int = 1,
    cluster: Mapper | None = None,
    progress: Progress | None = None,
) -> Report:
    """Measure the subjects that are not measured yet; return the report of all.

    Args:
        out: folder of parts, strips and settings.
        workers: processes, each of which computes with one thread. With 1 no process is started.
        cluster: maps the units on a cluster instead; all its machines share ``out`` as a folder.

    Raises:
        ValueError: no positive number of workers, another evaluation is in ``out``, or a set cannot be opened.
    """
    if workers < 1:
        raise ValueError(f"workers must be positive, got {workers}")
    units, todo = prepare(plan, out)
    done = len(units) - len(todo)
    if progress is not None:
        progress(done, len(units))
    for _ in _measure(plan, out, todo, workers, cluster):
        done += 1
        if progress is not None:
            progress(done, len(units))
    return Report(settings_of(plan), read_parts(out, units))


def _measure(
    plan: EvaluationPlan, out: Path, todo: list[Unit], workers: int, cluster: Mapper | None
) -> Iterator[object]:
    """One item per part that has been written."""
    if not todo:
        return
    if cluster is not None:
        yield from cluster([unit_row(unit) for unit in todo], UnitMapper, (_absolute(plan), out.resolve()))
    else:
        # The quick measure alone may take all cores; times of the full one are comparable on one.
        threads = 0 if plan.quick and workers == 1 else 1
        yield from map_tasks(Worker, (plan, out, threads), todo, workers)


def _absolute(plan: EvaluationPlan) -> EvaluationPlan:
    """The plan for workers in other folders."""
    assets = plan.sources.assets and plan.sources.assets.resolve()
    return replace(plan, weights=plan.weights and plan.weights.resolve(), sources=replace(plan.sources, assets=assets))


def read_parts(out: Path, units: list[Unit]) -> list[Row]:
    """Rows of all units that are done, in the units' order.

    Raises:
        ValueError: a part file is damaged.
    """
    rows = []
    for path in (part_path(out, unit) for unit in units):
        if not path.is_file():
            continue
        try:
            rows += [Row.from_json(content) for content in json.loads(path.read_text(encoding="utf-8"))]
        except ValueError as error:
            raise ValueError(f"{path} is damaged ({error}); delete it and run again") from error
    return rows
