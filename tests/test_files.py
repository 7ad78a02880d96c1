"""The laws of files that are written: whole or not there."""

from pathlib import Path

import pytest

from humanlrm.files import atomic_write, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_whole_in_a_folder_that_is_made(tmp_path):
    path = tmp_path / "new" / "file.bin"
    with atomic_write(path) as partial:
        partial.write_bytes(b"half")
        assert not path.exists()
        with partial.open("ab") as file:
            file.write(b" and half")
    assert path.read_bytes() == b"half and half"
    assert names(path.parent) == ["file.bin"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_after_an_error_what_was_there_stays_and_nothing_else(tmp_path, error):
    path = write_text(tmp_path / "notes.txt", "before")

    def fail():
        with atomic_write(path) as partial:
            partial.write_text("after", encoding="utf-8")
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_text(encoding="utf-8") == "before"
    assert names(tmp_path) == ["notes.txt"]


def test_who_writes_nothing_is_told(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "file"):
        pass
