"""Mesh files of strangers: a scan or a program's output as arrays, with a colour per vertex or a texture."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from PIL import Image

from humanlrm.data.importers.io import mesh_files
from humanlrm.data.importers.io.upright import Placement
from humanlrm.data.scan import Scan
from humanlrm.mesh.surface import TriangleSurface

SUFFIXES = (".obj", ".ply", ".glb")
PICTURES = (".png", ".jpg", ".jpeg", ".webp")


@dataclass(frozen=True)
class FileMesh:
    """A mesh as it is in its file, and the sRGB colour of each vertex in [0, 1]."""

    vertices: Float[np.ndarray, "V 3"]
    faces: Int[np.ndarray, "F 3"]
    colors: Float[np.ndarray, "V 3"]


def read_mesh(path: Path) -> FileMesh:
    """A mesh file with all its parts, seams welded; a texture is read at the vertices; grey without colours.

    Raises:
        ValueError: the file cannot be read as a triangle mesh.
    """
    mesh = mesh_files.read_mesh(path, colorless=True)
    height, width = mesh.texture.shape[:2]
    u, v = mesh.uv[mesh.uv_faces.ravel()].T
    column, row = np.floor(u * width).astype(int), np.floor((1 - v) * height).astype(int)
    # Of a vertex on a seam the last of its places in the texture.
    colors = np.full((len(mesh.vertices), 3), 0.5, np.float32)
    colors[mesh.faces.ravel()] = mesh.texture[row.clip(0, height - 1), column.clip(0, width - 1)] / np.float32(255)
    return FileMesh(mesh.vertices.astype(np.float32), mesh.faces.astype(np.int32), colors)


def read_scan(path: Path, set_name: str) -> Scan:
    """A scan file: +Y up. Metres, centimetres or millimetres, as its height tells, or else scaled to 1.70 m; turned
    outside out.

    Raises:
        ValueError: the file cannot be read as a triangle mesh.
    """
    mesh = mesh_files.read_mesh(path, colorless=True)
    vertices, faces, uv_faces = mesh.vertices, mesh.faces, mesh.uv_faces
    height = float(np.ptp(vertices[:, 1]))
    metres, _ = Placement().metres(max(height, 1e-9))
    vertices, height = vertices * metres, height * metres
    if TriangleSurface(vertices, faces).volume < 0:
        faces, uv_faces = faces[:, ::-1].copy(), uv_faces[:, ::-1].copy()
    tags: dict[str, str | float] = {"height_m": height}
    places = vertices.astype(np.float32), faces.astype(np.int32)
    texture = mesh.uv.astype(np.float32), uv_faces.astype(np.int32), mesh.texture
    return Scan(path.stem, set_name, "see its source", *places, *texture, None, tags)


def find_scans(folder: Path, ids: Path | None = None) -> list[Path]:
    """Mesh files of a folder and its subfolders in order of their names; ``ids`` lists the stems that are wanted.

    Raises:
        ValueError: no such folder, nothing in it, or an id without a file.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder; give one with scans (OBJ, PLY or GLB)")
    files = {path.stem: path for path in sorted(folder.rglob("*"), reverse=True) if path.suffix.lower() in SUFFIXES}
    wanted = sorted(files) if ids is None else ids.read_text(encoding="utf-8").split()
    missing = [name for name in wanted if name not in files]
    if missing or not wanted:
        raise ValueError(
            f"{folder}: no scan for {', '.join(missing[:5]) or 'anything'}; expected NAME.obj, .ply or .glb"
        )
    return [files[name] for name in wanted]


def person_picture(path: Path) -> Path | None:
    """The photo that belongs to a scan file: the same name with a picture's suffix."""
    for suffix in PICTURES:
        if (
            path.with_suffix(suffix).is_file()
            and path.with_suffix(suffix).suffix.lower() in Image.registered_extensions()
        ):
            return path.with_suffix(suffix)
    return None
