"""Each command of docs/train-your-own.md, run in its order at a smaller size."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import trimesh

from humanlrm.cli import main

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "train-your-own.md").read_text(encoding="utf-8")
#: Sizes of the page, and those of this test.
SMALLER = {"--count 20": "--count 1", "--count 8": "--count 1", "--photos 2000": "--photos 2 --batch 2 --workers 0"}
SMALLEST_MESH = ("--resolution", "64", "--texture-px", "64", "--faces", "1000")


def test_from_a_folder_of_scans_to_own_weights(tmp_path, monkeypatch, capsys):
    commands = re.findall(r"^```sh\n(.*?)\n```", PAGE, flags=re.M | re.S)
    assert [command.split()[1] for command in commands] == [
        "examples/make_scans.py",
        "prepare",
        "train",
        "export-weights",
        "reconstruct",
    ]
    monkeypatch.chdir(tmp_path)
    for command in commands:
        for full, small in SMALLER.items():
            command = command.replace(full, small)
        command = re.sub(r"\b(examples|src)/", f"{ROOT.as_posix()}/\\1/", command)
        program, *words = shlex.split(command)
        if program == "python":
            subprocess.run([sys.executable, *words], check=True, capture_output=True)
        else:
            assert main([*words, *(SMALLEST_MESH if words[0] == "reconstruct" else ())]) == 0, command
    assert trimesh.load("person.glb", force="mesh").volume > 0
    assert Path("mine.jpg").is_file()
