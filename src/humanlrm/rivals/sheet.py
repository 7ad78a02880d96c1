"""The qualitative sheet: held-out people under each other, a column per system."""

from pathlib import Path

from PIL import Image, ImageDraw

from humanlrm.evaluate.report.rows import Row
from humanlrm.evaluate.report.strips import TILES, strip_path
from humanlrm.files import atomic_write
from humanlrm.rivals.comparison import Measured

#: Side of a tile, height of a caption, and letters of a caption's line.
_TILE_PX, _CAPTION_PX, _LINE_LETTERS = 96, 36, 30
#: Tiles of a strip that a column shows, and those of the first column.
_SHOWN, _FIRST = ("front", "back"), ("photo", "true back")


def choose_people(rows: list[Row], count: int) -> list[Row]:
    """One plain photo each of ``count`` people, evenly spread over the people in their order."""
    firsts = list({(row.set, row.person): row for row in reversed(rows) if row.condition.protocol == "plain"}.values())
    firsts.reverse()
    step = max(1.0, len(firsts) / count)
    return [firsts[int(place * step)] for place in range(min(count, len(firsts)))]


def write_sheet(measured: Measured, folders: list[Path], path: Path, count: int = 8) -> Path:
    """Write the sheet as a WebP; where a system failed, its tiles are white.

    Args:
        measured: systems and their rows.
        folders: of the systems' evaluations, which hold their strips.
    """
    chosen = choose_people(measured[0][1], count)
    columns = [("photo, and the true back", folders[0], measured[0][0].measured_as, _FIRST)]
    columns += [(s.title, folder, s.measured_as, _SHOWN) for (s, _), folder in zip(measured, folders, strict=True)]
    wide = _TILE_PX * len(_SHOWN)
    sheet = Image.new("RGB", (wide * len(columns), _CAPTION_PX + _TILE_PX * len(chosen)), "white")
    draw = ImageDraw.Draw(sheet)
    for column, (title, folder, method, tiles) in enumerate(columns):
        draw.text((column * wide + 4, 4), _broken(title), "black")
        for line, row in enumerate(chosen):
            strip = _strip(folder, row, method)
            if strip is None:
                continue
            for place, tile in enumerate(tiles):
                at = (column * wide + place * _TILE_PX, _CAPTION_PX + line * _TILE_PX)
                sheet.paste(_tile(strip, tile), at)
    with atomic_write(path) as partial:
        sheet.save(partial, "WEBP", quality=85)
    return path


def _strip(folder: Path, row: Row, method: str) -> Image.Image | None:
    """The strip of a case, if there is one."""
    file = strip_path(folder, row, method)
    if not file.is_file():
        return None
    with Image.open(file) as image:
        return image.convert("RGB")


def _tile(strip: Image.Image, name: str) -> Image.Image:
    side, place = strip.height, TILES.index(name)
    tile = strip.crop((place * side, 0, (place + 1) * side, side))
    return tile.resize((_TILE_PX, _TILE_PX), Image.Resampling.LANCZOS)


def _broken(title: str) -> str:
    """The title in lines of about equal length."""
    lines = [""]
    for word in title.split():
        if len(lines[-1]) + len(word) > _LINE_LETTERS:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)
