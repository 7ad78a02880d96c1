"""Systems of the comparison: ours, the trained rivals, per-image fields, floors and programs; measured one by one."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from humanlrm.evaluate.case import Method
from humanlrm.evaluate.plan import PLAIN, PROGRAM, TEXTURED, EvaluationPlan, OutsideMethod, check_choice
from humanlrm.evaluate.report.rows import Row
from humanlrm.evaluate.run import run
from humanlrm.files import sha256
from humanlrm.model.describe import count_parameters
from humanlrm.model.history import read_history
from humanlrm.model.pretrained import SHIPPED, from_pretrained
from humanlrm.rivals.kinds import RIVALS, UNTRAINED, kind_of
from humanlrm.rivals.plan import Comparison
from humanlrm.rivals.training import open_trained, read_record, weights_hash

#: Floors and the oracle of ``evaluate.baselines``, and their titles.
_FLOORS = {
    "inflated": "inflated silhouette (floor)",
    "mean-body": "mean body (floor)",
    "visual-hull": "visual hull of four views (oracle)",
}
_UNTRAINED_TITLES = {"nerf-one": "per-image field, one view", "nerf-four": "per-image field, four views (oracle)"}
#: Rows that see more than the photo, and their titles.
_ROW_TITLES = {
    "hybrid-landmarks-body": "the same, body fitted to the detected landmarks",
    "hybrid-true-body": "the same, true body (oracle)",
}
_HASH_LETTERS = 8


@dataclass(frozen=True)
class TrainedRow(OutsideMethod):
    """A row of a trained rival.

    Attributes:
        run: the rival's run.
        weights_sha256: of its weights: a run that has learned more is measured again.
    """

    run: Path
    weights_sha256: str

    def make(self, resolution: int) -> Method:
        network, _ = open_trained(self.run)
        return kind_of(read_record(self.run).name).rows[self.name](network, resolution)


@dataclass(frozen=True)
class UntrainedRow(OutsideMethod):
    """A row without training."""

    def make(self, resolution: int) -> Method:
        return UNTRAINED[self.name](resolution)


@dataclass(frozen=True)
class System:
    """One row of the comparison.

    Attributes:
        name: of the method in its rows.
        title: in the tables.
        method: name of a method of the evaluation, or a method from here.
        parameters: of its networks, frozen ones included; ``None``: unknown, or it has none.
        core_hours: of training; ``None``: unknown, or it is not trained.
        samples: photos that it saw in training; ``None``: as above.
        command: of a program.
        fitted: subjects of each set on whose plain photos alone it is measured, because it takes minutes per photo;
            ``None``: on all photos.
    """

    name: str
    title: str
    method: str | OutsideMethod
    parameters: int | None = None
    core_hours: float | None = None
    samples: int | None = None
    command: str | None = None
    fitted: int | None = None

    @property
    def measured_as(self) -> str:
        """Name of the method in its own evaluation: all programs have the same."""
        return self.name if isinstance(self.method, OutsideMethod) else self.method


def find_systems(comparison: Comparison) -> list[System]:
    """The systems of a comparison, ours first.

    Raises:
        ValueError: a damaged run, a run without a checkpoint, or a name that no system has.
    """
    systems = [*_ours(comparison.weights or SHIPPED), *_trained(comparison.runs)]
    systems += [
        System(name, _UNTRAINED_TITLES[name], UntrainedRow(name), fitted=comparison.fitted) for name in UNTRAINED
    ]
    systems += [System(name, title, name) for name, title in _FLOORS.items()]
    systems += [System(name, f"{name} (program)", PROGRAM, command=command) for name, command in comparison.commands]
    names = [system.name for system in systems]
    for name in comparison.systems:
        check_choice("system", name, names)
    wanted = {PLAIN, *comparison.systems} if comparison.systems else set(names)
    return [system for system in systems if system.name in wanted]


def _ours(weights: Path) -> list[System]:
    model = from_pretrained(weights)
    history = read_history(weights)
    hours, samples = (sum(getattr(stage, name) for stage in history) or None for name in ("core_hours", "samples"))
    count = count_parameters(model)
    rows = [System(PLAIN, "ours, shipped weights", PLAIN, count, hours, samples)]
    if model.landmark_head is not None:
        rows.append(System(TEXTURED, "ours, saved colors", TEXTURED))
    return rows


def _trained(runs: Path) -> list[System]:
    """A system for each row of each run, in the order of the rivals."""
    systems = []
    for folder in sorted(path.parent for path in runs.glob("*/rival.json")):
        record = read_record(folder)
        kind = kind_of(record.name)
        _, counters = open_trained(folder)
        weights_sha256 = weights_hash(folder)
        for name in kind.rows:
            method = TrainedRow(name, folder, weights_sha256)
            title = _ROW_TITLES.get(name, kind.title)
            systems.append(System(name, title, method, record.parameters, counters.seconds / 3600, counters.seen))
    order = {name: place for place, name in enumerate(_row_order())}
    return sorted(systems, key=lambda system: order[system.name])


def _row_order() -> list[str]:
    """Rows of all rivals, our model with their budget first."""
    names = [name for kind in RIVALS.values() for name in kind.rows]
    return sorted(names, key=lambda name: name != "ours-same-budget")


def evaluation_of(system: System, plan: EvaluationPlan) -> EvaluationPlan:
    """The shared evaluation with this system as its only method."""
    if system.fitted is not None:
        limit = min(system.fitted, plan.sources.limit or system.fitted)
        plan = replace(plan, protocols=("plain",), sources=replace(plan.sources, limit=limit))
    if isinstance(system.method, OutsideMethod):
        return replace(plan, methods=(), outside=(system.method,), weights=None)
    return replace(plan, methods=(system.method,), command=system.command)


def evaluation_folder(system: System, plan: EvaluationPlan, out: Path) -> Path:
    """Folder of a system's measurements: another one for other weights and other photos."""
    own = evaluation_of(system, plan)
    weights = sha256(own.weights / "model.safetensors") if own.weights is not None else ""
    text = repr((replace(own, weights=None, sources=replace(own.sources, count=None, limit=None)), weights))
    return out / f"{system.name}-{hashlib.sha256(text.encode()).hexdigest()[:_HASH_LETTERS]}"


def measure(
    system: System,
    plan: EvaluationPlan,
    out: Path,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> list[Row]:
    """Measure the photos that are not measured yet by ``evaluate.run``; return the rows of all.

    Raises:
        ValueError: a set cannot be opened.
    """
    folder = evaluation_folder(system, plan, out)
    report = run(evaluation_of(system, plan), folder, workers, progress=progress)
    return [replace(row, method=system.name) for row in report.rows]
