"""``humanlrm``: one command for photos, people, training and evaluation."""

import sys
from typing import Annotated

import tyro

from humanlrm.commands.ablate import Ablate
from humanlrm.commands.data import People, Prepare
from humanlrm.commands.evaluate import Card, Evaluate, Export
from humanlrm.commands.reconstruct import Reconstruct
from humanlrm.commands.terminal import errors
from humanlrm.commands.train import Describe, Train, TrainDiffusion, TrainPoses

Command = (
    Annotated[Reconstruct, tyro.conf.subcommand("reconstruct")]
    | Annotated[People, tyro.conf.subcommand("people")]
    | Annotated[Prepare, tyro.conf.subcommand("prepare")]
    | Annotated[Train, tyro.conf.subcommand("train")]
    | Annotated[TrainDiffusion, tyro.conf.subcommand("train-diffusion")]
    | Annotated[TrainPoses, tyro.conf.subcommand("train-poses")]
    | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
    | Annotated[Export, tyro.conf.subcommand("export")]
    | Annotated[Card, tyro.conf.subcommand("card")]
    | Annotated[Ablate, tyro.conf.subcommand("ablate")]
    | Annotated[Describe, tyro.conf.subcommand("describe")]
)


def main(arguments: list[str] | None = None) -> int:
    """Runs a command; whatever the user can mend is one red line and exit code 1."""
    command = tyro.cli(Command, args=arguments, prog="humanlrm", description=__doc__)  # pyright: ignore[reportArgumentType]
    try:
        return command.run()
    except (ValueError, OSError) as error:
        errors.print(
            f"humanlrm: {' '.join(_said(error).split())}", style="red", highlight=False, soft_wrap=True, markup=False
        )
        return 1
    except KeyboardInterrupt:
        errors.print("humanlrm: stopped", style="red")
        return 130


def _said(error: ValueError | OSError) -> str:
    """What the system says of a file, without a number."""
    if isinstance(error, OSError) and error.strerror is not None:
        return error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    return str(error)


if __name__ == "__main__":
    sys.exit(main())
