"""Words of the command line to a command's dataclass, by tyro."""

import io
import re
import shutil
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import replace
from functools import wraps
from types import NoneType
from typing import Any, get_args

import tyro
from tyro.constructors import (
    ConstructorRegistry,
    PrimitiveConstructorSpec,
    PrimitiveTypeInfo,
    StructConstructorSpec,
    StructTypeInfo,
)


class _RejectedError(Exception):
    """A ValueError of a settings dataclass, on its way through tyro."""


def parse(command: Any, words: list[str], program: str, description: str | None = None) -> Any:
    """The command, a dataclass or a union of them, with its options.

    Raises:
        ValueError: a settings dataclass rejects a value.
        SystemExit: the words do not fit the command, or ask for help.
    """
    registry = ConstructorRegistry()
    registry.primitive_rule(_hide_none)
    registry.struct_rule(_ForwardErrors())
    try:
        with redirect_stdout(_FoldedHelp(sys.stdout)):
            return tyro.cli(command, args=words, prog=program, description=description, registry=registry)
    except _RejectedError as rejected:
        raise rejected.args[0] from None


class _FoldedHelp(io.TextIOBase):
    """Standard output on which a command's help fits the terminal; tyro folds neither usage nor description."""

    def __init__(self, stream: Any) -> None:
        self._stream, self._is_help = stream, False

    def isatty(self) -> bool:
        return self._stream.isatty()

    def write(self, text: str) -> int:
        self._is_help |= "usage:" in text[:20]  # after codes of bold letters; a script for completion stays as it is
        if self._is_help:
            width = shutil.get_terminal_size().columns
            text = "\n".join(_fold(line, width) for line in text.split("\n"))
        return self._stream.write(text)


def _fold(line: str, width: int) -> str:
    """Break a line after words and commas, if it is too long."""
    if _columns(line) <= width:
        return line
    rows = [""]
    for part in re.findall(r" *[^ ,]*,?", line):
        if rows[-1] and _columns(rows[-1] + part) > width:
            rows.append(part.lstrip())
        else:
            rows[-1] += part
    return "\n".join(rows)


def _columns(text: str) -> int:
    """Columns of a text in the terminal; codes of colors take none."""
    return len(re.sub(r"\x1b\[[0-9;]*m", "", text))


def _hide_none(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec | None:
    """Show an option of type ``T | None`` like one of type ``T``."""
    kinds = [kind for kind in get_args(info.type) if kind is not NoneType]
    if len(kinds) != 1 or NoneType not in get_args(info.type):
        return None
    spec = ConstructorRegistry.get_primitive_spec(PrimitiveTypeInfo.make(kinds[0], info.markers))
    if not isinstance(spec, PrimitiveConstructorSpec) or spec.nargs != 1:
        return None
    return replace(
        spec,
        is_instance=lambda value: value is None or spec.is_instance(value),
        str_from_instance=lambda value: ["none"] if value is None else spec.str_from_instance(value),
    )


class _ForwardErrors:
    """Forward a ValueError of a dataclass to the caller; tyro would print its own text and exit with another code."""

    def __init__(self) -> None:
        self.inside = False

    def __call__(self, info: StructTypeInfo) -> StructConstructorSpec | None:
        if self.inside:  # asked by this rule for the usual specification
            return None
        self.inside = True
        try:
            spec = ConstructorRegistry.get_struct_spec(info)
        finally:
            self.inside = False
        return (
            replace(spec, instantiate=_forward(spec.instantiate)) if isinstance(spec, StructConstructorSpec) else None
        )


def _forward(make: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(make, updated=())
    def forward(**values: Any) -> Any:
        try:
            return make(**values)
        except ValueError as error:
            raise _RejectedError(error) from error

    return forward
