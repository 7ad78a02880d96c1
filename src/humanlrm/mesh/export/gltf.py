"""A person as glTF 2.0: one mesh, its textures, and skeleton, skin and clips where there are any."""

import json
import struct
from io import BytesIO
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from humanlrm.mesh.export.model import ROUGHNESS, ImageFormat, JointClip, Joints, PersonModel
from humanlrm.mesh.export.tangents import vertex_tangents

#: Component types and buffer targets of glTF.
_COMPONENTS = {"float32": 5126, "uint32": 5125, "uint16": 5123, "uint8": 5121}
_SHAPES = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}
_VERTICES, _INDICES = 34962, 34963
_MIPMAPPED, _LINEAR, _CLAMP = 9987, 9729, 33071
GENERATOR = "humanlrm"


class GltfBuilder:
    """A glTF tree and its buffer, filled part by part."""

    def __init__(self) -> None:
        self.tree: dict[str, Any] = {"asset": {"version": "2.0"}, "scene": 0}
        self.buffer = bytearray()

    def add(self, kind: str, entry: dict[str, Any]) -> int:
        """Append to one of the tree's lists; return the entry's index."""
        entries = self.tree.setdefault(kind, [])
        entries.append(entry)
        return len(entries) - 1

    def view(self, data: bytes, target: int | None = None) -> int:
        """Index of a buffer view of these bytes; every view begins at a multiple of 4."""
        self.buffer.extend(bytes(-len(self.buffer) % 4))
        entry = {"buffer": 0, "byteOffset": len(self.buffer), "byteLength": len(data)}
        self.buffer.extend(data)
        return self.add("bufferViews", entry if target is None else {**entry, "target": target})

    def accessor(self, values: np.ndarray, target: int | None = None, bounds: bool = False) -> int:
        """Index of an accessor of an array whose rows are the elements."""
        values = np.ascontiguousarray(values)
        rows = values.reshape(len(values), -1)
        kind = "SCALAR" if values.ndim == 1 else _SHAPES[rows.shape[1]]
        entry = {"bufferView": self.view(values.astype(values.dtype.newbyteorder("<")).tobytes(), target),
                 "componentType": _COMPONENTS[values.dtype.name], "count": len(values), "type": kind}  # fmt: skip
        if bounds:
            entry |= {"min": rows.min(axis=0).tolist(), "max": rows.max(axis=0).tolist()}
        return self.add("accessors", entry)

    def texture(self, pixels: UInt8[np.ndarray, "T T 3"], name: str, image: ImageFormat) -> int:
        """Index of a texture."""
        source = self.add(
            "images", {"name": name, "mimeType": f"image/{image}", "bufferView": self.view(encode_image(pixels, image))}
        )
        if not self.tree.get("samplers"):
            clamp = {"wrapS": _CLAMP, "wrapT": _CLAMP}
            self.add("samplers", {"magFilter": _LINEAR, "minFilter": _MIPMAPPED, **clamp})
        if image == "png":
            return self.add("textures", {"sampler": 0, "source": source})
        self.extension("EXT_texture_webp", required=True)
        return self.add("textures", {"sampler": 0, "extensions": {"EXT_texture_webp": {"source": source}}})

    def extension(self, name: str, required: bool = False) -> None:
        """Name an extension that the file uses."""
        for key in ("extensionsUsed", "extensionsRequired") if required else ("extensionsUsed",):
            names = self.tree.setdefault(key, [])
            if name not in names:
                names.append(name)


def encode_image(pixels: UInt8[np.ndarray, "T T 3"], image: ImageFormat) -> bytes:
    """Bytes of a picture file; WebP is lossy at high quality."""
    data = BytesIO()
    if image == "png":
        Image.fromarray(pixels).save(data, "PNG", compress_level=6)
    else:
        Image.fromarray(pixels).save(data, "WEBP", quality=92, method=4)
    return data.getvalue()


def build_gltf(model: PersonModel) -> GltfBuilder:
    """The whole tree of a person."""
    out = GltfBuilder()
    out.tree["asset"] |= _asset(model)
    mesh = out.add("meshes", {"name": "person", "primitives": [_primitive(out, model)]})
    node: dict[str, Any] = {"name": "person", "mesh": mesh}
    roots = [out.add("nodes", node)]
    if model.joints is not None:
        first = len(out.tree["nodes"])
        roots.append(first)
        _add_joints(out, model.joints, first)
        node["skin"] = _add_skin(out, model.joints, first)
        for clip in model.clips:
            _add_clip(out, clip, first)
    out.add("scenes", {"nodes": roots})
    if model.extensions:
        out.tree["extensions"] = dict(model.extensions)
        for name in model.extensions:
            out.extension(name)
    return out


def encode_glb(model: PersonModel) -> bytes:
    """One binary file."""
    built = build_gltf(model)
    built.buffer.extend(bytes(-len(built.buffer) % 4))
    built.tree["buffers"] = [{"byteLength": len(built.buffer)}]
    text = json.dumps(built.tree, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text
    chunks += struct.pack("<I4s", len(built.buffer), b"BIN\0") + bytes(built.buffer)
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def encode_gltf(model: PersonModel, stem: str) -> dict[str, bytes]:
    """Files by name: the text, its buffer and its pictures."""
    built = build_gltf(model)
    files: dict[str, bytes] = {}
    for number, image in enumerate(built.tree["images"]):
        view = built.tree["bufferViews"][image.pop("bufferView")]
        start = view["byteOffset"]
        name = f"{stem}.{image['name']}.{image.pop('mimeType').partition('/')[2]}"
        files[name] = bytes(built.buffer[start : start + view["byteLength"]])
        built.tree["images"][number] = {"name": image["name"], "uri": name}
    _drop_pictures(built)
    built.tree["buffers"] = [{"byteLength": len(built.buffer), "uri": f"{stem}.bin"}]
    text = json.dumps(built.tree, indent=1).encode()
    return {f"{stem}.gltf": text, f"{stem}.bin": bytes(built.buffer), **files}


def _drop_pictures(built: GltfBuilder) -> None:
    """Leave out buffer views that no accessor names."""
    kept, old = bytearray(), bytes(built.buffer)
    views, number = [], {}
    for accessor in built.tree["accessors"]:
        index = accessor["bufferView"]
        if index not in number:
            view = dict(built.tree["bufferViews"][index])
            kept.extend(bytes(-len(kept) % 4))
            data = old[view["byteOffset"] : view["byteOffset"] + view["byteLength"]]
            view["byteOffset"] = len(kept)
            kept.extend(data)
            number[index] = len(views)
            views.append(view)
        accessor["bufferView"] = number[index]
    built.tree["bufferViews"], built.buffer = views, kept


def _asset(model: PersonModel) -> dict[str, Any]:
    """Provenance: generator and copyright are glTF's own fields, the rest goes to the extras."""
    facts = dict(model.provenance)
    asset = {"generator": facts.pop("generator", GENERATOR)}
    if "copyright" in facts:
        asset["copyright"] = facts.pop("copyright")
    return asset | ({"extras": {"humanlrm": facts}} if facts else {})


def _primitive(out: GltfBuilder, model: PersonModel) -> dict[str, Any]:
    mesh = model.mesh
    attributes = {
        "POSITION": out.accessor(mesh.vertices.astype(np.float32), _VERTICES, bounds=True),
        "NORMAL": out.accessor(_unit_rows(mesh.normals), _VERTICES),
        "TEXCOORD_0": out.accessor((mesh.uv * [1, -1] + [0, 1]).astype(np.float32), _VERTICES),
    }
    if model.normal_map is not None:
        attributes["TANGENT"] = out.accessor(vertex_tangents(mesh), _VERTICES)
    if model.joints is not None:
        attributes["JOINTS_0"] = out.accessor(model.joints.indices.astype(np.uint8), _VERTICES)
        attributes["WEIGHTS_0"] = out.accessor(model.joints.weights.astype(np.float32), _VERTICES)
    for name, values in model.attributes.items():
        attributes[name] = out.accessor(np.asarray(values, np.float32), _VERTICES)
    indices = mesh.faces.astype(np.uint16 if len(mesh.vertices) < 2**16 - 1 else np.uint32).ravel()
    return {"attributes": attributes, "indices": out.accessor(indices, _INDICES), "material": _material(out, model)}


def _material(out: GltfBuilder, model: PersonModel) -> int:
    color = {"index": out.texture(model.mesh.texture, "color", model.image)}
    material: dict[str, Any] = {
        "name": model.name,
        "pbrMetallicRoughness": {"baseColorTexture": color, "metallicFactor": 0.0, "roughnessFactor": ROUGHNESS},
    }
    if model.normal_map is not None:
        material["normalTexture"] = {"index": out.texture(model.normal_map, "normals", "png")}
    return out.add("materials", material)


def _add_joints(out: GltfBuilder, joints: Joints, first: int) -> None:
    """One node per joint, whose axes are the world's at rest."""
    for k, (name, offset) in enumerate(zip(joints.names, joints.offsets.astype(np.float32), strict=True)):
        node: dict[str, Any] = {"name": name, "translation": offset.tolist()}
        if children := [first + i for i, parent in enumerate(joints.parents) if parent == k]:
            node["children"] = children
        out.add("nodes", node)


def _add_skin(out: GltfBuilder, joints: Joints, first: int) -> int:
    # What a reader adds up along the chain, float32 by float32, is what the bind matrix must undo.
    places: Float[np.ndarray, "K 3"] = np.zeros((len(joints.names), 3))
    for k, parent in enumerate(joints.parents):
        places[k] = joints.offsets[k].astype(np.float32) + (places[parent] if parent >= 0 else 0)
    matrices = np.tile(np.eye(4, dtype=np.float32), (len(places), 1, 1))
    # Columns are stored one after the other: the last row here is the last column there.
    matrices[:, 3, :3] = -places
    nodes: list[int] = [first + k for k in range(len(places))]
    return out.add(
        "skins", {"joints": nodes, "skeleton": first, "inverseBindMatrices": out.accessor(matrices.reshape(-1, 16))}
    )


def _add_clip(out: GltfBuilder, clip: JointClip, first: int) -> None:
    times = out.accessor(clip.times_s.astype(np.float32), bounds=True)
    samplers: list[dict[str, Any]] = []
    channels: list[dict[str, Any]] = []
    tracks = [(first + k, "rotation", clip.rotations[:, k]) for k in range(clip.rotations.shape[1])]
    for node, path, values in [(first, "translation", clip.root), *tracks]:
        samplers.append({"input": times, "output": out.accessor(values.astype(np.float32)), "interpolation": "LINEAR"})
        channels.append({"sampler": len(samplers) - 1, "target": {"node": node, "path": path}})
    out.add("animations", {"name": clip.name, "samplers": samplers, "channels": channels})


def _unit_rows(vectors: Float[np.ndarray, "U 3"]) -> Float[np.ndarray, "U 3"]:
    """Unit vectors in float32; rows without a direction point up."""
    length = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    return np.where(length > 1e-9, vectors / np.maximum(length, 1e-12), [0.0, 1.0, 0.0]).astype(np.float32)
