import json

import numpy as np
import pytest
from rich.console import Console

from humanlrm.evaluate.geometry import SurfaceDistance
from humanlrm.evaluate.quick import QuickReport, QuickRow, evaluate_quick, mean, measure, quick_case
from humanlrm.mesh.surface import TriangleSurface

ROWS = [QuickRow("a", SurfaceDistance(1.0, 3.0, 0.9)), QuickRow("b", SurfaceDistance(2.0, 5.0, 0.7))]


@pytest.fixture(scope="module")
def case(person, detector):
    return quick_case(person, 0.4, detector, np.random.default_rng(0))


def test_the_truth_measured_against_itself_is_nearly_zero(case):
    row = measure(lambda shown: case.truth, case, "none")
    assert row.distance.chamfer < 0.4
    assert row.distance.normal_consistency > 0.9


def test_a_centimetre_is_a_centimetre_at_the_reference_height(case, person):
    """The truth moved by 5 cm of a person scaled to 1.70 m; shifted across, half of it is seen as distance at most."""
    offset = np.array([0, 0, 5 / case.cm_per_unit], np.float32)
    moved = measure(lambda shown: TriangleSurface(case.truth.vertices + offset, case.truth.faces), case, "none")
    assert 1 < moved.distance.chamfer < 5
    aligned = measure(lambda shown: TriangleSurface(case.truth.vertices + offset, case.truth.faces), case)
    assert aligned.distance.chamfer < 0.4
    metres = np.linalg.norm(np.ptp(case.truth.vertices, axis=0)) * case.cm_per_unit / 100
    own = np.linalg.norm(np.ptp(person.vertices, axis=0)) * 1.7 / person.tags["height_m"]
    assert metres == pytest.approx(own, rel=0.25)  # boxes along other axes


def test_a_case_is_shown_as_the_model_expects_it(case):
    assert case.shown.rgb.shape == (3, 256, 256)
    assert np.abs(case.truth.vertices).max() < 1.1


def test_the_mean_is_over_rows():
    found = mean(ROWS)
    assert (found.p2s, found.s2p, found.normal_consistency) == (1.5, 4.0, pytest.approx(0.8))


def test_the_mean_of_nothing_is_an_error():
    with pytest.raises(ValueError, match="nothing was measured"):
        mean([])


def test_a_report_shows_the_worst_cases_first_then_the_mean_and_the_failures():
    lines = QuickReport("ours", "none", ROWS, ["c: no surface"]).lines
    assert [line[0] for line in lines] == ["b", "a", "mean of all", "failed: c: no surface"]
    assert lines[0][1] == "3.50"
    assert {len(line) for line in lines} == {len(QuickReport.columns)}


def test_a_report_states_its_alignment():
    assert "alignment: translation" in QuickReport("ours", "translation", ROWS, []).title


def test_a_report_is_written_as_json(tmp_path):
    QuickReport("ours", "none", ROWS, []).write(tmp_path / "deep" / "report.json")
    content = json.loads((tmp_path / "deep" / "report.json").read_text(encoding="utf-8"))
    assert content["mean"]["chamfer"] == pytest.approx(2.75)
    assert [row["name"] for row in content["rows"]] == ["a", "b"]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["report.json"]


def test_a_report_without_rows_writes_nothing(tmp_path):
    with pytest.raises(ValueError, match="nothing was measured"):
        QuickReport("ours", "none", [], []).write(tmp_path / "report.json")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("alignment", "method", "message"),
    [("rotation", "humanlrm", "unknown alignment"), ("none", "mean-body", "knows the methods humanlrm and inflated")],
)
def test_an_unknown_choice_is_refused_before_any_work(alignment, method, message):
    with pytest.raises(ValueError, match=message):
        evaluate_quick(1, alignment, 64, None, method, Console(quiet=True))


def test_the_floor_is_measured_on_held_out_people():
    report = evaluate_quick(1, "translation", 64, None, "inflated", Console(quiet=True))
    assert report.failures == []
    assert 1 < report.rows[0].distance.chamfer < 15
