import pytest

from humanlrm.data.shards import ShardFolder
from humanlrm.evaluate.card import describe_data, model_card, pose_card, write_card
from humanlrm.evaluate.plan import Corruption
from humanlrm.evaluate.report.report import Report
from humanlrm.evaluate.report.rows import Row
from humanlrm.model.history import TrainingStage

STAGES = [
    TrainingStage("all", {"procedural": 2000}, ["CC0", "MIT"], 60_000, 1.25, 7, "abc"),
    TrainingStage("landmarks", {"avatar": 3}, ["CC0"], 40_000, 0.5, 8, "def"),
]
FACTS = ("tiny", 1234567, STAGES)
VALUES = {"chamfer_cm": 3.0, "p2s_cm": 2.0, "s2p_cm": 4.0, "normals_abs": 0.9}
SETTINGS = {"quick": True, "alignment": "translation"}
EMPTY = Report(SETTINGS, [])


def row(subject: str, **content) -> Row:
    return Row("procedural-val", subject, subject, 0.0, Corruption(), False, "humanlrm", **content)


REPORT = Report(SETTINGS, [row("a", values=VALUES), row("b", failure="nothing")])


def test_data_is_counted_by_source_and_licence(shards, rendered):
    sources, licences = describe_data([ShardFolder(shards), ShardFolder(shards)])
    assert sources == {rendered.scan.source: 4}
    assert licences == [rendered.scan.licence]


def test_a_card_says_what_was_measured_and_how():
    (row,) = [line for line in model_card(*FACTS, REPORT).splitlines() if line.startswith("| humanlrm")]
    assert row == "| humanlrm | 1 | translation | 3.00 | 2.00 | 4.00 | 0.900 | 1 |"


def test_a_card_names_data_licences_and_the_effort_of_every_run():
    text = model_card(*FACTS, EMPTY)
    for fact in ("1,234,567", "CC0; MIT", "100,000 samples", "1.8 core-hours"):
        assert fact in text
    assert "| all | 2,000 procedural | 60,000 | 1.2 | 7 | abc |" in text
    assert "| landmarks | 3 avatar | 40,000 | 0.5 | 8 | def |" in text


def test_a_card_without_measurements_is_refused():
    with pytest.raises(ValueError, match="nothing was measured"):
        model_card(*FACTS, Report(SETTINGS, [row("b", failure="nothing")]))


def test_a_card_is_written_whole(tmp_path):
    path = write_card(tmp_path, "# card\n")
    assert path.read_text(encoding="utf-8") == "# card\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_card_names_each_licence_once():
    stage = TrainingStage("all", {"composed": 2}, ["CC-BY-4.0 AND CC0-1.0", "CC0-1.0", "MIT"], 10, 0.02, 0, "abc")
    text = model_card("tiny", 1, [stage], EMPTY)
    assert "CC-BY-4.0; CC0-1.0; MIT;" in text
    assert "0.02 core-hours" in text
    assert "may be used under the licence of the project" in text


@pytest.mark.parametrize("licence", ["CC-BY-NC-4.0", "CC-BY-ND-4.0 AND CC0-1.0", "not stated", "research only"])
def test_a_card_does_not_promise_what_the_data_forbids(licence):
    stage = TrainingStage("all", {"scans": 2}, ["MIT", licence], 10, 0.02, 0, "abc")
    for text in (model_card("tiny", 1, [stage], EMPTY), pose_card(1, 2, stage)):
        assert "may be used under the licence of the project" not in text
        assert f"data under {licence.split(' AND ')[0]}:" in text
