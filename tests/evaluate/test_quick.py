"""The quick measure: a preset of the runner with numbers of its own."""

import json
from dataclasses import replace

import numpy as np
import pytest

from humanlrm.commands.evaluate import EvaluatePeople
from humanlrm.evaluate.case import ColoredSurface
from humanlrm.evaluate.plan import Corruption, EvaluationPlan, Shooting, Sources
from humanlrm.evaluate.report.report import Report, compare_reports
from humanlrm.evaluate.report.rows import Row
from humanlrm.evaluate.report.tables import quick_means, quick_table
from humanlrm.evaluate.run import run
from humanlrm.evaluate.scores import QuickScorer
from humanlrm.mesh.surface import TriangleSurface


def row(subject: str, p2s: float, s2p: float, normals: float, failure: str = "") -> Row:
    values = {"chamfer_cm": (p2s + s2p) / 2, "p2s_cm": p2s, "s2p_cm": s2p, "normals_abs": normals}
    names = ("procedural-val", subject, subject, 30.0, Corruption(), False, "ours")
    return Row(*names, failure=failure) if failure else Row(*names, values)


ROWS = [row("1", 1.0, 3.0, 0.9), row("2", 2.0, 5.0, 0.7)]
REPORT = Report({"quick": True, "alignment": "translation"}, ROWS)


@pytest.fixture(scope="module")
def quick_case(builder):
    return builder.hand_held()


def measure(case, vertices: np.ndarray, alignment="none") -> dict[str, float]:
    surface = TriangleSurface(vertices, case.truth.surface.faces)
    return QuickScorer(alignment, 1)(case, ColoredSurface(surface, np.zeros_like(vertices))).values


def test_the_truth_measured_against_itself_is_nearly_zero(quick_case):
    values = measure(quick_case, quick_case.truth.surface.vertices)
    assert values["chamfer_cm"] < 0.4
    assert values["normals_abs"] > 0.9


def test_a_centimetre_is_a_centimetre_at_the_reference_height(quick_case, person):
    """The truth moved by 5 cm of a person scaled to 1.70 m; shifted across, half of it is seen as distance at most."""
    truth = quick_case.truth
    moved = truth.surface.vertices + np.array([0, 0, 5 / truth.cm_per_unit], np.float32)
    assert 1 < measure(quick_case, moved)["chamfer_cm"] < 5
    assert measure(quick_case, moved, "translation")["chamfer_cm"] < 0.4
    metres = np.linalg.norm(np.ptp(truth.surface.vertices, axis=0)) * truth.cm_per_unit / 100
    own = np.linalg.norm(np.ptp(person.vertices, axis=0)) * 1.7 / person.tags["height_m"]
    assert metres == pytest.approx(own, rel=0.25)  # boxes along other axes


def test_a_case_is_shown_as_the_model_expects_it(quick_case):
    assert quick_case.shown.rgb.shape == (3, 256, 256)
    assert np.abs(quick_case.truth.surface.vertices).max() < 1.1


def test_the_mean_is_over_rows():
    means = quick_means(ROWS)
    assert (means["p2s_cm"], means["s2p_cm"], means["normals_abs"]) == (1.5, 4.0, pytest.approx(0.8))


def test_the_mean_of_nothing_is_an_error():
    with pytest.raises(ValueError, match="nothing was measured"):
        quick_means([])


def test_a_report_shows_the_worst_cases_first_then_the_mean_and_the_failures():
    table = quick_table([*ROWS, row("3", 0, 0, 0, "no surface")], "ours", "none")
    first = [line[0] for line in table.lines]
    assert first == ["procedural-2@30", "procedural-1@30", "mean of all", "failed: procedural-3@30: no surface"]
    assert table.lines[0][1] == "3.50"
    assert {len(line) for line in table.lines} == {len(table.columns)}


def test_a_report_states_its_alignment():
    assert "alignment: translation" in quick_table(ROWS, "ours", "translation").title


def test_a_report_is_written_as_json(tmp_path):
    REPORT.write_quick(tmp_path / "deep" / "report.json")
    content = json.loads((tmp_path / "deep" / "report.json").read_text(encoding="utf-8"))
    assert content["mean"]["chamfer"] == pytest.approx(2.75)
    assert [row["name"] for row in content["rows"]] == ["procedural-1@30", "procedural-2@30"]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["report.json"]


def test_a_report_without_rows_writes_nothing(tmp_path):
    failed = [row("3", 0, 0, 0, "no surface")]
    for write in (Report(REPORT.settings, []).write, Report(REPORT.settings, failed).write_quick):
        with pytest.raises(ValueError, match="nothing was measured"):
            write(tmp_path / "report.json")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("change", "message"), [
    ({"alignment": "rotation"}, "unknown alignment"),
    ({"methods": ("mean",)}, "unknown method 'mean'"),
    ({"sources": Sources(("valid-val",))}, "--quick measures .* leave out --sets"),
    ({"protocols": ("occlusion",)}, "leave out --protocols"),
    ({"views": 2}, "leave out --views"),
    ({"shooting": Shooting(mask="detected")}, "leave out --mask"),
])  # fmt: skip
def test_an_unknown_choice_is_refused_before_any_work(change, message):
    with pytest.raises(ValueError, match=message):
        EvaluationPlan(quick=True, **change)


def test_the_quick_measure_has_defaults_of_its_own():
    quick, full = EvaluationPlan(quick=True), EvaluationPlan()
    assert (quick.sources.count, quick.alignment) == (64, "translation")
    assert (full.sources.count, full.alignment) == (100, "scale+translation")
    assert replace(quick, alignment="icp", sources=Sources(count=100)).sources.count == 100


def test_the_floor_is_measured_on_held_out_people(tmp_path):
    plan = EvaluationPlan(Sources(count=1), ("inflated",), quick=True)
    out = tmp_path / "out"
    assert EvaluatePeople(plan, out, tmp_path / "quick.json").run() == 0
    (measured,) = Report.read(out).rows
    assert not measured.failure
    assert 1 < measured.values["chamfer_cm"] < 15
    assert (
        json.loads((tmp_path / "quick.json").read_text(encoding="utf-8"))["mean"]["chamfer"]
        == measured.values["chamfer_cm"]
    )
    assert "at a height of 1.70 m" in (out / "report.md").read_text(encoding="utf-8")
    assert run(plan, out).rows == [measured]  # not measured again


def test_the_quick_measure_writes_nothing_unless_it_is_told_where(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert EvaluatePeople(EvaluationPlan(Sources(count=1), ("inflated",), quick=True)).run() == 0
    assert list(tmp_path.iterdir()) == []


def test_quick_and_full_reports_are_not_compared():
    with pytest.raises(ValueError, match="differ in quick"):
        compare_reports(REPORT, Report({"quick": False, "alignment": "translation"}, ROWS))


@pytest.mark.parametrize(("quick", "methods"), [(False, ("inflated",)), (True, ("inflated", "mean-body"))])
def test_a_file_of_distances_holds_one_method_of_the_quick_measure(tmp_path, quick, methods):
    plan = EvaluationPlan(Sources(count=1), methods, quick=quick)
    with pytest.raises(ValueError, match="--json belongs to --quick with one method"):
        EvaluatePeople(plan, tmp_path / "out", tmp_path / "a.json").run()
    assert list(tmp_path.iterdir()) == []
