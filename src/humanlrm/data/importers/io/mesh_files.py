"""Mesh files (OBJ, PLY, GLB) to one welded triangle mesh with one texture."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import trimesh
from jaxtyping import Float, Int, UInt8
from PIL import Image

from humanlrm.data.importers.io.atlas import TexturedPart, colored_part, flat_part, merge_textures

MESH_SUFFIXES = (".obj", ".ply", ".glb", ".gltf")


@dataclass(frozen=True)
class Geometry:
    """A textured mesh in the units and axes of its file.

    Attributes:
        vertices: each position once, so that texture seams are no holes.
        faces, uv, uv_faces, texture: as in :class:`humanlrm.data.scan.Scan`.
    """

    vertices: Float[np.ndarray, "V 3"]
    faces: Int[np.ndarray, "F 3"]
    uv: Float[np.ndarray, "U 2"]
    uv_faces: Int[np.ndarray, "F 3"]
    texture: UInt8[np.ndarray, "H W 3"]


def read_mesh(path: Path, texture: Path | None = None, colorless: bool = False) -> Geometry:
    """Read a mesh file with all its parts, materials and textures.

    Args:
        texture: picture that replaces all textures and colors of the file.
        colorless: parts without texture and colors are grey instead of an error.

    Raises:
        ValueError: the file or its texture is missing or damaged, or it has neither texture nor colors.
    """
    if not path.is_file():
        raise ValueError(f"{path} is missing")
    options: dict = {"skip_materials": True} if texture is not None and path.suffix.lower() == ".obj" else {}
    # trimesh's readers raise nearly anything on damaged files.
    try:
        scene = trimesh.load_scene(path, process=False, **options)
        meshes = [mesh for mesh in scene.dump() if isinstance(mesh, trimesh.Trimesh) and len(mesh.faces)]
    except Exception as error:
        raise ValueError(f"{path} cannot be read as a mesh ({error}); give an intact OBJ, PLY or GLB file") from error
    if not meshes:
        raise ValueError(f"{path} holds no triangles; give a mesh, not a point cloud")
    picture = None if texture is None else read_texture(texture)
    missing = None if texture is not None or colorless else _missing_file(path)
    return assemble([_part(mesh, picture, path, colorless, missing) for mesh in meshes], path)


def _missing_file(path: Path) -> str | None:
    """The first material file or picture that an OBJ names and that is missing: without it trimesh paints grey."""
    if path.suffix.lower() != ".obj":
        return None
    for library in _referenced_files(path, "mtllib"):
        if not library.is_file():
            return library.name
        for picture in _referenced_files(library, "map_Kd"):
            if not picture.is_file():
                return picture.name
    return None


def _referenced_files(path: Path, keyword: str) -> list[Path]:
    """Files that the lines of a text file with this keyword name, without the options before the name."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    names = [line.split(None, 1)[1].strip() for line in lines if line.lower().startswith(f"{keyword.lower()} ")]
    files = []
    for name in names:
        file = path.parent / name.replace("\\", "/")
        files.append(file if file.is_file() or " -" not in f" {name}" else file.parent / name.split()[-1])
    return files


def read_texture(path: Path) -> UInt8[np.ndarray, "H W 3"]:
    """A picture file as sRGB.

    Raises:
        ValueError: missing or damaged.
    """
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except FileNotFoundError as error:
        raise ValueError(f"{path} (a texture) is missing") from error
    except Exception as error:
        raise ValueError(f"{path} (a texture) is not a readable picture ({error})") from error


def assemble(parts: list[TexturedPart], path: Path) -> Geometry:
    """Merge parts to one mesh with one texture, weld positions, drop degenerate triangles. ``path`` is for messages.

    Raises:
        ValueError: infinite or missing numbers, or indices beyond the vertices.
    """
    for part in parts:
        if not (np.isfinite(part.vertices).all() and np.isfinite(part.uv).all()):
            raise ValueError(f"{path} holds coordinates that are not finite")
        for indices, count in ((part.faces, len(part.vertices)), (part.uv_faces, len(part.uv))):
            if indices.min() < 0 or indices.max() >= count:
                raise ValueError(f"{path} refers to vertex {indices.max()} of {count}; the file is damaged")
    try:
        texture, uvs = merge_textures(parts)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    starts = np.cumsum([0, *(len(part.vertices) for part in parts)])
    uv_starts = np.cumsum([0, *(len(uv) for uv in uvs)])
    vertices, welded = _weld(np.concatenate([part.vertices for part in parts]))
    faces = welded[np.concatenate([part.faces + start for part, start in zip(parts, starts[:-1], strict=True)])]
    uv_faces = np.concatenate([part.uv_faces + start for part, start in zip(parts, uv_starts[:-1], strict=True)])
    proper = (faces != np.roll(faces, 1, axis=1)).all(1)
    if not proper.any():
        raise ValueError(f"{path} holds no triangle with three different corners")
    return Geometry(vertices, faces[proper], np.concatenate(uvs), uv_faces[proper].astype(np.int64), texture)


def _part(
    mesh: trimesh.Trimesh,
    texture: UInt8[np.ndarray, "_ _ 3"] | None,
    path: Path,
    colorless: bool,
    missing: str | None,
) -> TexturedPart:
    vertices, faces = np.asarray(mesh.vertices, np.float64), np.asarray(mesh.faces, np.int64)
    visual = mesh.visual
    uv, colors = getattr(visual, "uv", None), getattr(visual, "vertex_colors", None)
    material = getattr(visual, "material", None)
    if texture is not None:
        if uv is None:
            raise ValueError(f"{path} has no texture coordinates for its texture")
        return TexturedPart(vertices, faces, np.asarray(uv, np.float64), faces, texture)
    if uv is not None and missing is not None:
        raise ValueError(f"{path} names {missing}, which is missing; put it beside it")
    image = getattr(material, "baseColorTexture", None) or getattr(material, "image", None)
    if uv is not None and image is not None:
        try:
            pixels = np.asarray(image.convert("RGB"))
        except Exception as error:
            raise ValueError(f"{path}: a texture is damaged ({error})") from error
        return TexturedPart(vertices, faces, np.asarray(uv, np.float64), faces, pixels)
    if colors is not None and getattr(visual, "kind", None) in ("vertex", "face"):
        return colored_part(vertices, faces, np.asarray(colors)[:, :3])
    color = _flat_color(material)
    if color is None and colorless:
        color = np.full(3, 128, np.uint8)
    if color is None:
        raise ValueError(f"{path} has neither a readable texture nor vertex colors; put its texture beside it")
    return flat_part(vertices, faces, color)


def _flat_color(material: object) -> UInt8[np.ndarray, "3"] | None:
    """The one color of a part, if its file states one."""
    factor = getattr(material, "baseColorFactor", None)
    if factor is None and "kd" in getattr(material, "kwargs", {}):
        factor = getattr(material, "diffuse", None)
    return None if factor is None else np.asarray(factor)[:3].astype(np.uint8)


def _weld(vertices: Float[np.ndarray, "N 3"]) -> tuple[Float[np.ndarray, "V 3"], Int[np.ndarray, "N"]]:
    """Equal positions become one vertex."""
    exact = np.ascontiguousarray(vertices.astype(np.float32) + np.float32(0))
    keys = exact.view(np.dtype((np.void, 12)))[:, 0]
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return exact[first].astype(np.float64), inverse.reshape(-1)
