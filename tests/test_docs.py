"""README and docs name only files, commands, options and functions that exist."""

import importlib
import re
import shlex
from contextlib import redirect_stdout
from functools import cache
from io import StringIO
from pathlib import Path

import pytest

from humanlrm.cli import COMMANDS, parse_command

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "examples" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
#: Programs of others, whose options are not ours.
OTHER_PROGRAMS = ("colmap", "ns-process-data", "pip", "tensorboard", "tool")
#: Folders that paths in the docs may be relative to.
BASES = (ROOT, ROOT / "src" / "humanlrm")
MODULES = {path.stem for path in BASES[1].iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}


def spans(text: str) -> list[str]:
    """Code in single backquotes, outside of fenced blocks."""
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", text, flags=re.S))]


def command_lines(text: str) -> list[str]:
    """Lines of fenced and indented code blocks that call humanlrm."""
    text = re.sub(r"\\\n\s*", "", text)
    blocks = [*re.findall(r"^```.*?^```", text, flags=re.S | re.M), *re.findall(r"^    .*$", text, flags=re.M)]
    return re.findall(r"^ *humanlrm (.*)$", "\n".join(blocks), flags=re.M)


def wrong_paths(text: str, folder: Path) -> list[str]:
    """Links and paths of the text (``.py``, or a folder of the repository with a slash at its end) to nothing."""
    links = [link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link]
    files = re.findall(r"(?:python|-m) (benchmarks[./]\w+)", " ".join(text.split()))
    files = [f"{name.removesuffix('.py').replace('.', '/')}.py" for name in files]
    for span in spans(text):
        named = span.removeprefix("python ").split()[0]
        first = named.partition("/")[0]
        is_folder = named.endswith("/") and (first in MODULES or (ROOT / first).is_dir())
        if named.endswith(".py") or is_folder:
            files.append(named)
    missing = [link for link in links if not (folder / link).exists()]
    return missing + [file for file in files if not any((base / file).exists() for base in (folder, *BASES))]


def wrong_names(text: str) -> list[str]:
    """Dotted names, such as ``camera.to_opengl``, that no module of the package has."""
    dotted = [span for span in spans(text) if re.fullmatch(r"[a-z_]+(\.\w+)+", span) and not span.endswith(".py")]
    return [name for name in dotted if name.partition(".")[0] in MODULES and not resolves(f"humanlrm.{name}")]


def resolves(name: str) -> bool:
    """True if a module, or what follows a module in the name, exists."""
    parts = name.split(".")
    for count in range(len(parts), 1, -1):
        try:
            found = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[count:]:
            found = getattr(found, attribute, None)
        return found is not None
    return False


def wrong_commands(text: str) -> list[str]:
    """Command lines that the program's own parser refuses, and names of commands that it does not have."""
    named = [span.removeprefix("humanlrm ") for span in spans(text) if re.match(r"humanlrm [a-z]", span)]
    unknown = [span for span in named if span.split()[0] not in COMMANDS]
    return unknown + [line for line in command_lines(text) if not accepted(line)]


def accepted(line: str) -> bool:
    """True if the parser takes the command line. Nothing is run."""
    try:
        parse_command(shlex.split(line, comments=True))
    except (SystemExit, ValueError):
        return False
    return True


@cache
def all_options() -> frozenset[str]:
    """Options of all commands, as their help says, and of the benchmarks: words of their sources."""
    calls = [[name] for name in COMMANDS if name not in ("evaluate", "rivals")]
    calls += [["rivals", name] for name in ("train", "table")]
    calls += [["evaluate", name] for name in ("people", "photos", "animation", "compare", "card")]
    benchmarks = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "benchmarks").glob("*.py"))
    return frozenset(re.findall(r"--([a-z][a-z0-9-]+)", "\n".join(map(help_of, calls)))) | frozenset(
        word.replace("_", "-") for word in re.findall(r"\w+", benchmarks)
    )


def help_of(command: list[str]) -> str:
    """Help text of a command."""
    with redirect_stdout(StringIO()) as text, pytest.raises(SystemExit):
        parse_command([*command, "--help"])
    return text.getvalue()


def wrong_options(text: str) -> list[str]:
    """Options such as ``--out`` that no command and no benchmark has."""
    ours = [span for span in spans(text) if not span.startswith(OTHER_PROGRAMS)]
    named = {option for span in ours for option in re.findall(r"(?<!\S)--([a-z][a-z0-9-]+)", span)}
    return sorted(named - all_options())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_docs_name_only_what_exists(page):
    text = page.read_text(encoding="utf-8")
    assert not wrong_paths(text, page.parent)
    assert not wrong_names(text)
    assert not wrong_options(text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_command_lines_of_the_docs_are_accepted(page):
    assert not wrong_commands(page.read_text(encoding="utf-8"))


def test_wrong_names_in_docs_are_found():
    text = """See [this](nowhere.md), `model/nowhere.py`, `data/nowhere/`, `python -m benchmarks.nowhere`,
    `camera.nowhere`, `--no-such-option 3` and `humanlrm nowhere`.

    humanlrm reconstruct photo.jpg --no-such-option 3
    """
    expected = ["nowhere.md", "benchmarks/nowhere.py", "model/nowhere.py", "data/nowhere/"]
    assert sorted(wrong_paths(text, ROOT)) == sorted(expected)
    assert wrong_names(text) == ["camera.nowhere"]
    assert wrong_options(text) == ["no-such-option"]
    assert wrong_commands(text) == ["nowhere", "reconstruct photo.jpg --no-such-option 3"]


def test_names_that_exist_are_not_found_wrong():
    text = "See [this](README.md), `model/`, `camera.py`, `camera.to_opengl`, `humanlrm people --out DIR`."
    assert not [*wrong_paths(text, ROOT), *wrong_names(text), *wrong_options(text), *wrong_commands(text)]
