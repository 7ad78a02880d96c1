"""From a photo file to pixels: any format, upright, 8 bit, sRGB."""

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from humanlrm.photo.contrast import raise_contrast

#: Longest side of a photo in memory; larger ones are reduced when they are loaded. Time and memory of the mask's
#: refinement grow with the pixels (0.7 s on one core at 2048 x 1536 px, several seconds at 4096).
WORKING_SIDE_PX = 2048
#: More decoded pixels than this are refused (about 0.3 GB); JPEGs are reduced while decoding and may be larger.
MAX_PIXELS = 80_000_000
_MIN_SIDE_PX = 16
#: An alpha channel that covers more of the picture than this is a frame or rounded corners, not a person's outline.
_OPAQUE_SHARE = 0.98
#: Largest difference of the shapes (width over height) of a photo and its mask.
_MASK_SHAPE = 0.02
_HEIF_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"}
#: A file, its bytes, an open binary file, or an image in memory.
PhotoSource = str | Path | bytes | BinaryIO | Image.Image | np.ndarray
_URL = re.compile(r"[a-z][a-z0-9+.-]+:/|data:", re.IGNORECASE)
#: Kinds of files that are not read, by the test of their mode.
_NO_FILES = {
    "a folder": stat.S_ISDIR,
    "a pipe (FIFO)": stat.S_ISFIFO,
    "a socket": stat.S_ISSOCK,
    "a device": lambda mode: stat.S_ISCHR(mode) or stat.S_ISBLK(mode),
}


class PhotoError(ValueError):
    """A photo that cannot be used: one line with what was given, what was expected and what to do."""


@dataclass(frozen=True)
class Remark:
    """Something that a user should know about a result.

    Attributes:
        code: short and stable, for programs.
        sentence: for people.
    """

    code: str
    sentence: str


@dataclass(frozen=True)
class Photo:
    """A decoded, upright photo, at most ``WORKING_SIDE_PX`` long.

    Attributes:
        rgb: sRGB.
        alpha: the person's outline in [0, 1] if the file brings one, else ``None``.
        name: of the photo in messages.
        remarks: what the user should know about the file.
        scale: pixels here per pixel of the upright file.
        trusted: True if the outline was given as a mask: it is believed as it is.
    """

    rgb: UInt8[np.ndarray, "H W 3"]
    alpha: Float32[np.ndarray, "H W"] | None
    name: str
    remarks: tuple[Remark, ...] = ()
    scale: float = 1.0
    trusted: bool = False

    @cached_property
    def seen(self) -> UInt8[np.ndarray, "H W 3"]:
        """The pixels as the detector sees them: with more contrast if the photo is dull (``contrast.py``)."""
        return raise_contrast(self.rgb)


def load_photo(source: PhotoSource) -> Photo:
    """Decode a picture: upright by EXIF, 8-bit sRGB, first frame, reduced to ``WORKING_SIDE_PX``.

    An alpha channel that is not (nearly) opaque everywhere becomes the person's outline.

    Args:
        source: a file, its bytes, an open binary file, a Pillow image, or an array of 8-bit numbers (H W, H W 3 or
            H W 4).

    Raises:
        PhotoError: no such file, a folder, not a picture, damaged, too large, too small, of an unsupported kind, or
            transparent everywhere.
    """
    path, opened = _opened(source)
    with _one_error(path):
        image, remarks, scale = _upright(opened, path) if isinstance(opened, Image.Image) else _decode(opened, path)
    rgb = np.asarray(image.convert("RGB"))
    if image.mode != "RGBA":
        return Photo(rgb, None, path.name, remarks, scale)
    alpha = np.asarray(image.getchannel("A"), dtype=np.float32) / 255
    if not alpha.any():
        raise PhotoError(f"{path} is transparent everywhere; give a picture in which the person is opaque")
    covered = float((alpha > 0.5).mean())
    if covered == 0:
        sentence = f"{path} is hardly opaque anywhere: its alpha channel was ignored."
        return Photo(rgb, None, path.name, (*remarks, Remark("outline-faint", sentence)), scale)
    return Photo(rgb, alpha if covered < _OPAQUE_SHARE else None, path.name, remarks, scale)


def with_mask(photo: Photo, path: Path) -> Photo:
    """The photo with the outline of a picture: its alpha channel if it has one, else white on black.

    Raises:
        PhotoError: not a picture, of another shape than the photo, or empty.
    """
    check_is_file(path)
    with _one_error(path), Image.open(path) as image:
        upright = ImageOps.exif_transpose(image)
        plane = upright.convert("RGBA").getchannel("A") if upright.has_transparency_data else upright.convert("L")
    height, width = photo.rgb.shape[:2]
    if abs(plane.width / plane.height - width / height) > _MASK_SHAPE * width / height:
        size = f"{plane.width} x {plane.height}"
        raise PhotoError(f"the mask {path} has {size} px, the photo {width} x {height}; give one of the photo's shape")
    mask = np.asarray(plane.resize((width, height), Image.Resampling.BOX), dtype=np.float32) / 255
    if not (mask > 0.5).any():
        raise PhotoError(f"the mask {path} is empty; give one in which the person is white or opaque")
    return replace(photo, alpha=mask, trusted=True)


def _opened(source: PhotoSource) -> tuple[Path, Path | BytesIO | Image.Image]:
    """The photo's name in messages, and the photo as Pillow can open it."""
    if isinstance(source, Image.Image):
        return Path("the image"), source
    if isinstance(source, np.ndarray):
        return Path("the image"), _as_image(source)
    if isinstance(source, bytes | bytearray | memoryview):
        return Path("the photo"), BytesIO(source)
    if not isinstance(source, str | os.PathLike) and hasattr(source, "read"):
        return Path(_stream_name(source)), BytesIO(_content(source))
    if not isinstance(source, str | os.PathLike):
        kinds = "a path, bytes, an open binary file, a Pillow image or an array"
        raise PhotoError(f"a photo is {kinds}, not {type(source).__name__}")
    if _URL.match(str(source)):
        address = re.sub(r"^(\w+:)/(?=[^/])", r"\1//", str(source))  # a path folds slashes
        raise PhotoError(f"{address} is an address, and nothing is downloaded; save the picture and give its file")
    path = Path(source)
    check_is_file(path)
    return path, path


def _stream_name(stream: object) -> str:
    name = getattr(stream, "name", None)
    return Path(name).name if isinstance(name, str) else "the photo"


def _content(stream: BinaryIO) -> bytes:
    content = stream.read()
    if not isinstance(content, bytes):
        raise PhotoError(f"the open file gives {type(content).__name__}, not bytes; open it in binary mode ('rb')")
    return content


def check_is_file(path: Path) -> None:
    """Refuse what is not a regular file, and name it for what it is.

    Raises:
        PhotoError: missing, a folder, a link to nothing, a pipe, a socket, or a device.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        if path.is_symlink():
            raise PhotoError(f"{path} is a link to nothing; give the path of a picture file") from None
        raise PhotoError(f"{path} does not exist; give the path of a picture file") from None
    for kind, is_kind in _NO_FILES.items():
        if is_kind(mode):
            raise PhotoError(f"{path} is {kind}; give one picture file, or - to read standard input")


def _decode(source: Path | BytesIO, path: Path) -> tuple[Image.Image, tuple[Remark, ...], float]:
    """See :func:`_upright`."""
    _check_header(source, path)
    with Image.open(source) as image:
        longest = max(image.size)
        image.draft(None, (WORKING_SIDE_PX, WORKING_SIDE_PX))
        return _upright(image, path, longest)


def _upright(
    image: Image.Image, path: Path, longest_px: int | None = None
) -> tuple[Image.Image, tuple[Remark, ...], float]:
    """An upright "RGB" or "RGBA" image of working size, in sRGB, remarks about the file, and the working scale.

    Args:
        longest_px: longer side of the file; ``None``: as the image.
    """
    width, height = image.size
    longest_px = longest_px or max(width, height)
    if width * height > MAX_PIXELS:
        raise PhotoError(f"{path} has {width} x {height} px; at most {MAX_PIXELS:,} are read: reduce it first")
    if min(width, height) < _MIN_SIDE_PX:
        raise PhotoError(f"{path} has {width} x {height} px; expected at least {_MIN_SIDE_PX} on each side")
    image.load()
    upright = ImageOps.exif_transpose(_eight_bit(image, path))
    upright.thumbnail((WORKING_SIDE_PX, WORKING_SIDE_PX), Image.Resampling.BOX)
    converted, remarks = _in_srgb(upright, image.info.get("icc_profile"), path)
    return converted, remarks, max(converted.size) / longest_px


def _in_srgb(image: Image.Image, profile: bytes | None, path: Path) -> tuple[Image.Image, tuple[Remark, ...]]:
    """The image in sRGB by its profile, if it has one; a damaged profile is ignored with a remark."""
    remarks: tuple[Remark, ...] = ()
    if profile:
        from humanlrm.photo.color_profile import ProfileError, to_srgb

        try:
            image = to_srgb(image, profile)
        except ProfileError as error:
            sentence = f"The color profile of {path} was ignored: {error}. Colors may be a little off."
            remarks = (Remark("color-profile", sentence),)
    return image if image.mode in ("RGB", "RGBA") else image.convert("RGB"), remarks


def _as_image(source: np.ndarray) -> Image.Image:
    if source.dtype != np.uint8 or source.ndim not in (2, 3) or (source.ndim == 3 and source.shape[2] not in (3, 4)):
        raise PhotoError(
            f"an array of shape {source.shape} and type {source.dtype} is no photo; give 8-bit numbers (uint8), "
            "height x width, with 3 or 4 channels or none"
        )
    return Image.fromarray(np.ascontiguousarray(source))


@contextmanager
def _one_error(path: Path) -> Iterator[None]:
    """Pillow's plug-ins raise nearly anything on damaged files; the caller sees :class:`PhotoError` only."""
    try:
        yield
    except PhotoError:
        raise
    except Image.DecompressionBombError as error:
        raise PhotoError(f"{path} is too large ({error}); reduce it first") from error
    except UnidentifiedImageError as error:
        raise PhotoError(f"{path} is not a picture that can be read; give a JPEG, PNG, WebP or TIFF file") from error
    except Exception as error:
        raise PhotoError(f"{path} is damaged or incomplete ({error}); give an intact picture file") from error


def _check_header(source: Path | BytesIO, path: Path) -> None:
    """Refuse empty files; let Pillow read HEIF if the extra is installed."""
    if isinstance(source, BytesIO):
        head = source.getvalue()[:12]
    else:
        with source.open("rb") as file:
            head = file.read(12)
    if not head:
        raise PhotoError(f"{path} is empty; give a picture file")
    if head[:4] in (b"II\x2b\x00", b"MM\x00\x2b"):
        raise PhotoError(f"{path} is a BigTIFF (of more than 4 GB, or written as if), which is not read; give a TIFF")
    if head[4:8] != b"ftyp" or head[8:12] not in _HEIF_BRANDS:
        return
    try:
        from pillow_heif import register_heif_opener  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise PhotoError(f"{path} is a HEIF picture; install humanlrm[heif] (pillow-heif), or save a JPEG") from error
    register_heif_opener()


def _eight_bit(image: Image.Image, path: Path) -> Image.Image:
    """To "RGBA" if the file has any transparency, else to "RGB"; 16 bits are scaled, not clipped; EXIF is kept.

    CMYK with a profile stays CMYK.
    """
    exif = image.getexif()
    if image.mode.startswith("I"):
        grey = np.asarray(image).astype(np.int64)
        if grey.min() < 0 or grey.max() > 65535:
            raise PhotoError(f"{path} holds whole numbers of more than 16 bits; save it with 8 or 16 bits per channel")
        out = Image.fromarray((grey / 257).round().astype(np.uint8)).convert("RGB")
    elif image.mode == "F":
        raise PhotoError(f"{path} holds floating-point values; save it with 8 or 16 bits per channel")
    elif image.mode == "CMYK" and image.info.get("icc_profile"):
        out = image.copy()
    else:
        out = image.convert("RGBA" if image.has_transparency_data else "RGB")
    out.info["exif"] = exif.tobytes()
    return out
