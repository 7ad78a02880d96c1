"""The laws of files that are written: whole or not there."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from humanlrm.files import atomic_write, write_between, write_text


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


def test_two_writers_of_one_file_both_end_with_a_whole_file(tmp_path):
    """One begins before the other ends; then eight at once, again and again."""
    path = tmp_path / "file"
    with atomic_write(path) as first:
        first.write_text("first", encoding="utf-8")
        with atomic_write(path) as second:
            second.write_text("second", encoding="utf-8")
        assert path.read_text(encoding="utf-8") == "second"
    assert path.read_text(encoding="utf-8") == "first"
    contents = {letter * 10_000 for letter in "abcdefgh"}
    with ThreadPoolExecutor(8) as writers:
        for _ in range(20):
            list(writers.map(lambda text: write_text(path, text), contents))
            assert path.read_text(encoding="utf-8") in contents
    assert names(tmp_path) == ["file"]


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL there")
def test_who_is_killed_while_writing_leaves_no_half_file(tmp_path):
    """Neither where nothing was, nor where an older file was."""
    write_text(tmp_path / "old", "before")
    code = """
import sys, time
from pathlib import Path
from humanlrm.files import atomic_write
with atomic_write(Path(sys.argv[1])) as a, atomic_write(Path(sys.argv[2])) as b, a.open("wb") as x, b.open("wb") as y:
    for file in (x, y):
        file.write(bytes(100_000))
        file.flush()
    print("half", flush=True)
    time.sleep(600)
"""
    paths = [str(tmp_path / name) for name in ("old", "new")]
    with subprocess.Popen([sys.executable, "-c", code, *paths], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"half\n"
        assert len(names(tmp_path)) == 3
        writer.kill()
        assert writer.wait() == -signal.SIGKILL
    assert (tmp_path / "old").read_text(encoding="utf-8") == "before"
    assert not (tmp_path / "new").exists()


def test_only_the_part_between_the_marks_of_a_page_is_replaced(tmp_path):
    path, begin, end = tmp_path / "page.md", "<!-- table: begin -->", "<!-- table: end -->"
    path.write_text(f"# Title\n\nbefore\n\n{begin}\n\nold\n\n{end}\n\nafter\n", encoding="utf-8")
    write_between(path, "table", "new")
    assert path.read_text(encoding="utf-8") == f"# Title\n\nbefore\n\n{begin}\n\nnew\n\n{end}\n\nafter\n"
    write_between(path, "other", "more")
    assert path.read_text(encoding="utf-8").endswith("after\n\n<!-- other: begin -->\n\nmore\n\n<!-- other: end -->\n")
    assert "new" in write_between(tmp_path / "empty.md", "table", "new").read_text(encoding="utf-8")
