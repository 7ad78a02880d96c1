"""One mesh and one texture from the body and the parts added to it.

The texture is anny's atlas with a strip above it; each added part owns a rectangle of the strip.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, UInt8

from humanlrm.people.mesh import PersonMesh, join_meshes
from humanlrm.people.procedural.bodies import rig
from humanlrm.people.procedural.lofts import LoftedPart, Rings
from humanlrm.people.procedural.sites import ATLAS_PX, texels

STRIP_PX = 128
#: First column and width of each part's rectangle in the strip, pixels.
SLOTS = {
    "skirt": (0, 240),
    "hair": (240, 104),
    "extra": (344, 72),
    "left_shoe": (416, 48),
    "right_shoe": (464, 48),
}

Paint = Callable[[Float[np.ndarray, "N 3"]], Float[np.ndarray, "N 3"]]


def join_body(body: Float[np.ndarray, "V 3"], parts: list[LoftedPart]) -> PersonMesh:
    """Body and parts as one mesh (several closed surfaces, overlapping).

    Raises:
        ValueError: two parts of one name: they would share a rectangle of the texture.
    """
    names = [part.name for part in parts]
    if len(set(names)) < len(names):
        raise ValueError(f"join_body: every part needs a rectangle of its own in the texture, got {names}")
    shared, side = rig(), ATLAS_PX / (ATLAS_PX + STRIP_PX)
    meshes = [PersonMesh(body, shared.faces, shared.uv * np.array([1, side], np.float32), shared.uv_faces)]
    for part in parts:
        start, width = SLOTS[part.name]
        low = np.array([start + 2, ATLAS_PX + 2]) / (ATLAS_PX, ATLAS_PX + STRIP_PX)
        size = np.array([width - 4, STRIP_PX - 4]) / (ATLAS_PX, ATLAS_PX + STRIP_PX)
        meshes.append(PersonMesh(part.vertices, part.faces, (low + part.uv * size).astype(np.float32), part.uv_faces))
    return join_meshes(meshes)


def paint_texture(
    body: Float[np.ndarray, "N 3"], parts: list[LoftedPart], paints: dict[str, Paint]
) -> UInt8[np.ndarray, "H W 3"]:
    """The texture: the body's texels with filled gutters, and each part painted on its chart."""
    strip = np.full((STRIP_PX, ATLAS_PX, 3), 0.5, np.float32)
    for part in parts:
        start, width = SLOTS[part.name]
        places = _spread(part.chart, STRIP_PX, width)
        strip[:, start : start + width] = paints[part.name](places.reshape(-1, 3)).reshape(STRIP_PX, width, 3)[::-1]
    atlas = _bytes(body)[texels().nearest].reshape(ATLAS_PX, ATLAS_PX, 3)
    return np.concatenate([_bytes(strip), atlas])


def _bytes(colors: Float[np.ndarray, "*n 3"]) -> UInt8[np.ndarray, "*n 3"]:
    return (np.clip(colors, 0, 1) * 255 + 0.5).astype(np.uint8)


def _spread(chart: Rings, rows: int, columns: int) -> Float[np.ndarray, "rows columns 3"]:
    """The chart's places at each texel of a rectangle with a margin of 2 texels; the last column meets the first."""
    n, m, _ = chart.shape
    chart = np.concatenate([chart, chart[:, :1]], axis=1)
    v = np.clip((np.arange(rows) + 0.5 - 2) / (rows - 4), 0, 1) * (n - 1)
    u = np.clip((np.arange(columns) + 0.5 - 2) / (columns - 4), 0, 1) * m
    i, j = np.minimum(v.astype(int), n - 2), np.minimum(u.astype(int), m - 1)
    s, t = (v - i)[:, None, None], (u - j)[:, None]
    upper = chart[i][:, j] * (1 - t) + chart[i][:, j + 1] * t
    lower = chart[i + 1][:, j] * (1 - t) + chart[i + 1][:, j + 1] * t
    return (upper * (1 - s) + lower * s).astype(np.float32)
