"""The ablation table: small models that differ in one thing, trained alike on the same data, measured alike."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from humanlrm.data.settings import SampleSettings
from humanlrm.data.shards import Mixture, ShardFolder
from humanlrm.evaluate.plan import EvaluationPlan, Sources
from humanlrm.evaluate.report.rows import Row, count_failures, summarize
from humanlrm.evaluate.run import run
from humanlrm.evaluate.scores import METRIC
from humanlrm.evaluate.study import VARIANTS, Study, Variant
from humanlrm.files import write_text
from humanlrm.model.pretrained import save_pretrained
from humanlrm.train.checkpoint import load_averaged_weights
from humanlrm.train.config import RenderSchedule, StepSettings, TrainConfig
from humanlrm.train.hooks import SaveCheckpoints
from humanlrm.train.loop import train
from humanlrm.train.processes import own_group
from humanlrm.train.setup import setup, training_batches
from humanlrm.train.stop import StopRequested, stop_message
from humanlrm.workers import map_tasks

#: Columns of the table; "failed" follows.
METRICS = ("chamfer_cm", "p2s_cm", "s2p_cm", "normals_abs", "psnr_front", "psnr_back", "iou_side")
#: Another column of scaling: Chamfer of photos that are cut off or have something in front.
_OCCLUDED = "occluded"
#: Such photos of each person.
_OCCLUDED_PHOTOS = 2
#: Share of the samples of a run that goes on from another.
_MORE_SHARE = 0.5
_LATTICE = 64

Figures = dict[str, float]


def study(plan: Study, out: Path, figures: Path, report: Callable[[str], None] | None = None, workers: int = 1) -> str:
    """Train and measure the rows that are missing in ``figures``; return the table (Markdown) of all rows and seeds.

    It can be interrupted at any time. With ``figures`` alone it goes on on another machine, if the people are the same.

    Args:
        out: folder of runs and weights.
        figures: file of the measurements (JSON), written after each row, or with several processes after the rows
            that start from each other.
        report: called with a line for each row and seed that has been measured.
        workers: processes, each of which computes with one thread. With 1 no process is started.

    Raises:
        ValueError: no readable data, or ``figures`` or ``out`` holds another study.
        StopRequested: by SIGTERM or SIGINT; a row that is not finished is not measured.
    """
    if workers < 1:
        raise ValueError(f"workers must be positive, got {workers}")
    settings, variants = _settings(plan), _variants(plan)
    measured: dict[tuple[str, int], Figures] = {
        (row["variant"], row["seed"]): row["figures"] for row in _read_study(figures, settings).get("rows", [])
    }
    chains = [(chain, seed) for seed in plan.seeds for chain in _chains(variants)]
    chains = [(chain, seed) for chain, seed in chains if any((v.name, seed) not in measured for v in chain)]
    if chains:
        _read_study(out / "study.json", settings)
        write_text(out / "study.json", json.dumps({"study": settings}, indent=1))
    for name, seed, values in _measure_all(plan, out, chains, workers):
        measured[name, seed] = values
        rows = [{"variant": n, "seed": s, "figures": f} for (n, s), f in sorted(measured.items())]
        write_text(figures, json.dumps({"study": settings, "rows": rows}, indent=1))
        if report is not None:
            report(f"{name}, seed {seed}: Chamfer {values['chamfer_cm']:.2f} cm")
    return table(plan, {v.name: [measured[v.name, seed] for seed in plan.seeds] for v in variants})


def _variants(plan: Study) -> list[Variant]:
    """The rows for which there are data."""
    count, has_captures = len(ShardFolder(plan.data)), plan.captures is not None
    variants = [v for v in VARIANTS[plan.rows] if has_captures or not v.captures]
    return [v for v in variants if v.people is None or v.people <= count]


def _settings(plan: Study) -> dict[str, Any]:
    """The settings that decide the figures of a row and a seed: people instead of folders, and no seeds."""
    content = {k: v for k, v in asdict(plan).items() if k not in ("data", "captures", "seeds", "rows")}
    content["people"], content["measured"] = _describe_people(plan.data), plan.people
    if plan.rows != "parts":
        content["rows"] = plan.rows
    content["captures"] = None if plan.captures is None else _describe_people(plan.captures)
    return content


def _describe_people(folder: Path) -> str:
    """The number of people in a folder of shards, and a hash of their names."""
    names = [entry.key for entry in ShardFolder(folder).entries]
    return f"{len(names)} people, {hashlib.sha256(' '.join(sorted(names)).encode()).hexdigest()[:16]}"


def _read_study(path: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """The content of a file of this study, empty if the file is missing.

    Raises:
        ValueError: it is of another study.
    """
    content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"study": settings}
    if not isinstance(content, dict) or content.get("study") != settings:
        raise ValueError(f"{path} holds another study; choose another place")
    return content


def _chains(variants: list[Variant]) -> list[list[Variant]]:
    """Rows one after the other that start from the first one's weights; a row that starts from nothing begins one."""
    chains = {v.name: [v] for v in variants if v.after is None}
    for variant in variants:
        if variant.after is not None:
            chains[variant.after].append(variant)
    return list(chains.values())


def _measure_all(
    plan: Study, out: Path, chains: list[tuple[list[Variant], int]], workers: int
) -> Iterator[tuple[str, int, Figures]]:
    if workers == 1:
        for chain, seed in chains:
            yield from _measure_chain(plan, chain, seed, out)
        return
    # The longest first: none is left over for one process at the end.
    chains = sorted(chains, key=lambda chain: -len(chain[0]))
    for _, rows in map_tasks(_ChainWorker, (plan, out), chains, workers):
        yield from rows


class _ChainWorker:
    """One process's share of a study."""

    def __init__(self, plan: Study, out: Path) -> None:
        torch.set_num_threads(1)
        self.plan, self.out = plan, out

    def __call__(self, chain: tuple[list[Variant], int]) -> list[tuple[str, int, Figures]]:
        return list(_measure_chain(self.plan, *chain, self.out))


def _measure_chain(plan: Study, chain: list[Variant], seed: int, out: Path) -> Iterator[tuple[str, int, Figures]]:
    """Train the rows that have no weights yet, and measure each on one frontal photo of each person."""
    for variant in chain:
        folder = _folder(out, variant.name, seed)
        weights = folder / "weights"
        if not (weights / "model.safetensors").is_file():
            _train(plan, variant, seed, out)
        protocols = ("plain", "occlusion") if plan.rows == "scaling" else ("plain",)
        evaluation = EvaluationPlan(
            Sources(count=plan.people),
            protocols=protocols,
            views=1,
            draws=_OCCLUDED_PHOTOS,
            weights=weights,
            resolution=_LATTICE,
        )
        yield variant.name, seed, _figures(run(evaluation, folder / "evaluation").rows)


def _folder(out: Path, name: str, seed: int) -> Path:
    return out / f"{'-'.join(''.join(c if c.isalnum() else ' ' for c in name).split())}-{seed}"


def _train(plan: Study, variant: Variant, seed: int, out: Path) -> None:
    folder, data = _folder(out, variant.name, seed), ShardFolder(plan.data)
    data.entries = data.entries[:: variant.every][: variant.people]
    if variant.captures and plan.captures is not None:
        data = Mixture([(data, 2.0), (ShardFolder(plan.captures), 1.0)])
    config = variant.config(plan.base)
    samples = plan.samples if variant.after is None else max(1, int(plan.samples * _MORE_SHARE))
    schedule = TrainConfig(
        samples=samples,
        batch=plan.batch,
        seed=seed,
        bf16=plan.bf16,
        steps=StepSettings(warmup=max(1, samples // 10)),
        initial=None if variant.after is None else _folder(out, variant.after, seed) / "weights",
        # Captures teach by renderings alone.
        draw=SampleSettings(augment=variant.augment),
        rendering=RenderSchedule() if variant.rendering or variant.captures else None,
    )
    with own_group():
        state = setup(config, schedule, data, folder / "run")
        train(state, training_batches(state, data), [SaveCheckpoints()])
    _, weights, state = load_averaged_weights(folder / "run")
    if state.seen < samples:
        raise StopRequested(f"{variant.name}: {stop_message(state.seen, samples)}")
    save_pretrained(folder / "weights", config, weights)


def _figures(rows: list[Row]) -> Figures:
    """Means of the metrics over the plain photos, of Chamfer over the occluded ones, and the share that failed."""
    plain = [row for row in rows if row.condition.protocol == "plain"]
    occluded = [row for row in rows if row.condition.protocol != "plain" and row.condition.kind != "clean"]
    means = {name: summarize(plain, name) for name in METRICS}
    if occluded:
        means[_OCCLUDED] = summarize(occluded, "chamfer_cm")
    values = {name: float("nan") if mean is None else mean.mean for name, mean in means.items()}
    return values | {"failed": count_failures(rows) / max(1, len(rows))}


def table(plan: Study, figures: dict[str, list[Figures]]) -> str:
    """Markdown: means over the seeds, the largest difference of a seed from them, and the conditions."""
    is_scaling = plan.rows == "scaling"
    columns = [(name, METRIC[name].title, METRIC[name].digits) for name in METRICS]
    columns += [(_OCCLUDED, "Chamfer cm, occluded", METRIC["chamfer_cm"].digits)] if is_scaling else []
    lines = [
        "# Scaling" if is_scaling else "# Ablations",
        "",
        f"Written by `humanlrm ablate{' --rows scaling' if is_scaling else ''}`; do not edit.",
        "",
        f"The paper's architecture with the frozen encoder of `small` (`evaluate.study.plain`), {plan.samples:,} "
        f"samples at batch {plan.batch}{' in bfloat16' if plan.bf16 else ''}, seeds "
        f"{', '.join(map(str, plan.seeds))}; {plan.people} held-out procedural people, one "
        "frontal photo each, exact mask, detected landmarks, scale and translation aligned. Means over the seeds, and "
        "the largest difference of a seed from them."
        f"{_about_rows(plan)}",
        "",
        f"| variant | {' | '.join(title for _, title, _ in columns)} | failed |",
        f"|{'---|' * (len(columns) + 2)}",
    ]
    for variant, seeds in figures.items():
        cells = [_cell([values[name] for values in seeds], digits) for name, _, digits in columns]
        lines.append(f"| {variant} | {' | '.join(cells)} | {np.mean([values['failed'] for values in seeds]):.0%} |")
    return "\n".join(lines) + "\n"


def _about_rows(plan: Study) -> str:
    if plan.rows == "parts":
        return " Rows that are trained on see half as many samples more."
    return (
        f" All rows have pixel features, depth prior and landmarks, and are trained on all "
        f"{len(ShardFolder(plan.data))} people, unless they say otherwise."
    )


def _cell(values: list[float], digits: int) -> str:
    mean = float(np.mean(values))
    if len(values) == 1:
        return f"{mean:.{digits}f}"
    return f"{mean:.{digits}f} ± {max(abs(v - mean) for v in values):.{digits}f}"
