"""Contact sheets: tiles in rows, one of a folder of shards, and their picture files."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from humanlrm.data.shards import ShardFolder
from humanlrm.files import atomic_write

#: Grey behind the people, tiles of a row, and most people of a sheet.
_GROUND, _COLUMNS, _MOST = 230, 12, 60
_FORMATS: dict[str, dict[str, Any]] = {
    ".png": {"format": "PNG"},
    ".jpg": {"format": "JPEG", "quality": 80},
    ".jpeg": {"format": "JPEG", "quality": 80},
    ".webp": {"format": "WEBP", "quality": 85, "method": 6},
}


def grid(tiles: list[UInt8[np.ndarray, "h w 3"]], columns: int) -> UInt8[np.ndarray, "H W 3"]:
    """Put tiles side by side, row after row; fill the last row with white."""
    columns = min(columns, len(tiles))
    blank = np.full_like(tiles[0], 255)
    rows = [tiles[k : k + columns] for k in range(0, len(tiles), columns)]
    return np.concatenate([np.concatenate(row + [blank] * (columns - len(row)), axis=1) for row in rows])


def draw_contact_sheet(shards: ShardFolder) -> UInt8[np.ndarray, "H W 3"]:
    """Draw the first photograph of subjects from all over the folder, cut out.

    It shows people who lie down or have lost a texture before a training learns from them.

    Raises:
        ShardError: a file of a subject is missing or damaged.
    """
    chosen = np.linspace(0, len(shards) - 1, min(_MOST, len(shards))).astype(int)
    tiles = []
    for index in chosen:
        record, _ = shards.load(int(index), 0)
        share = record.alpha[..., None] / np.float32(255)
        tiles.append((record.rgb * share + _GROUND * (1 - share) + 0.5).astype(np.uint8)[::2, ::2])
    return grid(tiles, _COLUMNS)


def check_picture(path: Path) -> None:
    """Raise ValueError if the suffix is not of PNG, JPEG or WebP."""
    if path.suffix.lower() not in _FORMATS:
        raise ValueError(f"a picture's name ends in {', '.join(_FORMATS)}, got {path}")


def save_picture(pixels: UInt8[np.ndarray, "H W 3"], path: Path) -> None:
    """Write PNG, JPEG or WebP by its suffix.

    Raises:
        ValueError: the suffix is none of these.
    """
    check_picture(path)
    with atomic_write(path) as partial:
        Image.fromarray(pixels).save(partial, **_FORMATS[path.suffix.lower()])
