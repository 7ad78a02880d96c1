"""One command for photos, people, training and evaluation."""

import importlib
import sys
from functools import reduce
from operator import or_
from typing import Annotated, Any

#: Module (of ``humanlrm.commands``) and class of each command, in the order of ``humanlrm --help``.
COMMANDS = {
    "reconstruct": ("reconstruct", "Reconstruct"),
    "batch": ("batch", "BatchPhotos"),
    "serve": ("serve", "Serve"),
    "people": ("people", "People"),
    "prepare": ("prepare", "Prepare"),
    "train": ("train", "Train"),
    "train-diffusion": ("train", "TrainDiffusion"),
    "train-poses": ("train", "TrainPoses"),
    "train-views": ("views", "TrainViews"),
    "evaluate": ("evaluate", "Evaluate"),
    "export-weights": ("evaluate", "ExportWeights"),
    "ablate": ("ablate", "Ablate"),
    "rivals": ("rivals", "Rivals"),
    "describe": ("train", "Describe"),
}


#: Exit codes. 1 is left to the system (a full disk) and to measures in which a case failed.
DONE, BAD_USAGE, UNUSABLE_PHOTO, NOTHING_RECONSTRUCTED, STOPPED = 0, 2, 3, 4, 130


def main(arguments: list[str] | None = None) -> int:
    """Run a command; an error that the user can correct is one red line and an exit code (docs/photos.md)."""
    try:
        words = sys.argv[1:] if arguments is None else arguments
        if words == ["--version"]:
            return _print_version()
        return parse_command(words).run()
    except (ValueError, OSError) as error:
        _complain(f"humanlrm: {' '.join(_message(error).split())}")
        return _exit_code(error)
    except KeyboardInterrupt:
        _complain("humanlrm: stopped")
        return STOPPED


def parse_command(words: list[str]) -> Any:
    """The command with its options. Of a command that is named only its own module is imported.

    Libraries are imported here, not with this module, so that Ctrl-C in the first seconds ends quietly, too.
    """
    from humanlrm.commands.parser import parse

    words = _name_measure(words)
    if words and words[0] in COMMANDS:
        return parse(_command(words[0]), words[1:], f"humanlrm {words[0]}")
    return parse(reduce(or_, map(_subcommand, COMMANDS)), words, "humanlrm", __doc__)


def _print_version() -> int:
    from humanlrm import __version__

    print(f"humanlrm {__version__}")
    return DONE


def _complain(line: str) -> None:
    """Print one red line; a plain one if Ctrl-C came while the printer was loaded."""
    try:
        from humanlrm.commands.terminal import complain
    except (ImportError, KeyboardInterrupt):
        print(line, file=sys.stderr)
    else:
        complain(line)


def _exit_code(error: ValueError | OSError) -> int:
    from humanlrm.mesh.surface import EmptySurfaceError
    from humanlrm.photo.load import PhotoError
    from humanlrm.train.stop import StopRequested

    if isinstance(error, OSError):
        return 1
    codes = {PhotoError: UNUSABLE_PHOTO, EmptySurfaceError: NOTHING_RECONSTRUCTED, StopRequested: STOPPED}
    return next((code for kind, code in codes.items() if isinstance(error, kind)), BAD_USAGE)


def _name_measure(words: list[str]) -> list[str]:
    """Add "people" to ``evaluate`` with options alone, the measure that ``evaluate --quick`` means."""
    only_options = all(word.startswith("-") and word not in ("-h", "--help") for word in words[1:2])
    return ["evaluate", "people", *words[1:]] if words[:1] == ["evaluate"] and only_options else words


def _command(name: str) -> Any:
    module, kind = COMMANDS[name]
    return getattr(importlib.import_module(f"humanlrm.commands.{module}"), kind)


def _subcommand(name: str) -> Any:
    import tyro

    command = _command(name)
    return Annotated[command, tyro.conf.subcommand(name, description=command.__doc__.partition("\n")[0])]


def _message(error: ValueError | OSError) -> str:
    """The error's text; for an error of the system the file and the reason, without a number."""
    if isinstance(error, OSError) and error.strerror is not None:
        return error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    return str(error)


if __name__ == "__main__":
    sys.exit(main())
