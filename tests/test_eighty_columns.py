"""Help, tables and results fit a terminal of 80 columns."""

import itertools

import pytest
from rich.cells import cell_len

from humanlrm.cli import COMMANDS, main
from humanlrm.commands import evaluate
from humanlrm.commands.parser import _fold
from humanlrm.evaluate.report.tables import Table
from humanlrm.model.config import PRESETS

_MEASURES = ("people", "photos", "animation", "compare", "card")
_HELPS = [(), *((name,) for name in COMMANDS), *(("evaluate", measure) for measure in _MEASURES)]
_HELPS += [("rivals", "train"), ("rivals", "table")]


@pytest.fixture(autouse=True)
def _eighty_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(evaluate.console, "_width", 80)


def longest(text: str) -> int:
    return max(map(cell_len, text.splitlines()))


@pytest.mark.parametrize("words", _HELPS, ids=" ".join)
def test_help_fits(words, capsys):
    with pytest.raises(SystemExit) as ended:
        main([*words, "--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert "usage: humanlrm" in shown
    assert longest(shown) <= 80


@pytest.mark.parametrize("words", [("reconstruct", "a.jpg", "--hight-m", "1.8"), ("dance",), ("train",)])
def test_complaints_about_options_fit(words, capsys):
    with pytest.raises(SystemExit):
        main(list(words))
    assert longest(capsys.readouterr().err) <= 80


def test_a_line_is_folded_after_words_and_commas_and_keeps_all_letters():
    line = "usage: humanlrm {" + ",".join(COMMANDS) + "} and words that follow"
    folded = _fold(line, 40)
    assert longest(folded) <= 40
    assert folded.replace("\n", "").replace(" ", "") == line.replace(" ", "")
    colored = "".join(f"\x1b[1m{letter}\x1b[0m" for letter in "x" * 30)
    assert _fold(colored, 40) == colored


@pytest.mark.parametrize("preset", PRESETS)
def test_the_cost_of_a_preset_fits(preset, capsys):
    assert main(["describe", preset]) == 0
    assert longest(capsys.readouterr().out) <= 80


@pytest.mark.parametrize("numbers", [1, 8, 20])
def test_a_table_of_measures_fits_and_shows_every_number(numbers, capsys):
    """Long names are broken, numbers never; too many columns go on below."""
    cells = [f"{number}.{number:03d} [0.1, 9.9]" for number in range(numbers)]
    lines = [["avatar-val", "everybody who was held out", "humanlrm without its landmarks", *cells]]
    columns = ["set", "group", "method", *(f"column {number}" for number in range(numbers))]
    evaluate._print(
        Table("A title: what was measured, how it was aligned, in which unit, and more of it", columns, lines, 3)
    )
    shown = capsys.readouterr().out
    assert longest(shown) <= 80
    assert all(shown.count(word) == 1 for word in itertools.chain(cells, columns[3:]) if word != "column 1")
