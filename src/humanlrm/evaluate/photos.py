"""Photos of a folder reconstructed, on one page, to be judged without a truth."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

from humanlrm.evaluate.case import IMAGE_PX, SIDES, ColoredSurface
from humanlrm.evaluate.images import render
from humanlrm.evaluate.report.page import html_table, image_tag, page
from humanlrm.evaluate.report.strips import photo_tile, save_strip, thumbnail
from humanlrm.evaluate.report.tables import Table
from humanlrm.evaluate.scores import component_count, mask_agreement
from humanlrm.files import write_text
from humanlrm.mesh.export import vertex_colors, weld
from humanlrm.mesh.preview import YAW_DEG, orbit_camera, zoom_to_fit
from humanlrm.mesh.surface import TriangleSurface, is_closed
from humanlrm.model.pretrained import SHIPPED
from humanlrm.reconstruct import Reconstruction, Reconstructor, Settings

_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".heic", ".avif", ".bmp")
_COLUMNS = ["photo", "input | front | left | back | right | normals", "cut off", "watertight", "components", "IoU mask",
            "seconds"]  # fmt: skip
_THUMB_PX = 192


@dataclass(frozen=True)
class PhotoRow:
    """One photo.

    Attributes:
        name: of the file.
        failure: reason why there is no mesh, or "".
        watertight, components: of the welded mesh.
        mask_iou: of the mesh's silhouette in the input view and the detected mask.
        truncated: borders of the photo that cut the person.
        seconds: from the file to the textured mesh.
    """

    name: str
    failure: str = ""
    watertight: bool = False
    components: int = 0
    mask_iou: float = 0.0
    truncated: str = ""
    seconds: float = 0.0


def photo_files(folder: Path) -> list[Path]:
    """Pictures of a folder, by name.

    Raises:
        ValueError: no such folder, or no pictures in it.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder; give one with photos")
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES)
    if not files:
        raise ValueError(f"{folder} holds no pictures ({', '.join(_SUFFIXES)}); give a folder with photos")
    return files


def evaluate_photos(
    folder: Path,
    out: Path,
    weights: Path | None,
    resolution: int,
    progress: Callable[[int, int], None] | None = None,
) -> list[PhotoRow]:
    """Write ``out/index.html`` and one strip per photo: input, front, left, back, right, normals.

    Raises:
        ValueError: no photos, or weights that cannot be read.
    """
    files = photo_files(folder)
    reconstructor, settings = Reconstructor(weights or SHIPPED), Settings(resolution=resolution)
    rows = []
    for done, path in enumerate(files, start=1):
        rows.append(_reconstruct(path, reconstructor, settings, out))
        if progress is not None:
            progress(done, len(files))
    write_text(out / "index.html", photos_page(rows, out))
    return rows


def _reconstruct(path: Path, reconstructor: Reconstructor, settings: Settings, out: Path) -> PhotoRow:
    start = time.perf_counter()
    try:
        person = reconstructor(path, settings=settings)
    except ValueError as error:
        return PhotoRow(path.name, failure=" ".join(str(error).split()))
    seconds = time.perf_counter() - start
    mesh, shown = _welded(person), person.subject
    cameras = [orbit_camera(YAW_DEG[side], IMAGE_PX) for side in SIDES]
    iou = mask_agreement(render(mesh, cameras[:1])[0], shown)
    cameras = zoom_to_fit(cameras, mesh.surface.vertices)
    pictures = [*render(mesh, cameras), *render(mesh, cameras[:1], normals=True)]
    tiles = [Image.fromarray((picture.rgb * 255).astype(np.uint8)) for picture in pictures]
    save_strip([photo_tile(shown, IMAGE_PX), *tiles], _strip_path(out, path.name), len(tiles) + 1)
    closed, components = is_closed(mesh.surface.faces), component_count(mesh.surface)
    return PhotoRow(path.name, "", closed, components, iou, " ".join(shown.truncated), seconds)


def _strip_path(out: Path, name: str) -> Path:
    return out / "strips" / f"{name}.webp"


def _welded(person: Reconstruction) -> ColoredSurface:
    """The mesh without the doubled vertices of texture seams, with the texture's color at each vertex."""
    mesh = person.mesh
    first, faces = weld(mesh)
    return ColoredSurface(TriangleSurface(mesh.vertices[first], faces.astype(np.int32)), vertex_colors(mesh)[first])


def verdict(rows: list[PhotoRow]) -> str:
    """The evaluation of a folder in one sentence."""
    made = [row for row in rows if not row.failure]
    sound = sum(row.watertight and row.components == 1 for row in made)
    ious = [row.mask_iou for row in made] or [float("nan")]
    whole = [row.mask_iou for row in made if not row.truncated]
    text = (
        f"{len(made)} of {len(rows)} photos reconstructed, {sound} watertight with one component; "
        f"silhouette IoU with the mask {np.mean(ious):.3f} on average"
    )
    if 0 < len(whole) < len(made):
        text += f", {np.mean(whole):.3f} for the {len(whole)} that no border cuts"
    return text


def photos_page(rows: list[PhotoRow], out: Path) -> str:
    """One table with the pictures in it."""
    lines = []
    for row in rows:
        if row.failure:
            lines.append([row.name, f'<span class="failed">{escape(row.failure)}</span>', "", "no", "", "", ""])
            continue
        strip = image_tag(thumbnail(_strip_path(out, row.name), _THUMB_PX), row.name)
        numbers = [str(row.components), f"{row.mask_iou:.3f}", f"{row.seconds:.1f}"]
        lines.append([row.name, strip, row.truncated, "yes" if row.watertight else "no", *numbers])
    return page("humanlrm on photos", [f"<p>{verdict(rows)}</p>", html_table(Table("", _COLUMNS, lines, 4))])
