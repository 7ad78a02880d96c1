"""Write a person to a file; the suffix chooses the format."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from jaxtyping import Float
from PIL import Image
from trimesh.exchange.obj import export_obj
from trimesh.visual import TextureVisuals
from trimesh.visual.material import SimpleMaterial

from humanlrm.files import atomic_write
from humanlrm.mesh.export.gltf import encode_glb, encode_gltf
from humanlrm.mesh.export.model import PersonModel
from humanlrm.mesh.export.place import metric_vertices, vertex_colors, weld
from humanlrm.mesh.export.printing import encode_3mf, encode_stl
from humanlrm.mesh.export.usd import encode_usdz
from humanlrm.mesh.surface import TexturedMesh


def save(
    path: str | Path,
    mesh: TexturedMesh,
    height_m: float | None = None,
    metres_per_unit: float | None = None,
    attributes: Mapping[str, Float[np.ndarray, "U"]] | None = None,
) -> Path:
    """Write the mesh to ``path``; its suffix (``FORMATS``) chooses the format. Returns the path.

    OBJ comes with ``<stem>.mtl`` and ``<stem>.png`` beside it; PLY has one colour per vertex. Missing folders are made.
    A failure leaves no file and no half file.

    Args:
        height_m: the mesh's extent in y becomes this many metres.
        metres_per_unit: or the scale itself, for people whose mesh is not as high as they are (sitting, bending).
        attributes: one number per vertex, by a name that begins with an underscore; only .glb and .ply hold them.

    Raises:
        ValueError: an unknown suffix, a scale that is not positive, or not exactly one of the two scales.
    """
    path = Path(path)
    check_suffix(path)
    metric = replace(mesh, vertices=metric_vertices(mesh, height_m, metres_per_unit))
    return write_model(path, PersonModel(metric, "person", attributes=attributes or {}))


def check_suffix(path: Path) -> None:
    """Refuse formats that nobody writes here.

    Raises:
        ValueError: an unknown suffix.
    """
    if path.suffix.lower() not in FORMATS:
        known = ", ".join(FORMATS)
        raise ValueError(f"save: cannot write {path.suffix or 'a file without suffix'!r}; choose one of {known}")


def write_model(path: Path, model: PersonModel) -> Path:
    """Write a person whose vertices are metres; all its files or none."""
    check_suffix(path)
    files = FORMATS[path.suffix.lower()](path, model)
    with ExitStack() as stack:
        for file, data in files.items():
            partial = stack.enter_context(atomic_write(file))
            partial.write_bytes(data)
            if partial.read_bytes() != data:  # before it gets its name, which another writer may replace
                raise OSError(f"{file} would not hold what was written; is the disk full?")
    for file in files:
        if not file.is_file():
            raise OSError(f"{file} was written, but is not there; is the name not allowed there?")
    return path


def _glb(path: Path, model: PersonModel) -> dict[Path, bytes]:
    return {path: encode_glb(model)}


def _gltf(path: Path, model: PersonModel) -> dict[Path, bytes]:
    return {path.parent / name: data for name, data in encode_gltf(model, path.stem).items()}


def _obj(path: Path, model: PersonModel) -> dict[Path, bytes]:
    """The mesh itself comes first here and gets its name last, when the others are there."""
    # White and matt: viewers multiply the texture with it.
    white, black = [255, 255, 255], [0, 0, 0]
    # The format ends a name at a space, and bytes that are no text cannot be written.
    name = "_".join(path.stem.encode("utf-8", "replace").decode("utf-8").replace("?", "_").split())
    material = SimpleMaterial(
        Image.fromarray(model.mesh.texture), name=name, ambient=white, diffuse=white, specular=black
    )
    visual = TextureVisuals(uv=model.mesh.uv, material=material)
    mesh = trimesh.Trimesh(
        model.mesh.vertices, model.mesh.faces, vertex_normals=model.mesh.normals, visual=visual, process=False
    )
    text, extra = export_obj(mesh, include_normals=True, return_texture=True, mtl_name=f"{name}.mtl")
    comment = f"# {model.provenance_text}\n" if model.provenance else ""
    extra[f"{name}.mtl"] = comment.encode() + extra[f"{name}.mtl"]
    return {path: (comment + text).encode(), **{path.parent / file: data for file, data in extra.items()}}


def _ply(path: Path, model: PersonModel) -> dict[Path, bytes]:
    first, faces = weld(model.mesh)
    colors = (vertex_colors(model.mesh)[first] * 255).round().astype(np.uint8)
    normals = model.mesh.normals[first]
    mesh = trimesh.Trimesh(
        model.mesh.vertices[first], faces, vertex_normals=normals, vertex_colors=colors, process=False
    )
    for name, values in model.attributes.items():
        mesh.vertex_attributes[name] = np.ascontiguousarray(values[first], dtype=np.float32)
    data: Any = mesh.export(file_type="ply", vertex_normal=True)
    if model.provenance:
        head, end = b"\nelement vertex", f"\ncomment {model.provenance_text}\nelement vertex".encode()
        data = data.replace(head, end, 1)
    return {path: data}


def _usdz(path: Path, model: PersonModel) -> dict[Path, bytes]:
    return {path: encode_usdz(model)}


def _stl(path: Path, model: PersonModel) -> dict[Path, bytes]:
    return {path: encode_stl(model)}


def _3mf(path: Path, model: PersonModel) -> dict[Path, bytes]:
    return {path: encode_3mf(model)}


#: Writers by suffix: the files' contents by path.
FORMATS: dict[str, Callable[[Path, PersonModel], dict[Path, bytes]]] = {
    ".glb": _glb,
    ".gltf": _gltf,
    ".obj": _obj,
    ".ply": _ply,
    ".vrm": _glb,
    ".usdz": _usdz,
    ".stl": _stl,
    ".3mf": _3mf,
}
