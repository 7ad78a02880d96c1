"""The table of odd photos: every row names a test that exists."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_row_of_the_table_is_a_test():
    text = (ROOT / "docs" / "photos.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/\S+)::(\w+)`", text)
    assert len(named) > 40
    for file, test in named:
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        assert test in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, (file, test)


def test_every_warning_of_the_photo_room_is_in_the_table():
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "src/humanlrm/photo").glob("*.py"))
    codes = set(re.findall(r'Remark\(\s*"([a-z-]+)"', sources))
    text = (ROOT / "docs" / "photos.md").read_text(encoding="utf-8")
    assert len(codes) >= 10
    assert {code for code in codes if f"`{code}`" not in text} == set()
