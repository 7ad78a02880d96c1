"""Files that are whole or not there: written under a temporary name, then renamed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A temporary name beside ``path``, whose folder is made, to write to. When the block ends the file gets its name;
    if it ends with an error nothing is left, and what was there before stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    try:
        yield partial
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> Path:
    """Writes a text file, whole or not at all; returns its path."""
    with whole(path) as partial:
        partial.write_text(text)
    return path
