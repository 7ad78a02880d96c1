"""The user's cache folder: results that are slow to compute and may be deleted at any time."""

import hashlib
import io
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

_DIGEST_BYTES = 32


def cache_folder(name: str) -> Path | None:
    """The folder ``name`` in the user's cache, made if it is missing; None if it cannot be written to.

    ``HUMANLRM_CACHE`` names another place than the system's (``%LOCALAPPDATA%``, ``~/Library/Caches``,
    ``$XDG_CACHE_HOME`` or ``~/.cache``). Callers work without a cache, only slower.
    """
    try:
        folder = _user_cache() / name
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):  # permissions alone do not tell on all systems
            return folder
    except (OSError, RuntimeError):  # RuntimeError: the user has no home
        return None


def _user_cache() -> Path:
    if override := os.environ.get("HUMANLRM_CACHE"):
        return Path(override)
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / "humanlrm" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "humanlrm"
    configured = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (configured if configured.is_absolute() else Path.home() / ".cache") / "humanlrm"


def cached_arrays(folder: str, key: str, make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The arrays that ``make`` returns, computed once per ``key`` and user.

    A file appears whole, under its final name; of several processes one makes it and the others wait. A damaged file is
    made again.

    Args:
        folder: folder of the cache, see :func:`cache_folder`.
        key: name of the result, unique for its inputs and for the version of the code that makes it.
        make: computes the arrays; called if they are not in the cache.
    """
    where = cache_folder(folder)
    if where is None:
        return make()
    path = where / f"{key}.arrays"
    arrays = _load(path)
    if arrays is None:
        with _alone(path.with_suffix(".lock")):
            arrays = _load(path)
            if arrays is None:
                arrays = make()
                _save(path, arrays)
    return arrays


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Wait for other processes; file systems without locks only cost the work of making a file twice."""
    from filelock import FileLock  # takes a tenth of a second, and most calls find their file

    held = FileLock(lock)
    with suppress(OSError, NotImplementedError):
        held.acquire()
    try:
        yield
    finally:
        held.release()


def _load(path: Path) -> dict[str, np.ndarray] | None:
    """The arrays of a file; None if there is none or it is damaged: its first bytes are the digest of the rest."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, archive = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    if hashlib.sha256(archive).digest() != digest:
        return None
    with np.load(io.BytesIO(archive), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _save(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write under a temporary name, then rename. A full disk or a file that is open elsewhere leaves no cache."""
    archive, partial = io.BytesIO(), None
    np.savez(archive, **arrays)  # pyright: ignore[reportArgumentType]
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".partial", delete=False) as file:
            partial = Path(file.name)
            file.write(hashlib.sha256(archive.getbuffer()).digest())
            file.write(archive.getbuffer())
        partial.replace(path)
    except OSError:
        if partial is not None:
            partial.unlink(missing_ok=True)
