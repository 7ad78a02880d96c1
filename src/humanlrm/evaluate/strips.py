"""Small pictures of cases: the photo, the truth and the prediction from all sides, side by side."""

import io
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from humanlrm.evaluate.case import Case
from humanlrm.evaluate.scores import Scored
from humanlrm.files import atomic_write
from humanlrm.photo.crop import SubjectCrop

TILE_PX = 128
#: Captions of a strip's tiles: truth and prediction share a column's side.
TILES = (
    "photo",
    *(f"true {s}" for s in ("front", "left", "back", "right")),
    "front",
    "left",
    "back",
    "right",
    "normals",
)


def photo_tile(shown: SubjectCrop, size_px: int) -> Image.Image:
    """The square that the network sees; what the mask leaves out is paler."""
    pale = shown.rgb * (0.35 + 0.65 * shown.alpha) + 0.65 * (1 - shown.alpha) * 0.8
    pixels = (pale.permute(1, 2, 0).numpy().clip(0, 1) * 255).astype(np.uint8)
    return Image.fromarray(pixels).resize((size_px, size_px), Image.Resampling.LANCZOS)


def strip(case: Case, scored: Scored | None) -> Image.Image:
    """One row of ``TILES``; white where nothing came out."""
    out = Image.new("RGB", (TILE_PX * len(TILES), TILE_PX), "white")
    out.paste(photo_tile(case.shown, TILE_PX), (0, 0))
    tiles = [picture.rgb for picture in case.truth.pictures]
    if scored is not None:
        tiles += [picture.rgb for picture in (*scored.predicted, scored.normals)]
    for place, rgb in enumerate(tiles, start=1):
        image = Image.fromarray((rgb * 255).astype(np.uint8))
        out.paste(image.resize((TILE_PX, TILE_PX), Image.Resampling.LANCZOS), (place * TILE_PX, 0))
    return out


def save_strip(image: Image.Image, path: Path) -> None:
    """WebP."""
    with atomic_write(path) as partial:
        image.save(partial, "WEBP", quality=82)


def thumbnail(path: Path, height_px: int) -> bytes:
    """A strip as a smaller WebP."""
    with Image.open(path) as image:
        small = image.convert("RGB").resize((round(image.width * height_px / image.height), height_px))
    stream = io.BytesIO()
    small.save(stream, "WEBP", quality=70)
    return stream.getvalue()


def sheet(lines: list[tuple[str, Path]]) -> UInt8[np.ndarray, "H W 3"]:
    """Strips under each other, each with its caption.

    Raises:
        ValueError: no strips.
    """
    if not lines:
        raise ValueError("sheet: there are no strips to show")
    caption_px = 16
    out = Image.new("RGB", (TILE_PX * len(TILES), (TILE_PX + caption_px) * len(lines) + caption_px), "white")
    draw = ImageDraw.Draw(out)
    for place, title in enumerate(TILES):
        draw.text((place * TILE_PX + 4, 2), title, "black")
    for row, (caption, path) in enumerate(lines):
        top = caption_px + row * (TILE_PX + caption_px)
        draw.text((4, top + 2), caption, "black")
        with Image.open(path) as image:
            out.paste(image.convert("RGB"), (0, top + caption_px))
    return np.asarray(out)
