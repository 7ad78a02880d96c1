"""From a plan to files: resumable, complete, comparable."""

import io
import json
import re
import sys

import numpy as np
import pytest
import trimesh
from PIL import Image
from rich.console import Console

from humanlrm.commands.evaluate import CompareReports, EvaluatePeople
from humanlrm.evaluate.baselines import BASELINES, program
from humanlrm.evaluate.methods import best_of, open_method
from humanlrm.evaluate.plan import Corruption, EvaluationPlan, Shooting, Sources, conditions
from humanlrm.evaluate.report.report import Report, compare_reports
from humanlrm.evaluate.report.rows import Row
from humanlrm.evaluate.report.tables import corrupted_table, curves, markdown
from humanlrm.evaluate.run import prepare, read_parts, run
from humanlrm.evaluate.sources import Unit, find_units
from humanlrm.evaluate.worker import Worker
from humanlrm.people.generate import VALIDATION_SEED

SHOOTING = Shooting(points=1000)


def plan(methods=("inflated",), **changes) -> EvaluationPlan:
    return EvaluationPlan(Sources(count=changes.pop("count", 1)), methods, shooting=SHOOTING, **changes)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Two floors on two people and one side."""
    out = tmp_path_factory.mktemp("evaluation")
    assert EvaluatePeople(plan(("inflated", "mean-body"), count=2, views=1), out).run() == 0
    return out


def test_an_evaluation_writes_report_table_sheets_and_page(measured):
    report = Report.read(measured / "report.json")
    assert [(row.method, row.subject) for row in report.rows] == [
        (method, str(VALIDATION_SEED + i)) for i in range(2) for method in ("inflated", "mean-body")
    ]
    assert all(row.values["sound"] == 1 and 1 < row.values["chamfer_cm"] < 20 for row in report.rows)
    for sheet in ("inflated-all", "mean-body-all"):
        assert Image.open(measured / "sheets" / f"procedural-val-{sheet}.jpg").width > 1000
    assert not list(measured.rglob("*.partial"))


def test_every_clean_photograph_is_kept_as_a_picture(tmp_path):
    """The worst page would not show the worst otherwise."""
    rows = run(plan(count=4, views=2), tmp_path).rows
    assert len(rows) == len(list((tmp_path / "strips").iterdir())) == 8


def test_the_page_needs_nothing_from_elsewhere_and_holds_a_row_per_subject(measured):
    html = (measured / "index.html").read_text(encoding="utf-8")
    assert not re.search(r'(src|href)="(?!data:)', html)
    assert html.count("data:image/webp;base64,") == 4
    assert "<script>" in html
    assert f'<td class="text">{VALIDATION_SEED}</td>' in html


def test_every_number_in_the_table_has_an_interval_and_its_conditions(measured):
    text = (measured / "report.md").read_text(encoding="utf-8")
    assert "Alignment: scale+translation" in text
    assert "before grey" in text
    (line,) = [line for line in text.splitlines() if line.startswith("| procedural-val | all | inflated")][:1]
    assert re.search(r"\| \d+\.\d\d \[\d+\.\d\d, \d+\.\d\d\] \|", line)
    widths = {line.count("|") for line in text.splitlines() if line.startswith("| procedural-val | all")}
    assert len(widths) == 2  # both tables are rectangles
    assert all(line.count("|") in widths for line in text.splitlines() if line.startswith("| set"))


def test_a_narrow_terminal_shows_every_number(measured, monkeypatch):
    """Of rich's tables a narrow terminal shows some letters of each cell."""
    narrow, written = io.StringIO(), json.loads((measured / "report.json").read_text(encoding="utf-8"))
    monkeypatch.setattr("humanlrm.commands.evaluate.console", Console(file=narrow, width=40))
    EvaluatePeople(plan(("inflated", "mean-body"), count=2, views=1), measured).run()
    for means in written["summary"]:
        assert f"{means['chamfer_cm']['mean']:.2f}" in narrow.getvalue()


def test_subjects_that_are_done_are_not_measured_again(measured, monkeypatch):
    def never(*arguments):
        raise AssertionError("measured again")

    monkeypatch.setattr("humanlrm.evaluate.run.Worker", never)
    rows = run(plan(("inflated", "mean-body"), count=2, views=1), measured).rows
    assert len(rows) == 4


def test_an_evaluation_that_grows_measures_only_what_is_new(measured):
    grown = plan(("inflated", "mean-body"), count=3, views=1)
    units, todo = prepare(grown, measured)
    assert (len(units), [unit.seed for unit in todo]) == (3, [VALIDATION_SEED + 2])


def test_some_subjects_are_spread_over_a_set():
    all_units = find_units(Sources(("procedural-val",), count=10))
    some = find_units(Sources(("procedural-val",), count=10, limit=4))
    assert [all_units.index(unit) for unit in some] == [0, 2, 5, 7]
    assert find_units(Sources(("procedural-val",), count=3, limit=4)) == all_units[:3]
    with pytest.raises(ValueError, match="limit must be positive"):
        find_units(Sources(limit=0))


def test_corrupted_photos_are_drawn_by_turns(tmp_path):
    chosen = plan(("inflated",), protocols=("plain", "occlusion"), views=1, draws=2)
    worker = Worker(chosen, tmp_path)
    units = find_units(Sources(("procedural-val",), count=40))
    drawn = [[condition for _, condition in worker._photographs(unit)] for unit in units]
    assert all(first.protocol == "plain" and len(others) == 2 for first, *others in drawn)
    assert {c for _, *others in drawn for c in others} == set(conditions("occlusion")[1:])
    with pytest.raises(ValueError, match="draws must be positive"):
        plan(("inflated",), draws=0)


def test_a_folder_of_other_settings_is_refused(measured):
    with pytest.raises(ValueError, match="other settings"):
        run(plan(("inflated",), count=2, views=1), measured)


def test_a_damaged_part_names_itself(tmp_path):
    unit = Unit("s", "1", "1", VALIDATION_SEED)
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / f"{unit.stem}.json").write_text("[{", encoding="utf-8")
    with pytest.raises(ValueError, match=r"s-1\.json is damaged"):
        read_parts(tmp_path, [unit])


def test_a_report_compared_with_itself_shows_no_difference(measured):
    report = Report.read(measured)
    assert report == Report.read(measured / "report.json")
    found = compare_reports(report, report)
    assert {d.interval.mean for d in found} == {0}
    assert {d.verdict for d in found} == {"no difference shown"}
    assert CompareReports(measured / "report.json", measured / "report.json").run() == 0


def test_a_better_report_is_called_better(measured):
    report = Report.read(measured / "report.json")
    inflated = Report(report.settings, [row for row in report.rows if row.method == "inflated"])
    mean_body = Report(report.settings, [row for row in report.rows if row.method == "mean-body"])
    found = {d.metric.name: d for d in compare_reports(mean_body, inflated)}
    assert found["iou_front"].method == "mean-body -> inflated"
    assert found["iou_front"].verdict == "better"
    assert {d.metric.name: d for d in compare_reports(inflated, mean_body)}["iou_front"].verdict == "worse"


def test_reports_of_other_alignments_are_not_compared(measured):
    report = Report.read(measured / "report.json")
    with pytest.raises(ValueError, match="differ in alignment"):
        compare_reports(report, Report({**report.settings, "alignment": "none"}, report.rows))


def test_a_file_that_is_no_report_is_refused(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"rows": []}), encoding="utf-8")
    with pytest.raises(ValueError, match=r"a\.json is no evaluation report"):
        Report.read(tmp_path / "a.json")


def test_a_protocol_becomes_curves_that_start_clean(tmp_path):
    report = run(plan(protocols=("landmarks",)), tmp_path)
    rows = report.rows
    found = {curve.kind: curve for curve in curves(rows)["landmarks"]}
    assert [level for level, _ in found["limb moved cm"].points] == ["clean", "5", "10", "20"]
    assert all(len(mine) == 1 and "limb_cm" in mine[0].values for curve in found.values() for _, mine in curve.points)
    # A floor knows nothing of landmarks: its curve is flat.
    clean, moved = (rows[0].values["chamfer_cm"] for _, rows in found["limb moved cm"].points[:2])
    assert moved == clean
    text = markdown(rows, report.conditions)
    assert "## Protocol: landmarks" in text
    (line,) = [line for line in text.splitlines() if "| limb moved cm | 10 |" in line]
    assert "| 0.00 [0.00, 0.00] |" in line  # the change against the clean photograph


def test_all_corrupted_photographs_stand_beside_the_clean_ones():
    def row(method, level, hidden_cm):
        condition = Corruption("occlusion", "box, share of mask" if level else "clean", level)
        return Row("a", "1", "1", 0.0, condition, False, method, {"hidden_cm": hidden_cm})

    rows = [row("x", 0.0, 2.0), row("x", 0.1, 4.0), row("x", 0.2, 8.0), row("y", 0.0, 3.0), row("y", 0.1, 5.0)]
    table = corrupted_table(curves(rows)["occlusion"], ("hidden_cm",))
    assert table.columns[-1] == "hidden cm"
    assert [(line[1], line[2], line[4], line[-1].split()[0]) for line in table.lines] == [
        ("x", "clean", "1", "2.00"),
        ("x", "corrupted", "2", "6.00"),
        ("y", "clean", "1", "3.00"),
        ("y", "corrupted", "1", "5.00"),
    ]


def test_of_several_people_the_scores_are_averaged(tmp_path, monkeypatch):
    def both(case):
        return BASELINES["mean-body"](case), BASELINES["inflated"](case)

    methods = {"inflated": BASELINES["inflated"], "mean-body": BASELINES["mean-body"], "humanlrm-mean-of-4": both}
    monkeypatch.setattr("humanlrm.evaluate.worker.open_method", lambda name, *_: methods[name])
    a, b, mean = (row.values for row in run(plan(tuple(methods), views=1), tmp_path).rows)
    for name in ("chamfer_cm", "hidden_cm", "psnr_side"):
        assert mean[name] == pytest.approx((a[name] + b[name]) / 2)


def test_of_several_people_the_best_is_the_nearest(case):
    inflated, mean = BASELINES["inflated"](case), BASELINES["mean-body"](case)
    assert best_of(lambda _: (mean, inflated))(case) is inflated
    assert best_of(lambda _: (inflated, mean))(case) is inflated


SPHERE = "import trimesh,sys;trimesh.creation.icosphere(2,300).export(sys.argv[sys.argv.index('-o')+1])"


def test_any_program_that_writes_a_mesh_can_be_measured(case):
    found = program(f'{sys.executable} -c "{SPHERE}" {{image}} -o {{out}}')(case)
    rows = np.flatnonzero((case.shown.alpha[0].numpy() > 0.5).any(1))
    assert np.ptp(found.surface.vertices[:, 1]) == pytest.approx(np.ptp(rows) / 256 * 2.1, rel=0.05)


def test_a_program_that_writes_nothing_is_a_failure_that_says_what_it_said(case):
    with pytest.raises(ValueError, match=r"exit code 3.*: no cuda"):
        program(f"{sys.executable} -c \"import sys;print('no cuda',file=sys.stderr);sys.exit(3)\" {{image}} {{out}}")(
            case
        )


def test_a_failing_program_is_a_failed_case_and_the_evaluation_goes_on(tmp_path):
    failing = EvaluationPlan(
        Sources(count=1), ("command", "mean-body"), views=1, shooting=SHOOTING, command="false {image} {out}"
    )
    assert EvaluatePeople(failing, tmp_path).run() == 1
    rows = Report.read(tmp_path / "report.json").rows
    assert [bool(row.failure) for row in rows] == [True, False]
    assert "wrote no mesh" in (tmp_path / "report.md").read_text(encoding="utf-8")


def test_a_command_without_its_placeholders_is_refused():
    with pytest.raises(ValueError, match="must contain"):
        open_method("command", None, 64, "tool photo.png")
    with pytest.raises(ValueError, match="needs --command"):
        EvaluationPlan(methods=("command",))


def test_scans_of_strangers_are_measured_and_a_bad_one_names_itself(tmp_path):
    folder = tmp_path / "scans" / "0001"
    folder.mkdir(parents=True)
    body = trimesh.creation.capsule(1.4, 0.2)
    body.apply_transform(trimesh.transformations.rotation_matrix(-np.pi / 2, [1, 0, 0]))
    body.visual.vertex_colors = np.tile([200, 60, 60, 255], (len(body.vertices), 1))
    body.export(folder / "0001.ply")
    (tmp_path / "scans" / "0002.obj").write_text("not a mesh", encoding="utf-8")
    sources = Sources(sets=(), scans=tmp_path / "scans")
    rows = run(EvaluationPlan(sources, ("inflated",), views=1, shooting=SHOOTING), tmp_path / "out").rows
    assert [row.subject for row in rows] == ["0001", "0002"]
    assert rows[0].values["chamfer_cm"] < 8
    assert rows[0].values["psnr_front"] > 18  # red before grey
    assert "0002.obj" in rows[1].failure


def test_a_test_list_chooses_scans_and_must_exist(tmp_path):
    for name in "abc":
        trimesh.creation.icosphere(1).export(tmp_path / f"{name}.ply")
    (tmp_path / "ids.txt").write_text("a\nc\n", encoding="utf-8")
    sources = Sources(sets=(), scans=tmp_path, ids=tmp_path / "ids.txt")
    assert [unit.subject for unit in find_units(sources)] == ["a", "c"]
    (tmp_path / "ids.txt").write_text("z", encoding="utf-8")
    with pytest.raises(ValueError, match="no scan for z"):
        find_units(sources)
    with pytest.raises(ValueError, match="nothing to measure"):
        find_units(Sources(sets=()))
