"""Mesh files of strangers: a scan or a program's output as arrays, with a colour per vertex or a texture."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from jaxtyping import Float, Int
from PIL import Image
from trimesh.visual import TextureVisuals

from humanlrm.data.scan import Scan

SUFFIXES = (".obj", ".ply", ".glb")
#: A scan higher or lower than this is not in metres; it is scaled to 1.70 m.
_PLAUSIBLE_M = (0.4, 2.6)
_ASSUMED_M = 1.70


@dataclass(frozen=True)
class FileMesh:
    """A mesh as it is in its file, and the sRGB colour of each vertex in [0, 1]."""

    vertices: Float[np.ndarray, "V 3"]
    faces: Int[np.ndarray, "F 3"]
    colours: Float[np.ndarray, "V 3"]


def _load(path: Path) -> trimesh.Trimesh:
    try:
        mesh = trimesh.load(path, force="mesh", process=False)
    except Exception as error:
        raise ValueError(f"{path} is not a mesh that can be read ({error}); give OBJ, PLY or GLB") from error
    if not isinstance(mesh, trimesh.Trimesh) or len(mesh.faces) == 0:
        raise ValueError(f"{path} holds no triangles; give a triangle mesh")
    if not np.isfinite(mesh.vertices).all():
        raise ValueError(f"{path} holds vertices that are not finite; repair the mesh")
    return mesh


def read_mesh(path: Path) -> FileMesh:
    """A mesh file, seams welded; a texture is read at the vertices; grey without colours.

    Raises:
        ValueError: the file cannot be read as a triangle mesh.
    """
    mesh = _load(path)
    colours = _vertex_colours(mesh)
    vertices = np.asarray(mesh.vertices, np.float32)
    _, first, welded = np.unique(vertices, axis=0, return_index=True, return_inverse=True)
    faces = welded.reshape(-1)[mesh.faces]
    faces = faces[(faces != np.roll(faces, 1, axis=1)).all(1)]
    return FileMesh(vertices[first], faces.astype(np.int32), colours[first])


def _vertex_colours(mesh: trimesh.Trimesh) -> Float[np.ndarray, "V 3"]:
    """Of the texture at each vertex, of the file's own colours, or grey."""
    visual: Any = mesh.visual
    grey = np.full((len(mesh.vertices), 3), 0.5, np.float32)
    if isinstance(visual, TextureVisuals):
        if _texture(mesh)[1] is None:
            return grey
        visual = visual.to_color()
    if visual.kind is None:
        return grey
    return (np.asarray(visual.vertex_colors)[:, :3] / np.float32(255)).astype(np.float32)


def read_scan(path: Path, set_name: str) -> Scan:
    """A scan file: +Y up. Metres, or scaled to 1.70 m if that is impossible; turned outside out.

    Raises:
        ValueError: the file cannot be read as a triangle mesh.
    """
    mesh = _load(path)
    uv, image = _texture(mesh)
    if image is None:
        plain = read_mesh(path)
        vertices, faces = plain.vertices, plain.faces
        uv, uv_faces, image = _palette(plain.colours, faces)
    else:
        _, first, welded = np.unique(
            np.asarray(mesh.vertices, np.float32), axis=0, return_index=True, return_inverse=True
        )
        vertices, faces = np.asarray(mesh.vertices, np.float32)[first], welded.reshape(-1)[mesh.faces].astype(np.int32)
        uv_faces = np.asarray(mesh.faces, np.int32)
    height = float(np.ptp(vertices[:, 1]))
    if not _PLAUSIBLE_M[0] <= height <= _PLAUSIBLE_M[1]:
        vertices = vertices * np.float32(_ASSUMED_M / max(height, 1e-9))
        height = _ASSUMED_M
    corner = vertices.astype(np.float64)[faces]
    if np.einsum("fi,fi->f", corner[:, 0], np.cross(corner[:, 1], corner[:, 2])).sum() < 0:
        faces, uv_faces = faces[:, ::-1].copy(), uv_faces[:, ::-1].copy()
    tags: dict[str, str | float] = {"height_m": height}
    return Scan(path.stem, set_name, "see its source", vertices, faces, uv, uv_faces, image, None, tags)


def _texture(mesh: trimesh.Trimesh) -> tuple[Float[np.ndarray, "U 2"], np.ndarray | None]:
    """Texture coordinates per vertex and the image, where the file has one of each."""
    visual: Any = mesh.visual
    uv, material = getattr(visual, "uv", None), getattr(visual, "material", None)
    image = getattr(material, "baseColorTexture", None) or getattr(material, "image", None)
    if uv is None or image is None or len(uv) != len(mesh.vertices):
        return np.zeros((0, 2), np.float32), None
    return np.asarray(uv, np.float32) % 1.0, np.asarray(image.convert("RGB"))


def _palette(colours: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"]):
    """Vertex colours as a texture: one texel per face, its mean colour."""
    side = int(np.ceil(np.sqrt(len(faces))))
    image = np.zeros((side * side, 3), np.float32)
    image[: len(faces)] = colours[faces].mean(1)
    number = np.arange(len(faces))
    uv = np.stack([(number % side + 0.5) / side, 1 - (number // side + 0.5) / side], axis=1).astype(np.float32)
    texture = (image.reshape(side, side, 3) * 255 + 0.5).astype(np.uint8)
    return uv, np.repeat(number[:, None], 3, axis=1).astype(np.int32), texture


def find_scans(folder: Path, ids: Path | None = None) -> list[Path]:
    """Mesh files of a folder and its subfolders in order of their names; ``ids`` lists the stems that are wanted.

    Raises:
        ValueError: no such folder, nothing in it, or an id without a file.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder; give one with scans (OBJ, PLY or GLB)")
    files = {path.stem: path for path in sorted(folder.rglob("*"), reverse=True) if path.suffix.lower() in SUFFIXES}
    wanted = sorted(files) if ids is None else ids.read_text().split()
    missing = [name for name in wanted if name not in files]
    if missing or not wanted:
        raise ValueError(
            f"{folder}: no scan for {', '.join(missing[:5]) or 'anything'}; expected NAME.obj, .ply or .glb"
        )
    return [files[name] for name in wanted]


def person_picture(path: Path) -> Path | None:
    """The photo that belongs to a scan file: the same name with a picture's suffix."""
    for suffix in (".png", ".jpg", ".jpeg", ".webp"):
        if (
            path.with_suffix(suffix).is_file()
            and path.with_suffix(suffix).suffix.lower() in Image.registered_extensions()
        ):
            return path.with_suffix(suffix)
    return None
