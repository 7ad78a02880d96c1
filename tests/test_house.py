"""Laws of the house: one name for one class, one spelling of color, short files and functions."""

import ast
from collections import defaultdict
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "humanlrm"
_MOST_LINES, _MOST_FUNCTION_LINES = 350, 60


@pytest.fixture(scope="module")
def modules() -> dict[str, str]:
    return {str(path.relative_to(SOURCE)): path.read_text(encoding="utf-8") for path in sorted(SOURCE.rglob("*.py"))}


def test_no_class_name_exists_twice(modules):
    places = defaultdict(set)
    for name, text in modules.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef):
                places[node.name].add(name)
    assert len(places) > 100
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_identifiers_spell_color_one_way(modules):
    names = {
        getattr(node, field)
        for text in modules.values()
        for node in ast.walk(ast.parse(text))
        for field in ("id", "attr", "arg", "name")
        if isinstance(getattr(node, field, None), str)
    }
    assert any("color" in name for name in names)
    assert {name for name in names if "colour" in name.lower()} == set()


def test_files_are_short(modules):
    assert {name for name, text in modules.items() if text.count("\n") > _MOST_LINES} == set()


def test_functions_are_short(modules):
    functions = [
        (name, node)
        for name, text in modules.items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert len(functions) > 1000
    assert {
        f"{name}:{f.name}" for name, f in functions if (f.end_lineno or 0) - f.lineno > _MOST_FUNCTION_LINES
    } == set()
