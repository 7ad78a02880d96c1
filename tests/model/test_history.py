import pytest

from humanlrm.model.history import Stage, note_data, noted_data, read_history, write_history

STAGE = Stage("all", {"procedural": 2}, ["CC0"], 60_000, 1.25, 7, "abc")


def test_a_history_comes_back_as_it_was_written(tmp_path):
    assert read_history(tmp_path) == []
    write_history(tmp_path / "new", [STAGE, STAGE])
    assert read_history(tmp_path / "new") == [STAGE, STAGE]


@pytest.mark.parametrize("text", ["[{", '[{"part": "all"}]', "3"])
def test_a_damaged_history_is_named(tmp_path, text):
    (tmp_path / "history.json").write_text(text)
    with pytest.raises(ValueError, match=r"history\.json is no history"):
        read_history(tmp_path)


def test_a_run_notes_all_data_that_it_has_seen(tmp_path):
    assert noted_data(tmp_path / "run") == []
    note_data(tmp_path / "run", [tmp_path / "a", tmp_path / "b"])
    note_data(tmp_path / "run", [tmp_path / "b", tmp_path / "c"])
    assert noted_data(tmp_path / "run") == [tmp_path / name for name in "abc"]
