"""Every photo of a folder reconstructed, on one page: what a person can judge who has no truth."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

from humanlrm.evaluate.case import IMAGE_PX, SIDES, ColoredSurface
from humanlrm.evaluate.images import render
from humanlrm.evaluate.page import html_table, image_tag, page
from humanlrm.evaluate.scores import component_count, mask_agreement
from humanlrm.evaluate.strips import photo_tile, save_strip, thumbnail
from humanlrm.files import write_text
from humanlrm.mesh.export import vertex_colors, weld
from humanlrm.mesh.preview import YAW_DEG, orbit_camera, zoom_to_fit
from humanlrm.mesh.surface import TriangleSurface, is_closed
from humanlrm.model.pretrained import SHIPPED
from humanlrm.reconstruct import Reconstruction, Reconstructor, Settings

_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".heic", ".avif", ".bmp")


@dataclass(frozen=True)
class PhotoRow:
    """One photo.

    Attributes:
        name: of the file.
        failure: why there is no mesh, or "".
        watertight, components: of the welded mesh.
        mask_iou: silhouette of the mesh in the input view and the mask that was found.
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
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES)
    if not found:
        raise ValueError(f"{folder} holds no pictures ({', '.join(_SUFFIXES)})")
    return found


def evaluate_photos(
    folder: Path,
    out: Path,
    weights: Path | None,
    resolution: int,
    report: Callable[[int, int], None] | None = None,
) -> list[PhotoRow]:
    """Writes ``out/index.html`` and one strip per photo: input, front, left, back, right, normals.

    Raises:
        ValueError: no photos, or weights that cannot be read.
    """
    files = photo_files(folder)
    reconstructor, settings = Reconstructor(weights or SHIPPED), Settings(resolution=resolution)
    (out / "strips").mkdir(parents=True, exist_ok=True)
    rows = []
    for done, path in enumerate(files):
        rows.append(_one(path, reconstructor, settings, out))
        if report is not None:
            report(done + 1, len(files))
    write_text(out / "index.html", photos_page(rows, out))
    return rows


def _one(path: Path, reconstructor: Reconstructor, settings: Settings, out: Path) -> PhotoRow:
    start = time.perf_counter()
    try:
        found = reconstructor(path, settings=settings)
    except ValueError as error:
        return PhotoRow(path.name, failure=" ".join(str(error).split()))
    seconds = time.perf_counter() - start
    mesh = welded(found)
    shown = found.subject
    around = [orbit_camera(YAW_DEG[side], IMAGE_PX) for side in SIDES]
    iou = mask_agreement(render(mesh, around[:1])[0], shown.alpha[0].numpy() > 0.5, shown.known[0].numpy() > 0.5)
    tiles, cameras = [photo_tile(shown, IMAGE_PX)], zoom_to_fit(around, mesh.surface.vertices)
    rendered = [*render(mesh, cameras), *render(mesh, cameras[:1], normals=True)]
    tiles += [Image.fromarray((picture.rgb * 255).astype(np.uint8)) for picture in rendered]
    strip = Image.new("RGB", (IMAGE_PX * len(tiles), IMAGE_PX))
    for place, tile in enumerate(tiles):
        strip.paste(tile, (place * IMAGE_PX, 0))
    save_strip(strip, out / "strips" / f"{path.name}.webp")
    closed = is_closed(mesh.surface.faces)
    return PhotoRow(path.name, "", closed, component_count(mesh), iou, " ".join(shown.truncated), seconds)


def welded(found: Reconstruction) -> ColoredSurface:
    """The mesh without the doubled vertices of texture seams, the texture's colour at each vertex."""
    mesh = found.mesh
    first, faces = weld(mesh)
    surface = TriangleSurface(mesh.vertices[first], faces.astype(np.int32))
    return ColoredSurface(surface, vertex_colors(mesh)[first])


def verdict(rows: list[PhotoRow]) -> str:
    """One sentence."""
    made = [row for row in rows if not row.failure]
    sound = sum(row.watertight and row.components == 1 for row in made)
    agreed = [row.mask_iou for row in made] or [float("nan")]
    whole = [row.mask_iou for row in made if not row.truncated]
    text = (
        f"{len(made)} of {len(rows)} photos reconstructed, {sound} watertight with one component; "
        f"silhouette IoU with the mask {np.mean(agreed):.3f} on average"
    )
    if 0 < len(whole) < len(made):
        text += f", {np.mean(whole):.3f} for the {len(whole)} that no border cuts"
    return text


def photos_page(rows: list[PhotoRow], out: Path) -> str:
    """One table with the pictures in it."""
    titles = ["photo", "input | front | left | back | right | normals", "cut off", "watertight"]
    titles += ["components", "IoU mask", "seconds"]
    lines = []
    for row in rows:
        if row.failure:
            lines.append([row.name, f'<span class="failed">{escape(row.failure)}</span>', "", "no", "", "", ""])
            continue
        shown = image_tag(thumbnail(out / "strips" / f"{row.name}.webp", 192), row.name)
        closed = "yes" if row.watertight else "no"
        numbers = [str(row.components), f"{row.mask_iou:.3f}", f"{row.seconds:.1f}"]
        lines.append([row.name, shown, row.truncated, closed, *numbers])
    return page("humanlrm on photos", [f"<p>{verdict(rows)}</p>", html_table(titles, lines, 4)])
