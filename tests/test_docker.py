"""The Dockerfile, read without building it: what it copies, installs and starts exists; it does not run as root."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from humanlrm.cli import parse_command
from humanlrm.commands.serve import Serve

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def steps() -> list[tuple[str, str]]:
    """Instructions and their words, in order."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line and not line.startswith("#")]
    return [(instruction, words) for instruction, words in lines]


def test_what_is_copied_and_installed_exists(steps):
    for sources in (words.split()[:-1] for instruction, words in steps if instruction == "COPY"):
        assert [name for name in sources if not (ROOT / name).exists()] == []
    (extras,) = (found.split(",") for _, words in steps for found in re.findall(r"\.\[(.+?)\]", words))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(extras) <= set(project["optional-dependencies"])
    assert "video" not in extras  # its wheels contain GPL encoders


def test_nothing_is_installed_or_run_as_root_after_the_user_is_set(steps):
    instructions = [instruction for instruction, _ in steps]
    user = instructions.index("USER")
    assert steps[user][1] not in ("root", "0")
    assert not {"RUN", "COPY", "ADD", "USER"} & set(instructions[user + 1 :])


def test_the_command_serves_the_volume_at_the_port_that_is_exposed_and_checked(steps):
    words = dict(steps)
    program, *arguments = json.loads(words["CMD"])
    assert program == "humanlrm"
    command = parse_command(arguments)
    assert isinstance(command, Serve)
    assert command.settings.data.as_posix() == words["VOLUME"]
    assert str(command.settings.port) == words["EXPOSE"]
    assert f"http://127.0.0.1:{words['EXPOSE']}/healthz" in words["HEALTHCHECK"]
