"""Other looks of a result's GLB for the page's viewer: without the viewer's light, normals, uncertainty."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from PIL import Image
from trimesh.visual import ColorVisuals

from humanlrm.files import atomic_write

#: Looks that the viewer offers. The wireframe is the viewer's own.
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
    if look not in ("Color", "Normals", "Uncertainty"):
        return model
    if look == "Uncertainty" and not heat_map.is_file():
        raise ValueError("tick “Uncertainty” before you reconstruct")
    path = folder / f"{model.stem}.{look.lower()}.glb"
    if look == "Color" and not path.is_file():
        with atomic_write(path) as partial:
            partial.write_bytes(unlit_glb(model.read_bytes()))
    if not path.is_file():
        mesh: Any = trimesh.load(model, force="mesh", process=False)
        if look == "Normals":
            colors = (255 * (mesh.vertex_normals + 1) / 2).round().astype(np.uint8)
            mesh.visual = ColorVisuals(mesh, vertex_colors=colors)
        else:
            mesh.visual.material.baseColorTexture = Image.open(heat_map)
        data = trimesh.Scene({"person": mesh}).export(
            file_type="glb", include_normals=True, tree_postprocessor=_without_light
        )
        with atomic_write(path) as partial:
            partial.write_bytes(data)
    return path


def unlit_glb(data: bytes) -> bytes:
    """The GLB with the light that the photo has, and none of the viewer's."""
    length = int.from_bytes(data[12:16], "little")
    tree = json.loads(data[20 : 20 + length])
    _without_light(tree)
    text = json.dumps(tree).encode()
    text += b" " * (-len(text) % 4)
    rest = data[20 + length :]
    return struct.pack("<4sIII4s", b"glTF", 2, 20 + len(text) + len(rest), len(text), b"JSON") + text + rest


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
