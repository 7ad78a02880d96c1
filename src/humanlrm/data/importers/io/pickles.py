"""NumPy arrays from pickle files of unknown origin, without running code in them.

A pickle is a program. This reader lets it build numbers, texts, lists, dicts and NumPy arrays, through functions of our
own that replace those of NumPy; everything else is refused by name.
"""

import io
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np


class _Array(np.ndarray):
    """Replaces ndarray and its subclasses (trimesh's ``TrackedArray``) in a pickle."""


def _empty_array(kind: type, shape: tuple[int, ...], code: object) -> np.ndarray:
    """For ``_reconstruct``: NumPy always makes an empty array and fills it afterwards."""
    if kind is not _Array or tuple(shape) != (0,):
        raise pickle.UnpicklingError("an array is described in an unusual way")
    return np.ndarray.__new__(_Array, (0,), "b")


def _from_buffer(buffer: bytes | bytearray, dtype: np.dtype, shape: tuple[int, ...], order: str) -> np.ndarray:
    return np.frombuffer(buffer, dtype=dtype).reshape(shape, order="F" if order == "F" else "C")


def _scalar(dtype: np.dtype, raw: bytes) -> object:
    return np.frombuffer(raw, dtype=dtype, count=1)[0]


def _latin1(text: str, encoding: str) -> bytes:
    """For ``_codecs.encode``: pickles of Python 2 store bytes so."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"text is encoded as {encoding!r}")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """For ``bytes()``: protocol 2 stores empty ones so. Without an argument it cannot allocate gigabytes."""
    return b""


_ALLOWED: dict[tuple[str, str], Callable | type] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): np.dtype,
    ("trimesh.caching", "TrackedArray"): _Array,
    ("_codecs", "encode"): _latin1,
    ("__builtin__", "bytes"): _no_bytes,
}
for _package in ("numpy.core", "numpy._core"):
    _ALLOWED[f"{_package}.multiarray", "_reconstruct"] = _empty_array
    _ALLOWED[f"{_package}.multiarray", "scalar"] = _scalar
    _ALLOWED[f"{_package}.numeric", "_frombuffer"] = _from_buffer


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> object:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not an array") from None


def read_pickle(path: Path) -> object:
    """Load the numbers, texts, lists, dicts and arrays of a pickle file.

    Raises:
        ValueError: missing, damaged, or it asks for anything else.
    """
    try:
        return _load(io.BytesIO(path.read_bytes()))
    except FileNotFoundError as error:
        raise ValueError(f"{path} is missing") from error
    except Exception as error:
        raise ValueError(f"{path} is not a pickle of plain arrays ({error}); it was not loaded") from error


def read_object_npy(path: Path) -> object:
    """Load a .npy file of one pickled object (``np.save`` of a dict).

    Raises:
        ValueError: missing, damaged, or the pickle asks for anything but arrays.
    """
    try:
        stream = io.BytesIO(path.read_bytes())
        major = np.lib.format.read_magic(stream)[0]
        read_header = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
        shape, _, dtype = read_header(stream)
        if not dtype.hasobject:
            raise pickle.UnpicklingError(f"it holds an array of {dtype}, expected one object")
        content = _load(stream)
        return content[()] if isinstance(content, np.ndarray) and shape == () else content
    except FileNotFoundError as error:
        raise ValueError(f"{path} is missing") from error
    except Exception as error:
        raise ValueError(f"{path} is not a .npy file of plain arrays ({error}); it was not loaded") from error


def _load(stream: io.BytesIO) -> object:
    return _plain(_ArrayUnpickler(stream, encoding="latin1").load())


def _plain(content: object) -> object:
    """``_Array`` back to ndarray, in dicts and lists too."""
    if isinstance(content, dict):
        return {key: _plain(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return type(content)(_plain(value) for value in content)
    if not isinstance(content, np.ndarray):
        return content
    plain = content.view(np.ndarray)
    if not plain.dtype.hasobject:
        return plain
    out = np.empty(plain.shape, object)
    for index in np.ndindex(plain.shape):
        out[index] = _plain(plain[index])
    return out


def get_array(content: object, name: str, shape: tuple[int | None, ...], path: Path) -> np.ndarray:
    """An entry of a dict as a finite float array of a shape; ``None`` in the shape is any length.

    Raises:
        ValueError: missing, of another shape, not numbers or not finite; names file and entry.
    """
    value = content.get(name) if isinstance(content, dict) else None
    expected = "x".join("N" if n is None else str(n) for n in shape)
    if value is None:
        raise ValueError(f"{path} lacks {name} ({expected})")
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {name} is not an array of numbers ({error})") from error
    if array.ndim != len(shape) or any(n not in (None, m) for n, m in zip(shape, array.shape, strict=True)):
        # A column for a row is harmless if the number of values is fixed.
        lengths = [n for n in shape if n is not None]
        if None in shape or array.size != np.prod(lengths):
            raise ValueError(f"{path}: {name} has shape {array.shape}, expected {expected}")
        array = array.reshape(lengths)
    if not np.isfinite(array).all():
        raise ValueError(f"{path}: {name} holds numbers that are not finite")
    return array
