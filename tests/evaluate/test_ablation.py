"""The ablation study at the size of a test: every row trains, is measured and is not done twice."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from humanlrm.cli import main
from humanlrm.evaluate.ablation import METRICS, study, table
from humanlrm.evaluate.study import VARIANTS, Study, plain
from humanlrm.model.config import PaperConfig
from humanlrm.model.lrm import build
from humanlrm.train.loop import train
from humanlrm.train.setup import training_batches
from humanlrm.train.stop import TrainingStopped

TINY = PaperConfig(
    encoder="lite",
    image_px=64,
    camera_width=16,
    width=32,
    depth=1,
    heads=2,
    plane_side=4,
    bottleneck=4,
    upsample_width=8,
    plane_channels=8,
    field_width=16,
    field_depth=1,
    latent=8,
    lifter_width=32,
    lifter_depth=1,
)


@pytest.fixture(scope="module")
def plan(shards) -> Study:
    return Study(shards, base=TINY, samples=2, batch=2, people=1, seeds=(0,))


def test_every_row_is_trained_measured_and_not_done_twice(plan, tmp_path, monkeypatch):
    """Of every kind of row one."""
    kinds = ("density", "all three", "a tenth", "trained on with rendering")
    chosen = tuple(next(v for v in VARIANTS["parts"] if kind in v.name) for kind in kinds)
    monkeypatch.setitem(VARIANTS, "parts", chosen)
    lines: list[str] = []
    figures = tmp_path / "figures.json"
    found = study(plan, tmp_path, figures, lines.append)
    rows = [line for line in found.splitlines() if line.startswith("| ") and not line.startswith("| variant")]
    assert [row.split(" | ")[0].removeprefix("| ") for row in rows] == [v.name for v in chosen]
    assert len(lines) == len(rows)
    weights = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("weights/model.safetensors")}
    assert len(weights) == len(rows)
    assert study(plan, tmp_path / "nothing", figures) == found
    assert study(plan, tmp_path / "nothing", figures, workers=2) == found
    assert not (tmp_path / "nothing").exists()
    _forget(figures, "density field (LRM)")
    shutil.rmtree(tmp_path / "density-field-LRM-0")
    assert study(plan, tmp_path, figures, workers=2) == found
    assert {path for path, made in weights.items() if path.stat().st_mtime_ns != made} == {
        tmp_path / "density-field-LRM-0" / "weights" / "model.safetensors"
    }
    with pytest.raises(ValueError, match="another study"):
        study(replace(plan, samples=4), tmp_path, figures)
    with pytest.raises(ValueError, match="another study"):  # weights of this one, too, are not another's
        study(replace(plan, samples=4), tmp_path, tmp_path / "others.json")


def _forget(figures: Path, variant: str) -> None:
    content = json.loads(figures.read_text(encoding="utf-8"))
    content["rows"] = [row for row in content["rows"] if row["variant"] != variant]
    figures.write_text(json.dumps(content), encoding="utf-8")


def test_a_row_that_was_stopped_is_not_measured_and_goes_on(plan, tmp_path, monkeypatch):
    def stopped(state, data, hooks):
        train(replace(state, config=replace(state.config, samples=2)), data, hooks)

    first = VARIANTS["parts"][0]
    monkeypatch.setitem(VARIANTS, "parts", (first,))
    longer = replace(plan, samples=4)
    with monkeypatch.context() as early:
        early.setattr("humanlrm.evaluate.ablation.train", stopped)
        with pytest.raises(TrainingStopped, match="after 2 of 4 samples"):
            study(longer, tmp_path, tmp_path / "figures.json")
    assert not list(tmp_path.rglob("weights"))
    assert not (tmp_path / "figures.json").exists()
    assert first.name in study(longer, tmp_path, tmp_path / "figures.json")


def test_rows_of_scaling_differ_in_people_sizes_and_augmentation(plan, tmp_path, monkeypatch):
    """Rows that ask for more people than there are do not appear; occluded photos have a column."""
    plainly = replace(next(v for v in VARIANTS["scaling"] if not v.augment), people=1)
    many, wide = VARIANTS["scaling"][3], VARIANTS["scaling"][6]
    monkeypatch.setitem(VARIANTS, "scaling", (plainly, many))
    given = []
    monkeypatch.setattr(
        "humanlrm.evaluate.ablation.training_batches",
        lambda state, data: (given.append((state.config.draw.augment, len(data))), training_batches(state, data))[1],
    )
    found = study(replace(plan, rows="scaling", samples=1, batch=1), tmp_path, tmp_path / "figures.json")
    assert "6,000 people" not in found
    assert "Chamfer cm, occluded" in found
    assert "nan" not in found
    assert given == [(False, 1)]
    assert wide.config(TINY).width == 48
    assert wide.config(TINY).depth == TINY.depth + 2


@pytest.mark.parametrize("rows", VARIANTS)
def test_every_row_is_a_model(rows):
    for variant in VARIANTS[rows]:
        assert build(variant.config(plain())).config.depth > 0, variant.name


def test_figures_are_means_over_seeds_with_their_largest_difference(plan):
    one = dict.fromkeys(METRICS, 1.0) | {"failed": 0.0}
    text = table(replace(plan, seeds=(0, 1)), {"a": [one, {**one, "chamfer_cm": 2.0, "failed": 0.5}]})
    assert "| a | 1.50 ± 0.50 | 1.00 ± 0.00 |" in text
    assert text.splitlines()[-1].endswith("| 25% |")


def test_a_study_of_nothing_is_refused(plan, tmp_path, capsys):
    with pytest.raises(ValueError, match="seeds"):
        replace(plan, seeds=())
    with pytest.raises(ValueError, match="a batch"):
        replace(plan, batch=0)
    with pytest.raises(ValueError, match="workers must be positive"):
        study(plan, tmp_path / "r", tmp_path / "f.json", workers=0)
    assert main(["ablate", "--data", str(tmp_path), "--run", str(tmp_path / "r"), "--out", str(tmp_path / "t")]) == 2
    assert "no subject" in capsys.readouterr().err
    assert not (tmp_path / "t").exists()
