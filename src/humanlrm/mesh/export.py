"""Textured mesh -> file: GLB, OBJ or PLY in metres, upright (+Y), facing +Z, feet at y = 0."""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from jaxtyping import Float, Int
from PIL import Image
from trimesh.exchange.obj import export_obj
from trimesh.visual import TextureVisuals
from trimesh.visual.material import PBRMaterial, SimpleMaterial

from humanlrm.files import atomic_write
from humanlrm.mesh.surface import TexturedMesh

#: Suffixes of the formats that are written.
FORMATS = (".glb", ".obj", ".ply")
#: Cloth and skin: no metal, hardly any gloss.
_ROUGHNESS = 0.95


def save(
    path: str | Path,
    mesh: TexturedMesh,
    height_m: float | None = None,
    metres_per_unit: float | None = None,
    attributes: Mapping[str, Float[np.ndarray, "U"]] | None = None,
) -> Path:
    """Write the mesh to ``path``; its suffix (.glb, .obj, .ply) chooses the format. Returns the path.

    OBJ comes with ``<stem>.mtl`` and ``<stem>.png`` beside it; PLY has one colour per vertex. Missing folders are made.
    A failure leaves no file and no half file.

    Args:
        height_m: the mesh's extent in y becomes this many metres.
        metres_per_unit: or the scale itself, for people whose mesh is not as high as they are (sitting, bending).
        attributes: one number per vertex, by a name that begins with an underscore; OBJ cannot hold them.

    Raises:
        ValueError: an unknown suffix, a scale that is not positive, or not exactly one of the two scales.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise ValueError(f"save: cannot write {path.suffix or 'a file without suffix'!r}; choose one of {FORMATS}")
    vertices = metric_vertices(mesh, height_m, metres_per_unit)
    if suffix == ".ply":
        kept, exported = _colored_trimesh(mesh, vertices)
    else:
        kept, exported = slice(None), _textured_trimesh(mesh, vertices, suffix, path.stem)
    for name, values in (attributes or {}).items():
        exported.vertex_attributes[name] = np.ascontiguousarray(values[kept], dtype=np.float32)
    files = _encoded(path, exported)
    with ExitStack() as stack:
        for file, data in files.items():
            stack.enter_context(atomic_write(file)).write_bytes(data)
    return path


def metric_vertices(
    mesh: TexturedMesh, height_m: float | None = None, metres_per_unit: float | None = None
) -> Float[np.ndarray, "U 3"]:
    """Positions in metres: feet at y = 0, bounding box centred in x and z. Same errors as :func:`save`."""
    if (height_m is None) == (metres_per_unit is None):
        raise ValueError(f"save: give height_m or metres_per_unit, one of them; got {height_m} and {metres_per_unit}")
    low, high = mesh.vertices.min(axis=0).astype(np.float64), mesh.vertices.max(axis=0).astype(np.float64)
    scale = height_m / (high[1] - low[1]) if height_m is not None else metres_per_unit or 0.0
    if not (np.isfinite(scale) and scale > 0):
        raise ValueError(
            f"save: the scale must be positive; got height_m={height_m}, metres_per_unit={metres_per_unit}"
        )
    ground = np.array([(low[0] + high[0]) / 2, low[1], (low[2] + high[2]) / 2])
    # The same arithmetic on equal numbers: duplicates on the seams stay bit-equal and merge again.
    return ((mesh.vertices.astype(np.float64) - ground) * scale).astype(np.float32)


def vertex_colors(mesh: TexturedMesh) -> Float[np.ndarray, "U 3"]:
    """The texture at each vertex, sRGB in [0, 1]."""
    size = len(mesh.texture)
    column, up = np.clip((mesh.uv * size).astype(int), 0, size - 1).T
    return mesh.texture[size - 1 - up, column].astype(np.float32) / 255


def weld(mesh: TexturedMesh) -> tuple[Int[np.ndarray, "V"], Int[np.ndarray, "F 3"]]:
    """One vertex of each set of duplicates on the seams, and the faces as indices of these."""
    _, first, number = np.unique(mesh.welded, return_index=True, return_inverse=True)
    return first, number[mesh.faces]


def _colored_trimesh(
    mesh: TexturedMesh, vertices: Float[np.ndarray, "U 3"]
) -> tuple[Int[np.ndarray, "V"], trimesh.Trimesh]:
    """The vertices that are kept, and the mesh of these with vertex colours."""
    first, faces = weld(mesh)
    colors = (vertex_colors(mesh)[first] * 255).round().astype(np.uint8)
    normals = mesh.normals[first]
    return first, trimesh.Trimesh(vertices[first], faces, vertex_normals=normals, vertex_colors=colors, process=False)


def _textured_trimesh(
    mesh: TexturedMesh, vertices: Float[np.ndarray, "U 3"], suffix: str, name: str
) -> trimesh.Trimesh:
    image = Image.fromarray(mesh.texture)
    if suffix == ".obj":
        # White and matt: viewers multiply the texture with it.
        white, black = [255, 255, 255], [0, 0, 0]
        material = SimpleMaterial(image, name=name, ambient=white, diffuse=white, specular=black)
    else:
        material = PBRMaterial(name=name, baseColorTexture=image, metallicFactor=0.0, roughnessFactor=_ROUGHNESS)
    visual = TextureVisuals(uv=mesh.uv, material=material)
    return trimesh.Trimesh(vertices, mesh.faces, vertex_normals=mesh.normals, visual=visual, process=False)


def _encoded(path: Path, mesh: trimesh.Trimesh) -> dict[Path, bytes]:
    """Contents of the files; the mesh itself comes first here and gets its name last, when the others are there."""
    if path.suffix.lower() == ".obj":
        # The exporter names the image after the material, hence the stem as its name.
        text, extra = export_obj(mesh, include_normals=True, return_texture=True, mtl_name=f"{path.stem}.mtl")
        return {path: text.encode(), **{path.parent / name: data for name, data in extra.items()}}
    if path.suffix.lower() == ".ply":
        data: Any = mesh.export(file_type="ply", vertex_normal=True)
        return {path: data}

    def sign(tree: dict) -> None:
        tree["asset"]["generator"] = "humanlrm"

    scene = trimesh.Scene({"person": mesh})
    data = scene.export(file_type="glb", include_normals=True, tree_postprocessor=sign)
    return {path: data}
