import pytest

from humanlrm.model.history import Notes, TrainingStage, check_goes_on, note, read_history, read_notes, write_history

STAGE = TrainingStage("all", {"procedural": 2}, ["CC0"], 60_000, 1.25, 7, "abc")


def test_a_history_comes_back_as_it_was_written(tmp_path):
    assert read_history(tmp_path) == []
    write_history(tmp_path / "new", [STAGE, STAGE])
    assert read_history(tmp_path / "new") == [STAGE, STAGE]


@pytest.mark.parametrize("text", ["[{", '[{"part": "all"}]', "3"])
def test_a_damaged_history_is_named(tmp_path, text):
    (tmp_path / "history.json").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"history\.json is no history"):
        read_history(tmp_path)


def test_a_run_notes_what_it_trains_and_all_data_that_it_has_seen(tmp_path):
    run = tmp_path / "run"
    assert read_notes(run) is None
    note(run, "field", 7, [tmp_path / "a", tmp_path / "b"])
    note(run, "field", 8, [tmp_path / "b", tmp_path / "c"])
    assert read_notes(run) == Notes("field", 7, [str(tmp_path / name) for name in "abc"])


def test_a_run_goes_on_with_the_part_that_it_began_with(tmp_path):
    check_goes_on(tmp_path, "field")
    note(tmp_path, "landmarks", 0, [])
    check_goes_on(tmp_path, "landmarks")
    with pytest.raises(ValueError, match=r"trains the part 'landmarks'.*--initial"):
        check_goes_on(tmp_path, "field")


def test_damaged_notes_are_named(tmp_path):
    (tmp_path / "run.json").write_text('{"part": 3}', encoding="utf-8")
    with pytest.raises(ValueError, match=r"run\.json holds no notes"):
        read_notes(tmp_path)
