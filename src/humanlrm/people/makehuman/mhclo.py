"""Garments in MakeHuman's ``.mhclo`` form: a mesh whose vertices hang on the vertices of a base mesh.

Format as documented by the MakeHuman community; a row is three base vertices, three barycentric weights and an offset,
or one base vertex. Offsets are scaled per axis by the size of the body: the distance of two reference vertices of the
body along the axis, divided by the number that the garment's author measured on theirs (decimetres).
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from humanlrm.data.scan import nearest_texels

_AXES = ("x_scale", "y_scale", "z_scale")


@dataclass(frozen=True)
class Garment:
    """A garment mesh and how it hangs on the base mesh.

    Attributes:
        faces: triangles; uv, uv_faces: texture coordinates (v = 0 at the bottom) per corner.
        anchors: three base vertices of each vertex, and their shares; offsets: added to their mean, see the module.
        references: (first vertex, second vertex, author's distance) for x, y, z; None: offsets are decimetres as such.
        hidden: base vertices that the garment covers.
        middles: pairs of vertices whose mean is a further vertex (subdivided meshes), numbered after the anchored ones.
    """

    faces: Int[np.ndarray, "F 3"]
    uv: Float[np.ndarray, "U 2"]
    uv_faces: Int[np.ndarray, "F 3"]
    anchors: Int[np.ndarray, "G 3"]
    shares: Float[np.ndarray, "G 3"]
    offsets: Float[np.ndarray, "G 3"]
    references: tuple[tuple[int, int, float], ...] | None
    hidden: Int[np.ndarray, "D"]
    middles: tuple[Int[np.ndarray, "M 2"], ...] = ()

    def fitted(self, base: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "V 3"]:
        """The garment on a body whose base vertices (with helpers) are given in metres."""
        scale = np.full(3, 0.1)
        if self.references is not None:
            scale = np.array([abs(base[a, k] - base[b, k]) / size for k, (a, b, size) in enumerate(self.references)])
        points = np.einsum("gk,gka->ga", self.shares, base[self.anchors]) + self.offsets * scale
        return self._with_middles(points).astype(np.float32)

    def weighted(self, weights: Float[np.ndarray, "N B"]) -> Float[np.ndarray, "V B"]:
        """Skinning weights of the garment from those of the base mesh; rows sum to 1."""
        mixed = sum(np.clip(self.shares[:, k, None], 0, None) * weights[self.anchors[:, k]] for k in range(3))
        mixed = self._with_middles(np.asarray(mixed))
        return (mixed / np.maximum(mixed.sum(1, keepdims=True), 1e-9)).astype(np.float32)

    def _with_middles(self, values: Float[np.ndarray, "G C"]) -> Float[np.ndarray, "V C"]:
        for pairs in self.middles:
            values = np.concatenate([values, values[pairs].mean(axis=1)])
        return values

    def subdivided(self) -> "Garment":
        """The same surface with every triangle cut into four."""
        count = len(self.anchors) + sum(len(pairs) for pairs in self.middles)
        pairs, faces = _subdivide(self.faces, count)
        uv_pairs, uv_faces = _subdivide(self.uv_faces, len(self.uv))
        uv = np.concatenate([self.uv, self.uv[uv_pairs].mean(axis=1)])
        return replace(self, faces=faces, uv=uv, uv_faces=uv_faces, middles=(*self.middles, pairs))

    def kept(self, faces: Bool[np.ndarray, "F"]) -> "Garment":
        """Only the chosen faces (all vertices stay, so that numbers keep their meaning)."""
        return replace(self, faces=self.faces[faces], uv_faces=self.uv_faces[faces])

    def opaque(self, alpha: UInt8[np.ndarray, "H W"], *, threshold: float = 0.45) -> "Garment":
        """Without the faces that are mostly transparent in their texture: mean alpha below ``threshold``."""
        corners = self.uv[self.uv_faces]
        samples = np.stack([corners.mean(1), *(corners * 0.7 + corners.mean(1, keepdims=True) * 0.3).swapaxes(0, 1)])
        return self.kept(nearest_texels(alpha, samples).mean(axis=0) > 255 * threshold)


def _subdivide(faces: Int[np.ndarray, "F 3"], count: int) -> tuple[Int[np.ndarray, "M 2"], Int[np.ndarray, "G 3"]]:
    """Edges to halve and the four times as many faces; the middle of edge i is vertex ``count + i``."""
    edges = np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]], axis=2).reshape(-1, 2)
    pairs, which = np.unique(edges, axis=0, return_inverse=True)
    ab, bc, ca = (which.reshape(-1, 3) + count).T
    a, b, c = faces.T
    parts = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
    return pairs, np.concatenate([np.stack(p, axis=1) for p in parts]).astype(np.int32)


def load_garment(obj: Path, mhclo: Path) -> Garment:
    """Read a garment.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: the two files do not belong together.
    """
    for path in (obj, mhclo):
        if not Path(path).is_file():
            raise FileNotFoundError(f"load_garment: no file {path}; is the asset pack complete?")
    count, uv, faces, uv_faces = _read_obj(Path(obj))
    rows, references, hidden = _read_mhclo(Path(mhclo))
    if len(rows) != count:
        raise ValueError(f"load_garment: {obj} has {count} vertices, {mhclo} anchors {len(rows)} of them")
    return Garment(faces, uv, uv_faces, rows[:, :3].astype(np.int64), rows[:, 3:6], rows[:, 6:], references, hidden)


def _read_obj(path: Path) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
    """Vertex count, texture coordinates, triangles and their texture corners."""
    count, uv, faces, uv_faces = 0, [], [], []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        words = line.split()
        if not words:
            continue
        if words[0] == "v":
            count += 1
        elif words[0] == "vt":
            uv.append([float(w) for w in words[1:3]])
        elif words[0] == "f":
            corners = [[int(n) - 1 for n in w.split("/")[:2]] for w in words[1:]]
            for i in range(1, len(corners) - 1):
                fan = (corners[0], corners[i], corners[i + 1])
                faces.append([c[0] for c in fan])
                uv_faces.append([c[1] for c in fan])
    return count, np.array(uv, np.float32), np.array(faces, np.int32), np.array(uv_faces, np.int32)


def _read_mhclo(path: Path) -> tuple[np.ndarray, tuple[tuple[int, int, float], ...] | None, np.ndarray]:
    """Rows (three anchors, three shares, three offsets), reference distances, hidden base vertices."""
    scales, rows, hidden, section = {}, [], [], ""
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if words[0] in _AXES:
            scales[words[0]] = (int(words[1]), int(words[2]), float(words[3]))
        elif words[0] in ("verts", "delete_verts"):
            section, words = words[0], words[1:]
            words = [] if section == "verts" else words
        elif not words[0].isdigit():
            words = []  # a keyword of no interest here; some files have one in the middle of a section
        if section == "verts" and words:
            numbers = [float(w) for w in words]
            rows.append(numbers if len(numbers) == 9 else [numbers[0]] * 3 + [1, 0, 0] + [0, 0, 0])
        elif section == "delete_verts":
            hidden.extend(words)
    references = tuple(scales[a] for a in _AXES) if len(scales) == 3 else None
    return np.array(rows, float).reshape(-1, 9), references, _ranges(hidden)


def _ranges(words: list[str]) -> Int[np.ndarray, "D"]:
    """``["3", "-", "5", "9"]`` -> 3, 4, 5, 9."""
    numbers: list[int] = []
    for i, word in enumerate(words):
        if word == "-":
            numbers.extend(range(numbers[-1] + 1, int(words[i + 1])))
        else:
            numbers.append(int(word))
    return np.array(numbers, np.int64)
