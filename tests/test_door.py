"""The front door: what it loads, and that the command gives what the library gives."""

import subprocess
import sys
from pathlib import Path

import pytest

from humanlrm.cli import main
from humanlrm.reconstruct import Completion, Reconstructor, Settings

AVATAR = Path(__file__).parents[1] / "examples" / "avatar.jpg"
SMALL = Settings(resolution=64, texture_px=128, faces=2000)
OPTIONS = ("--resolution", "64", "--texture-px", "128", "--faces", "2000")
_LOADED = (
    "import sys, humanlrm.reconstruct; print(*sorted(name for name in sys.modules if name.startswith('humanlrm')))"
)
_MOST_MODULES = 47


@pytest.fixture(scope="module")
def loaded() -> list[str]:
    """Modules of ours behind the door, in a process of their own."""
    return subprocess.run(
        [sys.executable, "-c", _LOADED], check=True, capture_output=True, encoding="utf-8"
    ).stdout.split()


def test_inference_loads_no_training_code(loaded):
    rooms = {name.split(".")[1] for name in loaded if "." in name}
    assert "model" in rooms
    assert not rooms & {"data", "people", "train", "evaluate", "commands"}


def test_few_modules_are_loaded_behind_the_door(loaded):
    assert len(loaded) <= _MOST_MODULES, loaded


@pytest.mark.parametrize("samples", [1, 2])
def test_the_command_writes_what_the_library_returns(tmp_path, samples):
    ours, theirs = tmp_path / "library", tmp_path / "command"
    ours.mkdir()
    names = ["person.glb"] if samples == 1 else [f"person.{k}.glb" for k in range(samples)]
    person = Reconstructor()(AVATAR, None, SMALL, Completion(samples=samples, seed=1))
    for name, sample in zip(names, person.samples, strict=True):
        sample.save(ours / name)
    sampling = ("--samples", str(samples), "--seed", "1")
    assert main(["reconstruct", str(AVATAR), "-o", str(theirs / "person.glb"), *OPTIONS, *sampling]) == 0
    assert [(ours / name).read_bytes() for name in names] == [(theirs / name).read_bytes() for name in names]


def test_several_photos_need_cameras():
    with pytest.raises(ValueError, match="2 photos need --cameras"):
        Reconstructor()([AVATAR, AVATAR])
