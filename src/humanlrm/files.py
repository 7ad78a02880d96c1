"""Files written whole or not at all, and text files of unknown origin, read with errors that name the file."""

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from hashlib import file_digest
from pathlib import Path
from secrets import token_hex

import numpy as np
from jaxtyping import Float


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Give a temporary name beside ``path`` to write to; make the folder if it is missing.

    When the block ends the file gets its name. If the block raises, the temporary file is removed and an older file
    stays. Every call has a temporary name of its own: of several writers of one file, the last one wins, whole. A
    process that is killed leaves its temporary file behind, which no one reads.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{token_hex(4)}.partial")
    try:
        yield partial
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def sha256(path: Path) -> str:
    """Hash of a file's bytes in hexadecimal."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def plain_values(*settings: object) -> dict[str, object]:
    """Fields of dataclasses as values for JSON."""
    joined = {f.name: getattr(part, f.name) for part in settings if is_dataclass(part) for f in fields(part)}
    return {name: str(value) if isinstance(value, Path) else value for name, value in joined.items()}


def write_text(path: Path, text: str) -> Path:
    """Write a UTF-8 text file atomically; return its path."""
    with atomic_write(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")
    return path


def write_between(path: Path, name: str, text: str) -> Path:
    """Put a part into a page of Markdown: between its marks, or at the end of a page that has none; return its path.

    Args:
        name: of the marks, e.g. the command that writes the part.
    """
    begin, end = (f"<!-- {name}: {word} -->" for word in ("begin", "end"))
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    head, mark, rest = before.partition(begin)
    tail = rest.partition(end)[2] if mark else ""
    parts = [head.rstrip(), f"{begin}\n\n{text.strip()}\n\n{end}", tail.strip()]
    return write_text(path, "\n\n".join(part for part in parts if part) + "\n")


def read_lines(path: Path, keep_empty: bool = False) -> list[str]:
    """Lines without their ends and without comments (#).

    Raises:
        ValueError: missing or not text.
    """
    lines = [line.strip() for line in _text(path).splitlines()]
    return [line for line in lines if not line.startswith("#") and (line or keep_empty)]


def read_json(path: Path) -> dict:
    """A JSON object.

    Raises:
        ValueError: missing, damaged or something else than an object.
    """
    try:
        found = json.loads(_text(path))
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON ({error})") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path}: expected a JSON object, got {type(found).__name__}")
    return found


def number(value: object, where: str | Path) -> float:
    """A finite number.

    Raises:
        ValueError: it is not one.
    """
    try:
        found = float(value)  # pyright: ignore[reportArgumentType]
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: expected a number, got {value!r}") from error
    if not math.isfinite(found):
        raise ValueError(f"{where}: expected a finite number, got {value!r}")
    return found


def numbers(words: Sequence[str], where: str | Path) -> Float[np.ndarray, "N"]:
    """Finite numbers, see :func:`number`."""
    return np.array([number(word, where) for word in words], dtype=np.float64)


def resolve_inside(folder: Path, name: str) -> Path:
    """A path that a file names, which must stay in the folder.

    Raises:
        ValueError: it leaves the folder.
    """
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{folder}: a file in it names {name!r}, which leaves the folder; it was not read")
    return path


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ValueError(f"{path} is missing") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a readable text file ({error})") from error
