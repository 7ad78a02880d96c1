"""One command for photos, people, training and evaluation."""

import importlib
import sys
from functools import reduce
from operator import or_
from typing import Annotated, Any

import tyro

from humanlrm.commands.parser import parse
from humanlrm.commands.terminal import complain

#: Module (of ``humanlrm.commands``) and class of each command, in the order of ``humanlrm --help``.
COMMANDS = {
    "reconstruct": ("reconstruct", "Reconstruct"),
    "people": ("people", "People"),
    "prepare": ("prepare", "Prepare"),
    "train": ("train", "Train"),
    "train-diffusion": ("train", "TrainDiffusion"),
    "train-poses": ("train", "TrainPoses"),
    "train-views": ("views", "TrainViews"),
    "evaluate": ("evaluate", "Evaluate"),
    "export": ("evaluate", "Export"),
    "ablate": ("ablate", "Ablate"),
    "describe": ("train", "Describe"),
}


def main(arguments: list[str] | None = None) -> int:
    """Run a command; an error that the user can correct is one red line and exit code 1."""
    words = sys.argv[1:] if arguments is None else arguments
    try:
        return parse_command(words).run()
    except (ValueError, OSError) as error:
        complain(f"humanlrm: {' '.join(_message(error).split())}")
        return 1
    except KeyboardInterrupt:
        complain("humanlrm: stopped")
        return 130


def parse_command(words: list[str]) -> Any:
    """The command with its options. Of a command that is named only its own module is imported."""
    words = _name_measure(words)
    if words and words[0] in COMMANDS:
        return parse(_command(words[0]), words[1:], f"humanlrm {words[0]}")
    return parse(reduce(or_, map(_subcommand, COMMANDS)), words, "humanlrm", __doc__)


def _name_measure(words: list[str]) -> list[str]:
    """Add "people" to ``evaluate`` with options alone, the measure that ``evaluate --quick`` means."""
    only_options = all(word.startswith("-") and word not in ("-h", "--help") for word in words[1:2])
    return ["evaluate", "people", *words[1:]] if words[:1] == ["evaluate"] and only_options else words


def _command(name: str) -> Any:
    module, kind = COMMANDS[name]
    return getattr(importlib.import_module(f"humanlrm.commands.{module}"), kind)


def _subcommand(name: str) -> Any:
    command = _command(name)
    return Annotated[command, tyro.conf.subcommand(name, description=command.__doc__.partition("\n")[0])]


def _message(error: ValueError | OSError) -> str:
    """The error's text; for an error of the system the file and the reason, without a number."""
    if isinstance(error, OSError) and error.strerror is not None:
        return error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    return str(error)


if __name__ == "__main__":
    sys.exit(main())
