"""Strips: the photo, the truth and the prediction of a case from all sides, side by side; and sheets of strips."""

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from humanlrm.evaluate.case import SIDES, Case
from humanlrm.evaluate.plan import PROTOCOLS
from humanlrm.evaluate.report.rows import Row, grouped
from humanlrm.evaluate.report.tables import MAIN
from humanlrm.evaluate.scores import METRIC, Scored
from humanlrm.files import atomic_write
from humanlrm.photo.crop import SubjectCrop

_TILE_PX, _CAPTION_PX = 128, 16
#: Captions of a strip's tiles: truth and prediction from each side.
TILES = ("photo", *(f"true {side}" for side in SIDES), *SIDES, "normals")
#: Strips per contact sheet, and on the sheet of the worst cases.
_PER_SHEET, _WORST = 8, 40


def strip_path(out: Path, case: Case | Row, method: str) -> Path:
    """The file of a case's strip in the folder of an evaluation."""
    words = f"{case.set}-{case.subject}-{case.yaw_deg:.0f}-{case.condition.name}-{method}"
    return out / "strips" / ("".join(c if c.isalnum() or c in "-_." else "_" for c in words) + ".webp")


def photo_tile(shown: SubjectCrop, size_px: int) -> Image.Image:
    """The square that the network sees, paler outside of the mask."""
    pale = shown.rgb * (0.35 + 0.65 * shown.alpha) + 0.65 * (1 - shown.alpha) * 0.8
    pixels = (pale.permute(1, 2, 0).numpy().clip(0, 1) * 255).astype(np.uint8)
    return Image.fromarray(pixels).resize((size_px, size_px), Image.Resampling.LANCZOS)


def save_case(case: Case, scored: Scored | None, path: Path) -> None:
    """Write one row of ``TILES``, white where there is no prediction."""
    pictures = [*case.truth.pictures, *(scored.pictures if scored is not None else ())]
    tiles = [Image.fromarray((picture.rgb * 255).astype(np.uint8)) for picture in pictures]
    small = [tile.resize((_TILE_PX, _TILE_PX), Image.Resampling.LANCZOS) for tile in tiles]
    save_strip([photo_tile(case.shown, _TILE_PX), *small], path, len(TILES))


def save_strip(tiles: list[Image.Image], path: Path, columns: int) -> None:
    """Write square tiles side by side as a WebP of ``columns`` tiles."""
    side_px = tiles[0].width
    out = Image.new("RGB", (side_px * columns, side_px), "white")
    for column, tile in enumerate(tiles):
        out.paste(tile, (column * side_px, 0))
    with atomic_write(path) as partial:
        out.save(partial, "WEBP", quality=82)


def thumbnail(path: Path, height_px: int) -> bytes:
    """A strip as a smaller WebP."""
    with Image.open(path) as image:
        small = image.convert("RGB").resize((round(image.width * height_px / image.height), height_px))
    stream = io.BytesIO()
    small.save(stream, "WEBP", quality=70)
    return stream.getvalue()


def write_sheets(rows: list[Row], out: Path) -> None:
    """Write ``sheets/``: the worst, middle and best cases per set and method, and the corrupted photographs."""
    kept = [row for row in rows if strip_path(out, row, row.method).is_file()]
    for (name, group, method), members in grouped(kept).items():
        if group != "all":
            continue
        members = sorted(members, key=lambda row: row.values.get("chamfer_cm", float("inf")))
        sheets = {"all": members}
        if len(members) > _PER_SHEET:
            middle = max(0, len(members) // 2 - _PER_SHEET // 2)
            sheets = {"best": members[:_PER_SHEET], "middle": members[middle : middle + _PER_SHEET]}
            sheets["worst"] = members[::-1][:_WORST]
        for word, chosen in sheets.items():
            _write_sheet(out / "sheets" / f"{name}-{method}-{word}.jpg", out, chosen)
    for protocol in list(PROTOCOLS)[1:]:
        members = [row for row in kept if row.condition.protocol == protocol]
        for name, method, subject in dict.fromkeys((row.set, row.method, row.subject) for row in members):
            chosen = [row for row in members if (row.set, row.method, row.subject) == (name, method, subject)]
            _write_sheet(out / "sheets" / f"{protocol}-{name}-{subject}-{method}.jpg", out, chosen)


def _write_sheet(path: Path, out: Path, rows: list[Row]) -> None:
    """Strips under each other, each with its caption."""
    line_px = _TILE_PX + _CAPTION_PX
    sheet = Image.new("RGB", (_TILE_PX * len(TILES), line_px * len(rows) + _CAPTION_PX), "white")
    draw = ImageDraw.Draw(sheet)
    for column, title in enumerate(TILES):
        draw.text((column * _TILE_PX + 4, 2), title, "black")
    for line, row in enumerate(rows):
        top = _CAPTION_PX + line * line_px
        draw.text((4, top + 2), _caption(row), "black")
        with Image.open(strip_path(out, row, row.method)) as image:
            sheet.paste(image.convert("RGB"), (0, top + _CAPTION_PX))
    with atomic_write(path) as partial:
        sheet.save(partial, "JPEG", quality=85)


def _caption(row: Row) -> str:
    words = [row.set, row.subject, f"yaw {row.yaw_deg:.0f}", row.method]
    words += [] if row.condition.protocol == "plain" else [row.condition.name]
    numbers = [f"{METRIC[m].title} {row.values[m]:.{METRIC[m].digits}f}" for m in MAIN if m in row.values]
    return "   ".join(words + (numbers or [f"failed: {row.failure}"]))
