"""Webdataset records in tar files: written atomically, found again through an index, read one file at a time."""

import io
import json
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from jaxtyping import Float
from PIL import Image

from humanlrm.body.landmarks import COUNT, DETECTOR_FEATURE_CHANNELS
from humanlrm.files import atomic_write

#: Errors of Pillow and numpy for damaged files.
DAMAGED = (OSError, ValueError, LookupError, SyntaxError, EOFError, BadZipFile)
#: Kinds of records: rendered scans, and multi-view captures.
SUBJECT, CAPTURE = "subject", "capture"


class ShardError(ValueError):
    """A shard that cannot be read; the message names the file."""


def encode_npz(**arrays: np.ndarray) -> bytes:
    """Arrays as an uncompressed .npz file."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # pyright: ignore[reportArgumentType]
    return buffer.getvalue()


def encode_npy(array: np.ndarray) -> bytes:
    """An array as a .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def encode_image(pixels: np.ndarray, form: str, **options: int) -> bytes:
    """Pixels as a picture file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form, **options)
    return buffer.getvalue()


def write_records(path: Path, records: Iterable[dict[str, str | bytes]]) -> int:
    """Write encoded records to ``path``, all or none; return their number."""
    from webdataset.writer import TarWriter  # the extra "train"; reading shards works without

    count = 0
    # A file, not its name: webdataset takes the drive letter of a Windows path for the scheme of an URL.
    with atomic_write(path) as partial, partial.open("wb") as file, TarWriter(file) as writer:
        for record in records:
            writer.write(record)
            count += 1
    return count


@dataclass(frozen=True)
class Entry:
    """Position of one record: its shard, and the (offset, size) of each of its files by extension.

    ``kind`` is that of its json; rendered subjects have none there.
    """

    shard: Path
    key: str
    files: dict[str, tuple[int, int]]
    kind: str = SUBJECT

    @property
    def views(self) -> int:
        return sum(name.removesuffix(".webp").isdigit() for name in self.files)


def list_entries(shard: Path) -> list[Entry]:
    """All records of a shard, of any kind.

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
    """The kind that a record's json states. Loading the record reports a damaged json."""
    try:
        return str(json.loads(about).get("kind", SUBJECT))
    except (ValueError, AttributeError):
        return SUBJECT


def read_files(entry: Entry, *extensions: str) -> list[io.BytesIO]:
    """Read files of a record.

    Raises:
        ShardError: it lacks one.
    """
    contents = []
    with open(entry.shard, "rb") as file:
        for extension in extensions:
            if extension not in entry.files:
                raise ShardError(f"{entry.shard}: {entry.kind} {entry.key} lacks {extension}; write the shard again")
            offset, size = entry.files[extension]
            file.seek(offset)
            contents.append(io.BytesIO(file.read(size)))
    return contents


def read_detector_features(entry: Entry, view: int) -> Float[np.ndarray, "J 2 C"]:
    """The detector's features at the landmarks of a view; zeros where the shard has none.

    Raises:
        ValueError: they have another shape.
    """
    name, shape = f"{view}.clues.npy", (COUNT, 2, DETECTOR_FEATURE_CHANNELS)
    if name not in entry.files:
        return np.zeros(shape, np.float16)
    features = np.load(read_files(entry, name)[0], allow_pickle=False)
    if features.shape != shape:
        raise ValueError(f"its detector features have the shape {features.shape}, expected {shape}")
    return features


def check_finite(arrays: dict[str, np.ndarray], *names: str) -> None:
    """Raise ValueError if arrays of these names are not finite, or if landmarks are infinite (unknown ones are NaN)."""
    if not all(np.isfinite(arrays[name]).all() for name in names):
        raise ValueError("its frames or landmarks are not finite")
    if "landmarks" in arrays and np.isinf(arrays["landmarks"]).any():
        raise ValueError("its true landmarks are infinite; unknown ones are NaN")


@contextmanager
def name_damage(entry: Entry, part: str) -> Iterator[None]:
    """Turn every error of a damaged file into a :class:`ShardError` that names shard, record and part."""
    try:
        yield
    except DAMAGED as error:
        raise ShardError(f"{entry.shard}: {entry.kind} {entry.key}, {part} is damaged ({error})") from error
