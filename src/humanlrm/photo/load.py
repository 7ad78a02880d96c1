"""From a photo file to pixels: any format, upright, 8 bit, sRGB."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

#: Longest side of a photo in memory; larger ones are reduced when they are loaded. Time and memory of the mask's
#: refinement grow with the pixels (0.7 s on one core at 2048 x 1536 px, several seconds at 4096).
WORKING_SIDE_PX = 2048
#: More decoded pixels than this are refused (about 0.3 GB); JPEGs are reduced while decoding and may be larger.
MAX_PIXELS = 80_000_000
_MIN_SIDE_PX = 16
#: An alpha channel that covers more of the picture than this is a frame or rounded corners, not a person's outline.
_OPAQUE_SHARE = 0.98
_HEIF_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"}
#: A file, or an image in memory.
PhotoSource = str | Path | Image.Image | np.ndarray


class PhotoError(ValueError):
    """A photo that cannot be used: one line with what was given, what was expected and what to do."""


@dataclass(frozen=True)
class Photo:
    """A decoded, upright photo, at most ``WORKING_SIDE_PX`` long.

    Attributes:
        rgb: sRGB.
        alpha: the person's outline in [0, 1] if the file brings one, else ``None``.
        name: of the photo in messages.
    """

    rgb: UInt8[np.ndarray, "H W 3"]
    alpha: Float32[np.ndarray, "H W"] | None
    name: str


def load_photo(source: PhotoSource) -> Photo:
    """Decode a picture: upright by EXIF, 8-bit sRGB, first frame, reduced to ``WORKING_SIDE_PX``.

    An alpha channel that is not (nearly) opaque everywhere becomes the person's outline.

    Args:
        source: a file, a Pillow image, or an array of 8-bit numbers (H W, H W 3 or H W 4).

    Raises:
        PhotoError: no such file, a folder, not a picture, damaged, too large, too small, of an unsupported kind, or
            transparent everywhere.
    """
    if isinstance(source, Image.Image | np.ndarray):
        path = Path("the image")
        with _one_error(path):
            image = _upright(_as_image(source), path)
    else:
        if not isinstance(source, str | os.PathLike):
            raise PhotoError(f"a photo is a path, a Pillow image or an array, not {type(source).__name__}")
        path = Path(source)
        if path.is_dir():
            raise PhotoError(f"{path} is a folder; give one picture file")
        if not path.is_file():
            raise PhotoError(f"{path} does not exist; give the path of a picture file")
        image = _decode(path)
    rgb = np.asarray(image.convert("RGB"))
    if image.mode != "RGBA":
        return Photo(rgb, None, path.name)
    alpha = np.asarray(image.getchannel("A"), dtype=np.float32) / 255
    covered = float((alpha > 0.5).mean())
    if covered == 0:
        raise PhotoError(f"{path} is transparent everywhere; give a picture in which the person is opaque")
    return Photo(rgb, alpha if covered < _OPAQUE_SHARE else None, path.name)


def _decode(path: Path) -> Image.Image:
    """An upright 8-bit "RGB" or "RGBA" image of working size."""
    with _one_error(path):
        _check_header(path)
        with Image.open(path) as image:
            image.draft(None, (WORKING_SIDE_PX, WORKING_SIDE_PX))
            return _upright(image, path)


def _upright(image: Image.Image, path: Path) -> Image.Image:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise PhotoError(f"{path} has {width} x {height} px; at most {MAX_PIXELS:,} are read: reduce it first")
    if min(width, height) < _MIN_SIDE_PX:
        raise PhotoError(f"{path} has {width} x {height} px; expected at least {_MIN_SIDE_PX} on each side")
    image.load()
    upright = ImageOps.exif_transpose(_eight_bit(image, path))
    upright.thumbnail((WORKING_SIDE_PX, WORKING_SIDE_PX), Image.Resampling.BOX)
    return upright


def _as_image(source: Image.Image | np.ndarray) -> Image.Image:
    if isinstance(source, Image.Image):
        return source
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


def _check_header(path: Path) -> None:
    """Refuse empty files; let Pillow read HEIF if the extra is installed."""
    with path.open("rb") as file:
        head = file.read(12)
    if not head:
        raise PhotoError(f"{path} is empty; give a picture file")
    if head[4:8] != b"ftyp" or head[8:12] not in _HEIF_BRANDS:
        return
    try:
        from pillow_heif import register_heif_opener  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise PhotoError(f"{path} is a HEIF picture; install humanlrm[heif] (pillow-heif), or save a JPEG") from error
    register_heif_opener()


def _eight_bit(image: Image.Image, path: Path) -> Image.Image:
    """To "RGBA" if the file has any transparency, else to "RGB"; 16 bits are scaled, not clipped; EXIF is kept."""
    exif = image.getexif()
    if image.mode.startswith("I"):
        grey = np.asarray(image).astype(np.int64)
        if grey.min() < 0 or grey.max() > 65535:
            raise PhotoError(f"{path} holds whole numbers of more than 16 bits; save it with 8 or 16 bits per channel")
        out = Image.fromarray((grey / 257).round().astype(np.uint8)).convert("RGB")
    elif image.mode == "F":
        raise PhotoError(f"{path} holds floating-point values; save it with 8 or 16 bits per channel")
    else:
        out = image.convert("RGBA" if image.has_transparency_data else "RGB")
    out.info["exif"] = exif.tobytes()
    return out
