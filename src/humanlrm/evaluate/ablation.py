"""The ablation table: small models that differ in one thing, trained alike on the same data, measured alike."""

import hashlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import as_completed
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from humanlrm.data.shards import Mixture, ShardFolder
from humanlrm.evaluate.report import failed
from humanlrm.evaluate.rows import Row, summary
from humanlrm.evaluate.run import EvaluationPlan, run
from humanlrm.evaluate.sources import Sources
from humanlrm.files import write_text
from humanlrm.model.config import PaperConfig
from humanlrm.model.pretrained import save_pretrained
from humanlrm.train.checkpoint import averaged_weights
from humanlrm.train.config import TrainConfig
from humanlrm.train.loop import TrainingStopped, train
from humanlrm.train.render_config import RenderSchedule
from humanlrm.train.stop import stopped
from humanlrm.workers import processes

METRICS = {"chamfer_cm": 2, "p2s_cm": 2, "s2p_cm": 2, "normals_abs": 3, "psnr_front": 1, "psnr_back": 1, "iou_side": 3}
_TITLES = ("Chamfer cm", "P2S cm", "S2P cm", "NC", "PSNR front dB", "PSNR back dB", "IoU side")
#: Every how many people a tenth of the data keeps, and the share of the samples that a second run sees.
_TENTH, _MORE = 10, 0.5


def plain() -> PaperConfig:
    """The paper's architecture with the encoder and about the size of ``small``: what the rows start from."""
    return PaperConfig(
        encoder="lite",
        image_px=256,
        camera_width=128,
        width=192,
        depth=4,
        heads=3,
        plane_side=16,
        bottleneck=16,
        upsample_width=64,
        plane_channels=24,
        field_width=64,
        field_depth=4,
        latent=32,
        lifter_width=256,
        lifter_depth=2,
    )


@dataclass(frozen=True)
class Variant:
    """A row of the table.

    Attributes:
        name: as printed.
        flags: what differs from the base configuration.
        tenth: trained on every tenth person.
        captures: a third of the samples are of the folder of captures.
        after: name of the row whose weights it starts from, for half as many samples more.
        rendering: with rendering losses.
    """

    name: str
    flags: dict[str, bool | str]
    tenth: bool = False
    captures: bool = False
    after: str | None = None
    rendering: bool = False


_ALL: dict[str, bool | str] = {"pixel_features": True, "depth_prior": True, "landmarks": True}
VARIANTS = (
    Variant("SDF field (paper)", {}),
    Variant("density field (LRM)", {"field": "density"}),
    Variant("+ pixel features", {"pixel_features": True}),
    Variant("+ depth prior", {"depth_prior": True}),
    Variant("+ landmarks", {"landmarks": True}),
    Variant("all three", _ALL),
    Variant("all three, a tenth of the people", _ALL, tenth=True),
    Variant("all three, rendering losses from the start", _ALL, rendering=True),
    Variant("all three, rendering losses, scans and captures", _ALL, captures=True),
    Variant("all three, trained on", _ALL, after="all three"),
    Variant("all three, trained on with rendering losses", _ALL, after="all three", rendering=True),
)


@dataclass(frozen=True)
class Study:
    """What is trained and measured.

    Attributes:
        data: folder of shards of scans.
        captures: folder of shards of captures; without it that row is left out.
        base: configuration that the rows vary.
        samples: that each model sees.
        batch: samples of a step.
        people: held-out procedural people that each model is measured on, one photo each.
        seeds: of the runs; figures are means over them.
        bf16: as in training (``train.config``).
    """

    data: Path
    captures: Path | None = None
    base: PaperConfig = field(default_factory=plain)
    samples: int = 6_000
    batch: int = 8
    people: int = 24
    seeds: tuple[int, ...] = (0, 1, 2)
    bf16: bool = False

    def __post_init__(self) -> None:
        if min(self.samples, self.batch, self.people) < 1 or not self.seeds:
            raise ValueError(
                f"an ablation needs samples, a batch, people and seeds; "
                f"got {self.samples}, {self.batch}, {self.people} and {self.seeds}"
            )

    def settings(self) -> dict[str, Any]:
        """What decides the figures of a row and a seed: all but where the data lies and which seeds there are."""
        content = {k: v for k, v in asdict(self).items() if k not in ("data", "captures", "seeds")}
        content["people"], content["measured"] = _named(self.data), self.people
        content["captures"] = None if self.captures is None else _named(self.captures)
        return content

    @property
    def variants(self) -> tuple[Variant, ...]:
        return tuple(v for v in VARIANTS if self.captures is not None or not v.captures)


def study(plan: Study, out: Path, figures: Path, report: Callable[[str], None] | None = None, workers: int = 1) -> str:
    """Trains and measures what is missing in ``figures``; returns the table (Markdown) of all rows and seeds.

    Can be interrupted at any time, and goes on on another machine with ``figures`` alone, if the people are the same.

    Args:
        out: folder of runs and weights.
        figures: file of what was measured (JSON), written after each row, or with several processes after the rows
            that start from each other.
        report: told each row and seed when it is measured.
        workers: processes; each computes with one thread. With 1 no process is started.

    Raises:
        ValueError: no readable data, or ``figures`` or ``out`` holds another study.
        TrainingStopped: by SIGTERM or SIGINT; a row that is not finished is not measured.
    """
    if workers < 1:
        raise ValueError(f"workers must be positive, got {workers}")
    settings = plan.settings()
    found = {(row["variant"], row["seed"]): row["figures"] for row in _of_study(figures, settings).get("rows", [])}
    chains = [(chain, seed) for seed in plan.seeds for chain in _chains(plan.variants)]
    chains = [(chain, seed) for chain, seed in chains if any((v.name, seed) not in found for v in chain)]
    if chains:
        _of_study(out / "study.json", settings)
        out.mkdir(parents=True, exist_ok=True)
        write_text(out / "study.json", json.dumps({"study": settings}, indent=1))
    for name, seed, measured in _measure_all(plan, out, chains, workers):
        found[name, seed] = measured
        rows = [{"variant": n, "seed": s, "figures": f} for (n, s), f in sorted(found.items())]
        write_text(figures, json.dumps({"study": settings, "rows": rows}, indent=1))
        if report is not None:
            report(f"{name}, seed {seed}: Chamfer {measured['chamfer_cm']:.2f} cm")
    return table(plan, {v.name: [found[v.name, seed] for seed in plan.seeds] for v in plan.variants})


def _of_study(path: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """What a file of a study holds; nothing if it is not there. ValueError if it is another study's."""
    content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"study": settings}
    if not isinstance(content, dict) or content.get("study") != settings:
        raise ValueError(f"{path} holds another study; choose another place")
    return content


def _measure_all(
    plan: Study, out: Path, chains: list[tuple[list[Variant], int]], workers: int
) -> Iterator[tuple[str, int, dict[str, float]]]:
    if workers == 1 or not chains:
        for chain, seed in chains:
            for variant in chain:
                yield variant.name, seed, _measured(plan, variant, seed, out)
        return
    # The longest first: none is left over for one process at the end.
    chains = sorted(chains, key=lambda one: -len(one[0]))
    with processes(min(workers, len(chains)), torch.set_num_threads, (1,)) as pool:
        tasks = [pool.submit(_measured_chain, plan, chain, seed, out) for chain, seed in chains]
        for task in as_completed(tasks):
            yield from task.result()


def _chains(variants: tuple[Variant, ...]) -> list[list[Variant]]:
    """Rows one after the other that start from the first one's weights; a row that starts from nothing begins one."""
    begun = {v.name: [v] for v in variants if v.after is None}
    for variant in variants:
        if variant.after is not None:
            begun[variant.after].append(variant)
    return list(begun.values())


def _measured_chain(plan: Study, chain: list[Variant], seed: int, out: Path) -> list[tuple[str, int, dict[str, float]]]:
    return [(variant.name, seed, _measured(plan, variant, seed, out)) for variant in chain]


def _named(folder: Path) -> str:
    """How many people a folder of shards holds, and a hash of their names."""
    names = [entry.key for entry in ShardFolder(folder).entries]
    return f"{len(names)} people, {hashlib.sha256(' '.join(sorted(names)).encode()).hexdigest()[:16]}"


def _folder(out: Path, name: str, seed: int) -> Path:
    return out / f"{'-'.join(''.join(c if c.isalnum() else ' ' for c in name).split())}-{seed}"


def _measured(plan: Study, variant: Variant, seed: int, out: Path) -> dict[str, float]:
    folder = _folder(out, variant.name, seed)
    weights = folder / "weights"
    if not (weights / "model.safetensors").is_file():
        _train(plan, variant, seed, out, folder)
    sources = Sources(("procedural-val",), plan.people)
    rows = run(EvaluationPlan(sources, views=1, weights=weights, resolution=64), folder / "evaluation")
    return _means(rows)


def _train(plan: Study, variant: Variant, seed: int, out: Path, folder: Path) -> None:
    scans = ShardFolder(plan.data)
    if variant.tenth:
        scans.entries = scans.entries[::_TENTH]
    data = scans
    if variant.captures and plan.captures is not None:
        data = Mixture([(scans, 2.0), (ShardFolder(plan.captures), 1.0)])
    config = replace(plan.base, **variant.flags)  # pyright: ignore[reportArgumentType]
    samples = plan.samples if variant.after is None else max(1, int(plan.samples * _MORE))
    schedule = TrainConfig(
        samples=samples,
        batch=plan.batch,
        seed=seed,
        bf16=plan.bf16,
        warmup=max(1, samples // 10),
        picture_every=10**9,
        # What a capture teaches it teaches by renderings.
        rendering=RenderSchedule() if variant.rendering or variant.captures else None,
    )
    initial = None if variant.after is None else _folder(out, variant.after, seed) / "weights"
    train(config, schedule, data, folder / "run", initial=initial)
    _, weights, state = averaged_weights(folder / "run")
    if state.seen < samples:
        raise TrainingStopped(f"{variant.name}: {stopped(state.seen, samples)}")
    save_pretrained(folder / "weights", config, weights)


def _means(rows: list[Row]) -> dict[str, float]:
    """Of the metrics over all cases, and the share that failed."""
    found = {name: summary(rows, name) for name in METRICS}
    means = {name: float("nan") if one is None else one.mean for name, one in found.items()}
    return means | {"failed": failed(rows) / max(1, len(rows))}


def table(plan: Study, figures: dict[str, list[dict[str, float]]]) -> str:
    """Markdown: means over the seeds, the largest distance of a seed from it, and what was done."""
    lines = [
        "# Ablations",
        "",
        "Written by `humanlrm ablate`; do not edit.",
        "",
        f"The paper's architecture with the frozen encoder of `small` (`ablations.plain`), {plan.samples:,} samples at "
        f"batch {plan.batch}{' in bfloat16' if plan.bf16 else ''}, seeds {', '.join(map(str, plan.seeds))}; "
        f"{plan.people} held-out procedural people, one "
        "frontal photo each, exact mask, detected landmarks, scale and translation aligned. Means over the seeds, and "
        "the largest difference of a seed from them. Rows that are trained on see half as many samples more.",
        "",
        f"| variant | {' | '.join(_TITLES)} | failed |",
        f"|{'---|' * (len(_TITLES) + 2)}",
    ]
    for name, found in figures.items():
        cells = [_cell([one[metric] for one in found], digits) for metric, digits in METRICS.items()]
        lost = np.mean([one["failed"] for one in found])
        lines.append(f"| {name} | {' | '.join(cells)} | {lost:.0%} |")
    return "\n".join(lines) + "\n"


def _cell(values: list[float], digits: int) -> str:
    mean = float(np.mean(values))
    if len(values) == 1:
        return f"{mean:.{digits}f}"
    return f"{mean:.{digits}f} ± {max(abs(v - mean) for v in values):.{digits}f}"
