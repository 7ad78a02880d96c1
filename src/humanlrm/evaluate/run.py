"""The evaluation as a job: one part file per held-out subject, so that it can be interrupted, shared and resumed."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import as_completed
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch

from humanlrm.evaluate.case import Case, Method, SeveralMethod, Shooting, make_case, pair_case
from humanlrm.evaluate.corruptions import PROTOCOLS, Corruption, conditions
from humanlrm.evaluate.geometry import check_alignment
from humanlrm.evaluate.methods import OURS, check_methods, open_method
from humanlrm.evaluate.renderer import EvalRenderer, Viewpoint, random_lamps
from humanlrm.evaluate.rows import Row
from humanlrm.evaluate.scan_files import person_picture
from humanlrm.evaluate.scores import Scorer
from humanlrm.evaluate.sources import Sources, Unit
from humanlrm.evaluate.strips import save_strip, strip
from humanlrm.files import write_text
from humanlrm.model.pretrained import SHIPPED, read_pretrained
from humanlrm.photo.blazepose import PoseDetector
from humanlrm.workers import processes

#: Of this many subjects per set the disturbed photographs are kept as pictures too.
_SHOWN = 3


@dataclass(frozen=True)
class EvaluationPlan:
    """What is measured and how.

    Attributes:
        sources: which people.
        methods: names; "command" needs ``command``.
        protocols: "plain" is the paper's; the others disturb the photographs (``disturb.PROTOCOLS``).
        views: photographs per subject in the plain protocol, evenly spread yaws from 0; others take one of them.
        shooting: masks, landmarks and samples.
        alignment: before geometry and pictures are compared.
        resolution: lattice cells per side of our model's surface.
        weights: folder; the shipped ones if not given.
        command: program for the method "command".
    """

    sources: Sources = field(default_factory=Sources)
    methods: tuple[str, ...] = ("humanlrm",)
    protocols: tuple[str, ...] = ("plain",)
    views: int = 3
    shooting: Shooting = field(default_factory=Shooting)
    alignment: str = "scale+translation"
    resolution: int = 128
    weights: Path | None = None
    command: str | None = None

    def __post_init__(self) -> None:
        check_alignment(self.alignment)
        check_methods(self.methods)
        if "command" in self.methods:
            open_method("command", None, 0, self.command)
        for name in self.protocols or ("(none given)",):
            conditions(name)
        if self.views < 1:
            raise ValueError(f"views must be positive, got {self.views}")

    @property
    def uses_weights(self) -> bool:
        return any(name in OURS for name in self.methods)

    def as_json(self) -> dict:
        """What decides the numbers; which subjects are measured may grow later."""
        content = json.loads(json.dumps(asdict(self), default=str))
        for name in ("sets", "count", "poses", "scans", "ids", "pairs", "assets"):
            content["sources"].pop(name)
        weights = (self.weights or SHIPPED) / "model.safetensors"
        used = self.uses_weights and weights.is_file()
        content["weights_sha256"] = hashlib.sha256(weights.read_bytes()).hexdigest() if used else None
        return content


class Worker:
    """Measures units one after the other; holds the methods and the detector."""

    def __init__(self, plan: EvaluationPlan, out: Path) -> None:
        torch.set_num_threads(1)
        self.plan, self.out = plan, out
        self.detector = PoseDetector(threads=1, careful=True)
        self.scorer = Scorer(check_alignment(plan.alignment), plan.shooting.points)
        self.methods: dict[str, Method | SeveralMethod] = {
            name: open_method(name, plan.weights, plan.resolution, plan.command) for name in plan.methods
        }

    def __call__(self, unit: Unit) -> Path:
        """Measures a unit and writes its part file; returns its path."""
        rows: list[Row] = []
        try:
            for number, case in enumerate(self._cases(unit)):
                if isinstance(case, Row):
                    rows += [Row(**{**vars(case), "method": name}) for name in self.methods]
                else:
                    rows += [self._measure(unit, number, name, method, case) for name, method in self.methods.items()]
        except (ValueError, OSError, FloatingPointError, np.linalg.LinAlgError) as error:
            lost = Row(unit.set, unit.subject, unit.person, 0.0, Corruption(self.plan.protocols[0]), False, "")
            rows = [Row(**{**vars(lost), "method": name, "failure": _one_line(error)}) for name in self.methods]
        return write_part(self.out, unit, rows)

    def _cases(self, unit: Unit) -> Iterator[Case | Row]:
        """Cases, and rows of failure where there is nothing to show."""
        stage = EvalRenderer(self.plan.sources.scan(unit))
        names = (unit.set, unit.subject, unit.person)
        if unit.set.startswith("pairs-"):
            assert unit.path is not None
            picture = person_picture(unit.path)
            assert picture is not None
            yield pair_case(stage, names, picture, self.detector, self.plan.shooting.points)
            return
        lamps = random_lamps(np.random.default_rng([unit.seed, 13]))
        for view, condition in self._shots(unit):
            try:
                yield make_case(stage, names, view, condition, lamps, self.detector, self.plan.shooting, unit.seed)
            except ValueError as error:
                yield Row(*names, view.yaw_deg, condition, False, "", failure=_one_line(error))

    def _shots(self, unit: Unit) -> Iterator[tuple[Viewpoint, Corruption]]:
        yaws = [360 * k / self.plan.views for k in range(self.plan.views)]
        for protocol in self.plan.protocols:
            sides = yaws if protocol == "plain" else [yaws[unit.seed % len(yaws)]]
            for yaw in sides:
                for condition in conditions(protocol):
                    yield Viewpoint(yaw), condition

    def _measure(self, unit: Unit, number: int, name: str, method: Method | SeveralMethod, case: Case) -> Row:
        where = (case.set, case.subject, case.person, case.yaw_deg, case.condition, case.frontal_standing, name)
        scored, failure = [], ""
        start = _cpu_s()
        try:
            predicted = method(case)
            seconds = _cpu_s() - start
            scored = [self.scorer(case, one) for one in (predicted if isinstance(predicted, tuple) else (predicted,))]
        except (ValueError, OSError, RuntimeError, TimeoutError) as error:
            failure = _one_line(error)
        plain = case.condition.protocol == "plain"
        if plain or number == 0 or (unit.seed - self.plan.sources.first_seed) < _SHOWN:
            save_strip(strip(case, scored[0] if scored else None), strip_path(self.out, case, name))
        if not scored:
            return Row(*where, failure=failure)
        values = {key: float(np.mean([one.values[key] for one in scored])) for key in scored[0].values}
        return Row(*where, values={**values, "cpu_s": seconds})


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def strip_path(out: Path, case: Case | Row, method: str) -> Path:
    """Where the pictures of a case are kept."""
    words = f"{case.set}-{case.subject}-{case.yaw_deg:.0f}-{case.condition.name}-{method}"
    return out / "strips" / ("".join(c if c.isalnum() or c in "-_." else "_" for c in words) + ".webp")


def write_part(out: Path, unit: Unit, rows: list[Row]) -> Path:
    """The rows of a unit."""
    return write_text(out / "parts" / f"{unit.stem}.json", json.dumps([row.as_json() for row in rows]))


def read_parts(out: Path, units: list[Unit]) -> list[Row]:
    """Rows of all units that are done, in the units' order.

    Raises:
        ValueError: a part file is damaged.
    """
    rows = []
    for unit in units:
        path = out / "parts" / f"{unit.stem}.json"
        if not path.is_file():
            continue
        try:
            rows += [Row.from_json(content) for content in json.loads(path.read_text(encoding="utf-8"))]
        except ValueError as error:
            raise ValueError(f"{path} is damaged ({error}); delete it and run again") from error
    return rows


_worker: Worker | None = None


def _start(plan: EvaluationPlan, out: Path) -> None:
    global _worker
    _worker = Worker(plan, out)


def _work(unit: Unit) -> Path:
    assert _worker is not None
    return _worker(unit)


def _cpu_s() -> float:
    """Seconds of all cores that this process and the programs that it has run have taken."""
    return sum(os.times()[:4])


def prepare(plan: EvaluationPlan, out: Path) -> tuple[list[Unit], list[Unit]]:
    """All units, and those that are not done yet; makes the folder.

    Raises:
        ValueError: the folder holds parts that were measured in another way, or the weights cannot be read.
    """
    units = plan.sources.units()
    if plan.uses_weights:
        read_pretrained(plan.weights or SHIPPED)
    settings, wanted = out / "settings.json", json.dumps(plan.as_json(), indent=1)
    if settings.is_file() and settings.read_text(encoding="utf-8") != wanted:
        raise ValueError(f"{out} holds an evaluation with other settings (settings.json); choose another --out")
    for folder in (out / "parts", out / "strips"):
        folder.mkdir(parents=True, exist_ok=True)
    settings.write_text(wanted, encoding="utf-8")
    return units, [unit for unit in units if not (out / "parts" / f"{unit.stem}.json").exists()]


def run(
    plan: EvaluationPlan,
    out: Path,
    workers: int = 1,
    ray: str | None = None,
    report: Callable[[int, int], None] | None = None,
) -> list[Row]:
    """Measures the subjects that are not measured yet; returns the rows of all.

    Args:
        out: folder of parts, strips and settings.
        workers: processes; each computes with one thread. With 1 no process is started.
        ray: address of a Ray cluster ("local" starts one) that shares ``out`` as a folder.
        report: called after each subject with (subjects done, subjects in all).

    Raises:
        ValueError: another evaluation is in ``out``, or a set cannot be opened.
    """
    units, todo = prepare(plan, out)
    done = len(units) - len(todo)
    if report is not None:
        report(done, len(units))
    for _ in _finished(plan, out, todo, workers, ray):
        done += 1
        if report is not None:
            report(done, len(units))
    return read_parts(out, units)


def _finished(plan: EvaluationPlan, out: Path, todo: list[Unit], workers: int, ray: str | None) -> Iterator[Path]:
    if not todo:
        return
    if ray is not None:
        from humanlrm.evaluate.cluster import measure_on_cluster

        yield from measure_on_cluster(plan, out, todo, ray, workers)
    elif workers == 1:
        worker = Worker(plan, out)
        yield from map(worker, todo)
    else:
        with processes(workers, _start, (plan, out)) as pool:
            for future in as_completed([pool.submit(_work, unit) for unit in todo]):
                yield future.result()


def protocols_of(rows: list[Row]) -> list[str]:
    """In the order of ``PROTOCOLS``."""
    return [name for name in PROTOCOLS if any(row.condition.protocol == name for row in rows)]
