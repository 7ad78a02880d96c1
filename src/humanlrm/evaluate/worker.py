"""One worker of an evaluation: measures a subject and writes its part file."""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from humanlrm.evaluate.case import Case, Method, SeveralMethod
from humanlrm.evaluate.case_builder import CaseBuilder
from humanlrm.evaluate.methods import open_method
from humanlrm.evaluate.plan import EXACT_LANDMARKS, Corruption, EvaluationPlan, conditions
from humanlrm.evaluate.renderer import Viewpoint
from humanlrm.evaluate.report.rows import Row
from humanlrm.evaluate.report.strips import save_case, strip_path
from humanlrm.evaluate.scores import QuickScorer, Scorer
from humanlrm.evaluate.sources import Unit, open_scan
from humanlrm.files import write_text
from humanlrm.people.generate import VALIDATION_SEED
from humanlrm.photo.blazepose import PoseDetector

#: Of this many subjects per set the corrupted photographs are kept as strips, too.
_STRIPS_PER_SET = 3


class Worker:
    """Measures units one after the other; holds the methods, the detector and the scorer.

    Args:
        out: folder of the evaluation.
        threads: of this worker; 0: all cores.
    """

    def __init__(self, plan: EvaluationPlan, out: Path, threads: int = 1) -> None:
        if threads:
            torch.set_num_threads(threads)
        self.plan, self.out = plan, out
        self.detector = PoseDetector(threads, careful=True)
        quick = QuickScorer(plan.alignment, threads or -1)
        self.score = quick if plan.quick else Scorer(plan.alignment, plan.shooting.points)
        self.methods: dict[str, Method | SeveralMethod] = {
            name: open_method(name, plan.weights, plan.resolution, plan.command) for name in plan.methods
        } | {method.name: method.make(plan.resolution) for method in plan.outside}

    def __call__(self, unit: Unit) -> Path:
        """Measure a unit and write its part file; return the path."""
        rows: list[Row] = []
        try:
            for number, case in enumerate(self._cases(unit)):
                if isinstance(case, Row):
                    rows += [replace(case, method=name) for name in self.methods]
                else:
                    rows += [self._measure(unit, number, name, case) for name in self.methods]
        except (ValueError, OSError, FloatingPointError, np.linalg.LinAlgError) as error:
            lost = Row(unit.set, unit.subject, unit.person, 0.0, Corruption(self.plan.protocols[0]), False, "")
            rows = [replace(lost, method=name, failure=_one_line(error)) for name in self.methods]
        return write_text(part_path(self.out, unit), json.dumps([asdict(row) for row in rows]))

    def _cases(self, unit: Unit) -> Iterator[Case | Row]:
        """Cases, and a row of failure for each photograph that shows nobody."""
        builder = CaseBuilder(unit, open_scan(self.plan.sources, unit), self.detector, self.plan.shooting)
        if self.plan.quick:
            yield builder.hand_held()
            return
        if unit.photo is not None:
            yield builder.pair()
            return
        for view, condition in self._photographs(unit):
            try:
                yield builder.level(view, condition)
            except ValueError as error:
                yield Row(*builder.names, view.yaw_deg, condition, False, "", failure=_one_line(error))

    def _photographs(self, unit: Unit) -> Iterator[tuple[Viewpoint, Corruption]]:
        yaws = [360 * k / self.plan.views for k in range(self.plan.views)]
        for protocol in self.plan.protocols:
            sides = yaws if protocol == "plain" else [yaws[unit.seed % len(yaws)]]
            for yaw in sides:
                for condition in self._drawn(protocol, unit.seed):
                    yield Viewpoint(yaw), condition

    def _drawn(self, protocol: str, seed: int) -> list[Corruption]:
        """All conditions of a protocol, or some by turns. Its clean photo is left out if it is a plain one, too."""
        draws, (clean, *others) = self.plan.draws, conditions(protocol)
        if draws is None or not others:
            return [clean, *others]
        chosen = [others[(seed * draws + k) % len(others)] for k in range(min(draws, len(others)))]
        is_plain = protocol not in EXACT_LANDMARKS and "plain" in self.plan.protocols
        return chosen if is_plain else [clean, *chosen]

    def _measure(self, unit: Unit, number: int, name: str, case: Case) -> Row:
        row = Row(case.set, case.subject, case.person, case.yaw_deg, case.condition, case.frontal_standing, name)
        if not self.plan.quick:
            case.truth.pictures  # noqa: B018  Rendered before the clock starts: some methods look at them.
        scored, failure, start = [], "", _cpu_s()
        try:
            predicted = self.methods[name](case)
            seconds = _cpu_s() - start
            scored = [self.score(case, mesh) for mesh in (predicted if isinstance(predicted, tuple) else (predicted,))]
        except (ValueError, OSError, RuntimeError, TimeoutError) as error:
            failure = _one_line(error)
        kept = case.condition.protocol == "plain" or number == 0 or unit.seed - VALIDATION_SEED < _STRIPS_PER_SET
        if kept and not self.plan.quick:
            save_case(case, scored[0] if scored else None, strip_path(self.out, case, name))
        if not scored:
            return replace(row, failure=failure)
        values = {key: float(np.mean([score.values[key] for score in scored])) for key in scored[0].values}
        return replace(row, values={**values, "cpu_s": seconds})


class UnitMapper:
    """A worker for plain rows, as an actor of a cluster gets them; it loads the models once.

    The folder ``out`` must be shared by all machines.
    """

    def __init__(self, plan: EvaluationPlan, out: Path) -> None:
        self.worker = Worker(plan, out)

    def __call__(self, row: dict) -> dict:
        """From a row of :func:`unit_row` to ``{"part": path}``."""
        path = Path(row["path"]) if row["path"] else None
        return {"part": str(self.worker(Unit(**{**row, "seed": int(row["seed"]), "path": path})))}


def unit_row(unit: Unit) -> dict:
    """A unit as plain values."""
    return {**vars(unit), "path": "" if unit.path is None else str(unit.path.resolve())}


def part_path(out: Path, unit: Unit) -> Path:
    """The file of a unit's rows."""
    return out / "parts" / f"{unit.stem}.json"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _cpu_s() -> float:
    """Seconds of all cores that this process and the programs that it has run have taken."""
    return sum(os.times()[:4])
