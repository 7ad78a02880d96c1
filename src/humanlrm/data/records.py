"""Webdataset records in tar files: written atomically, found again through an index, read one file at a time."""

import io
import json
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from PIL import Image

from humanlrm.files import atomic_write

#: What Pillow and numpy raise for damaged files.
DAMAGED = (OSError, ValueError, LookupError, SyntaxError, EOFError, BadZipFile)
#: Kinds of records: rendered scans, and multi-view captures.
SUBJECT, CAPTURE = "subject", "capture"


class ShardError(ValueError):
    """A shard that cannot be read; the message names the file."""


def npz_bytes(**arrays: np.ndarray) -> bytes:
    """Arrays as an uncompressed .npz file."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # pyright: ignore[reportArgumentType]
    return buffer.getvalue()


def npy_bytes(array: np.ndarray) -> bytes:
    """An array as a .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def image_bytes(pixels: np.ndarray, form: str, **options: int) -> bytes:
    """Pixels as a picture file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form, **options)
    return buffer.getvalue()


def write_records(path: Path, records: Iterable[dict[str, str | bytes]]) -> int:
    """Writes encoded records to ``path``, all or none; returns how many there were."""
    from webdataset.writer import TarWriter  # the extra "train"; who only reads photos does without

    count = 0
    # A file, not its name: webdataset takes the drive letter of a Windows path for the scheme of an URL.
    with atomic_write(path) as partial, partial.open("wb") as file, TarWriter(file) as writer:
        for record in records:
            writer.write(record)
            count += 1
    return count


@dataclass(frozen=True)
class Entry:
    """Where one subject lies: its shard, and the (offset, size) of each of its files by extension.

    ``kind`` is what its json says it is; rendered subjects say nothing.
    """

    shard: Path
    key: str
    files: dict[str, tuple[int, int]]
    kind: str = SUBJECT

    @property
    def views(self) -> int:
        return sum(name.removesuffix(".webp").isdigit() for name in self.files)


def entries_of(shard: Path) -> list[Entry]:
    """All records of a shard, of whatever kind.

    Raises:
        ShardError: it cannot be read.
    """
    files: dict[str, dict[str, tuple[int, int]]] = {}
    kinds: dict[str, str] = {}
    try:
        with tarfile.open(shard) as tar:
            for member in tar:
                key, _, extension = member.name.partition(".")
                files.setdefault(key, {})[extension] = (member.offset_data, member.size)
                about = tar.extractfile(member) if extension == "json" else None
                if about is not None:
                    kinds[key] = _kind(about.read())
    except (tarfile.TarError, OSError, EOFError) as error:
        raise ShardError(f"{shard}: not a readable shard ({error}); delete it or write it again") from error
    return [Entry(shard, key, parts, kinds.get(key, SUBJECT)) for key, parts in files.items()]


def _kind(about: bytes) -> str:
    """A damaged json is found when the record is loaded."""
    try:
        return str(json.loads(about).get("kind", SUBJECT))
    except (ValueError, AttributeError):
        return SUBJECT


def read_files(entry: Entry, *extensions: str) -> list[io.BytesIO]:
    """Files of a record.

    Raises:
        ShardError: it lacks one.
    """
    out = []
    with open(entry.shard, "rb") as file:
        for extension in extensions:
            if extension not in entry.files:
                raise ShardError(f"{entry.shard}: subject {entry.key} lacks {extension}; write the shard again")
            offset, size = entry.files[extension]
            file.seek(offset)
            out.append(io.BytesIO(file.read(size)))
    return out
