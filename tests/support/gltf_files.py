"""glTF files read by the words of the specification, without the code that wrote them."""

import json
import os
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

_TYPES = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_SIZES = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}


class GltfFile:
    """A .glb or .gltf file: its tree, arrays, and its vertices under turns of its joints."""

    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        if data[:4] == b"glTF":
            length = struct.unpack_from("<I", data, 12)[0]
            self.tree, self.binary = json.loads(data[20 : 20 + length]), data[28 + length :]
        else:
            self.tree = json.loads(data)
            self.binary = (path.parent / self.tree["buffers"][0]["uri"]).read_bytes()

    def array(self, index: int) -> np.ndarray:
        accessor = self.tree["accessors"][index]
        view = self.tree["bufferViews"][accessor["bufferView"]]
        size = _SIZES[accessor["type"]]
        values = np.frombuffer(
            self.binary, _TYPES[accessor["componentType"]], accessor["count"] * size, view.get("byteOffset", 0)
        )
        return values.reshape(-1, size) if size > 1 else values

    def attribute(self, name: str) -> np.ndarray:
        return self.array(self.tree["meshes"][0]["primitives"][0]["attributes"][name])

    @property
    def joint_names(self) -> list[str]:
        return [self.tree["nodes"][node]["name"] for node in self.tree["skins"][0]["joints"]]

    def vertices(self, turns: dict[str, Rotation] | None = None, root: np.ndarray | None = None) -> np.ndarray:
        """Vertices under rotations of joints relative to their parents."""
        skin, nodes = self.tree["skins"][0], self.tree["nodes"]
        parents = {child: k for k, node in enumerate(nodes) for child in node.get("children", ())}
        world: dict[int, np.ndarray] = {}

        def matrix(k: int) -> np.ndarray:
            if k not in world:
                local = np.eye(4)
                local[:3, 3] = nodes[k]["translation"]
                if root is not None and k not in parents:
                    local[:3, 3] = root
                if nodes[k]["name"] in (turns or {}):
                    local[:3, :3] = turns[nodes[k]["name"]].as_matrix()
                world[k] = matrix(parents[k]) @ local if k in parents else local
            return world[k]

        binds = self.array(skin["inverseBindMatrices"]).reshape(-1, 4, 4).transpose(0, 2, 1)
        moves = np.stack([matrix(k) for k in skin["joints"]]) @ binds
        blended = np.einsum("uk,ukij->uij", self.attribute("WEIGHTS_0"), moves[self.attribute("JOINTS_0")])
        return np.einsum("uij,uj->ui", blended[:, :3, :3], self.attribute("POSITION")) + blended[:, :3, 3]

    def key_frame(self, clip: str, frame: int) -> tuple[dict[str, Rotation], np.ndarray]:
        """Turns of the joints, and the place of the first one, in a frame of a clip."""
        (animation,) = (a for a in self.tree["animations"] if a["name"] == clip)
        turns, root = {}, np.zeros(3)
        for channel in animation["channels"]:
            values = self.array(animation["samplers"][channel["sampler"]]["output"])[frame]
            if channel["target"]["path"] == "rotation":
                turns[self.tree["nodes"][channel["target"]["node"]]["name"]] = Rotation.from_quat(values)
            else:
                root = values
        return turns, root


_VALIDATE = """
const {readFileSync} = require('fs'), {join, dirname} = require('path');
const validator = require('gltf-validator'), file = process.argv[1];
validator.validateBytes(new Uint8Array(readFileSync(file)), {
  externalResourceFunction: uri => Promise.resolve(
    new Uint8Array(readFileSync(join(dirname(file), decodeURIComponent(uri))))),
}).then(report => console.log(JSON.stringify(report.issues)));
"""


def validator_missing() -> str | None:
    """Why Khronos' validator cannot run here; ``None``: it can."""
    if shutil.which("node") is None:
        return "node is missing: install Node.js and `npm install -g gltf-validator`"
    if not _node_paths():
        return "Khronos' validator is missing: npm install -g gltf-validator (or set NODE_PATH)"
    return None


def gltf_issues(path: Path) -> list[str]:
    """Errors and warnings of Khronos' validator."""
    words = ["node", "-e", _VALIDATE, str(path)]
    ended = subprocess.run(words, env=_node_environment(), check=True, capture_output=True, encoding="utf-8")
    return [f"{m['code']} {m['pointer']}" for m in json.loads(ended.stdout)["messages"] if m["severity"] < 2]


def _node_environment() -> dict[str, str]:
    return {**os.environ, "NODE_PATH": _node_paths()}


def _node_paths() -> str:
    """Folder of node's modules that holds the validator, or nothing."""
    folders = [Path(p) for p in os.environ.get("NODE_PATH", "").split(os.pathsep) if p]
    npm = shutil.which("npm")
    if npm is not None:
        ended = subprocess.run([npm, "root", "-g"], capture_output=True, encoding="utf-8", check=False)
        folders.append(Path(ended.stdout.strip() or "."))
    return next((str(folder) for folder in folders if (folder / "gltf-validator").is_dir()), "")
