"""Other looks of a result's GLB for the page's viewer: without the viewer's light, normals, wireframe, uncertainty.

The viewer's own wireframe is not used: Gradio 6.31 does not leave it again.
"""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from jaxtyping import Float, Int
from PIL import Image
from trimesh.visual import ColorVisuals

from humanlrm.files import atomic_write

#: Looks that the viewer offers.
LOOKS = ("Color", "Shaded", "Normals", "Wireframe", "Uncertainty", "Walk")
_UNLIT = "KHR_materials_unlit"


def write_variant(model: Path, heat_map: Path, look: str, folder: Path) -> Path:
    """The GLB with another look; written once.

    Args:
        model: the result's GLB.
        heat_map: its uncertainty as a texture.
        look: of ``LOOKS``.
        folder: where variants are kept.

    Raises:
        ValueError: the result has no uncertainty, or does not walk.
    """
    if look == "Walk":
        walking = model.with_suffix(".walk.glb")
        if not walking.is_file():
            raise ValueError("tick “Walk” before you reconstruct")
        return walking
    if look == "Shaded":
        return model
    if look == "Uncertainty" and not heat_map.is_file():
        raise ValueError("tick “Uncertainty” before you reconstruct")
    path = folder / f"{model.stem}.{look.lower()}.glb"
    if not path.is_file():
        with atomic_write(path) as partial:
            partial.write_bytes(_encode(model, heat_map, look))
    return path


def _encode(model: Path, heat_map: Path, look: str) -> bytes:
    if look == "Color":
        return unlit_glb(model.read_bytes())
    mesh: Any = trimesh.load(model, force="mesh", process=False)
    if look == "Wireframe":
        return wireframe_glb(mesh.vertices, mesh.edges_unique)
    if look == "Normals":
        colors = (255 * (mesh.vertex_normals + 1) / 2).round().astype(np.uint8)
        mesh.visual = ColorVisuals(mesh, vertex_colors=colors)
    else:
        mesh.visual.material.baseColorTexture = Image.open(heat_map)
    scene: Any = trimesh.Scene({"person": mesh})
    return scene.export(file_type="glb", include_normals=True, tree_postprocessor=_without_light)


def unlit_glb(data: bytes) -> bytes:
    """The GLB with the light that the photo has, and none of the viewer's."""
    length = int.from_bytes(data[12:16], "little")
    tree = json.loads(data[20 : 20 + length])
    _without_light(tree)
    return _pack(tree, data[20 + length :])


def wireframe_glb(vertices: Float[np.ndarray, "V 3"], edges: Int[np.ndarray, "E 2"]) -> bytes:
    """A GLB of lines."""
    positions, indices = vertices.astype("<f4"), edges.astype("<u4")
    binary = positions.tobytes() + indices.tobytes()
    sizes = (positions.nbytes, indices.nbytes)
    bounds = {"min": positions.min(axis=0).tolist(), "max": positions.max(axis=0).tolist()}
    tree = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1, "mode": 1, "material": 0}]}],
        "materials": [{"pbrMetallicRoughness": {"baseColorFactor": [0.2, 0.2, 0.25, 1.0]}}],
        "buffers": [{"byteLength": len(binary)}],
        "bufferViews": [
            {"buffer": 0, "byteOffset": 0, "byteLength": sizes[0]},
            {"buffer": 0, "byteOffset": sizes[0], "byteLength": sizes[1]},
        ],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": len(positions), "type": "VEC3", **bounds},
            {"bufferView": 1, "componentType": 5125, "count": indices.size, "type": "SCALAR"},
        ],
    }
    _without_light(tree)
    return _pack(tree, struct.pack("<I4s", len(binary), b"BIN\0") + binary)


def _pack(tree: dict[str, Any], binary_chunk: bytes) -> bytes:
    """A GLB of its JSON and its binary chunk."""
    text = json.dumps(tree).encode()
    text += b" " * (-len(text) % 4)
    size = 20 + len(text) + len(binary_chunk)
    return struct.pack("<4sIII4s", b"glTF", 2, size, len(text), b"JSON") + text + binary_chunk


def _without_light(tree: dict[str, Any]) -> None:
    """Let viewers show the colors as they are."""
    tree["extensionsUsed"] = sorted({*tree.get("extensionsUsed", ()), _UNLIT})
    materials = tree.setdefault("materials", [])
    if not materials:
        materials.append({"pbrMetallicRoughness": {"metallicFactor": 0.0}})
        for mesh in tree["meshes"]:
            for primitive in mesh["primitives"]:
                primitive["material"] = 0
    for material in materials:
        material.setdefault("extensions", {})[_UNLIT] = {}
