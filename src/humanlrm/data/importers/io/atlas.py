"""Merging of several textures, vertex colors and plain colors to one texture."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt8
from PIL import Image

#: Pictures are reduced to this side; a person on a 256 px photo never shows more.
MAX_PICTURE_PX = 4096
#: Texture coordinates may leave the picture by this much before they count as a repetition.
_SLACK = 0.02
_MOST_REPEATS = 8
#: Side of the block of texels that two vertex-coloured triangles share (one column more than rows).
_BLOCK_PX = 4


@dataclass(frozen=True)
class TexturedPart:
    """A piece of a mesh with its own picture; ``uv`` has v = 0 at the picture's bottom.

    ``exact``: texels are placed one by one, the picture must not be reduced.
    """

    vertices: Float[np.ndarray, "V 3"]
    faces: Int[np.ndarray, "F 3"]
    uv: Float[np.ndarray, "U 2"]
    uv_faces: Int[np.ndarray, "F 3"]
    picture: UInt8[np.ndarray, "H W 3"]
    exact: bool = False


def flat_part(vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"], color: np.ndarray) -> TexturedPart:
    """A part of one sRGB color."""
    picture = np.broadcast_to(color, (4, 4, 3)).astype(np.uint8)
    return TexturedPart(vertices, faces, np.full((1, 2), 0.5), np.zeros_like(faces), picture)


def colored_part(
    vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"], colors: UInt8[np.ndarray, "V 3"]
) -> TexturedPart:
    """A part with a color per vertex: each pair of triangles gets a 5 x 4 block of texels.

    One triangle has its corners on the texels (0, 0), (2, 0), (0, 2) of the block, the other one on (4, 3), (2, 3),
    (4, 1): neither nearest nor bilinear look-ups inside of one triangle reach the texels of the other.
    """
    k = _BLOCK_PX
    across = int(np.ceil(np.sqrt((len(faces) + 1) // 2)))
    down = -(-((len(faces) + 1) // 2) // across)
    corners = np.array([[[0, 0], [k - 2, 0], [0, k - 2]], [[k, k - 1], [2, k - 1], [k, 1]]])
    column, row = np.meshgrid(np.arange(k + 1), np.arange(k))
    # Barycentric weights of each texel in either triangle; texels beyond the triangle's edge repeat the edge.
    toward = [np.stack([column, row], -1), np.stack([k - column, k - 1 - row], -1)]
    weights = [np.concatenate([1 - t.sum(-1, keepdims=True) / (k - 2), t / (k - 2)], -1).clip(0, 1) for t in toward]
    weights = [w / w.sum(-1, keepdims=True) for w in weights]
    owner = (column + row >= k).astype(int)
    padded = np.concatenate([faces, np.repeat(faces[-1:], across * down * 2 - len(faces), axis=0)])
    corner_colors = colors[padded].reshape(-1, 2, 3, 3).astype(np.float32)
    blocks = np.where(
        (owner == 0)[..., None],
        np.einsum("hwk,nkc->nhwc", weights[0].astype(np.float32), corner_colors[:, 0]),
        np.einsum("hwk,nkc->nhwc", weights[1].astype(np.float32), corner_colors[:, 1]),
    )
    picture = blocks.reshape(down, across, k, k + 1, 3).transpose(0, 2, 1, 3, 4).reshape(down * k, across * (k + 1), 3)
    face = np.arange(len(faces))
    block = face // 2
    left_top = np.stack([block % across * (k + 1), block // across * k], axis=-1)
    px = (left_top[:, None] + corners[face % 2] + 0.5).reshape(-1, 2)
    uv = np.stack([px[:, 0] / picture.shape[1], 1 - px[:, 1] / picture.shape[0]], axis=-1)
    return TexturedPart(vertices, faces, uv, np.arange(len(uv)).reshape(-1, 3), (picture + 0.5).astype(np.uint8), True)


def merge_textures(parts: list[TexturedPart]) -> tuple[UInt8[np.ndarray, "H W 3"], list[Float[np.ndarray, "_ 2"]]]:
    """Merge all pictures to one texture; return it and the parts' ``uv`` in it.

    Raises:
        ValueError: texture coordinates repeat a picture more than 8 times.
    """
    prepared = [_unrolled(part) for part in parts]
    # Parts often share one picture.
    unique: dict[tuple, int] = {}
    pictures: list[np.ndarray] = []
    which = []
    for picture, _ in prepared:
        key = (picture.shape, hash(picture.tobytes()))
        if key not in unique:
            unique[key] = len(pictures)
            pictures.append(picture)
        which.append(unique[key])
    if len(pictures) == 1:
        return pictures[0], [uv.astype(np.float32) for _, uv in prepared]
    places, size = _shelves([picture.shape[:2] for picture in pictures])
    texture = np.zeros((*size, 3), np.uint8)
    for picture, (top, left) in zip(pictures, places, strict=True):
        texture[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    uvs = []
    for (picture, uv), index in zip(prepared, which, strict=True):
        (height, width), (top, left) = picture.shape[:2], places[index]
        # Half a texel from the border, so that no look-up reaches the neighbor.
        x = left + (uv[:, 0] * width).clip(0.5, width - 0.5)
        y = top + ((1 - uv[:, 1]) * height).clip(0.5, height - 0.5)
        uvs.append(np.stack([x / size[1], 1 - y / size[0]], axis=-1).astype(np.float32))
    return texture, uvs


def _unrolled(part: TexturedPart) -> tuple[UInt8[np.ndarray, "_ _ 3"], Float[np.ndarray, "_ 2"]]:
    """The picture, reduced to a sensible size and repeated as often as the coordinates span it, and its uv."""
    picture, uv = part.picture, part.uv
    if max(picture.shape[:2]) > MAX_PICTURE_PX and not part.exact:
        factor = -(-max(picture.shape[:2]) // MAX_PICTURE_PX)
        picture = np.asarray(Image.fromarray(picture).reduce(factor))
    if uv.min() > -_SLACK and uv.max() < 1 + _SLACK:
        return picture, uv.clip(0, 1)
    used = uv[np.unique(part.uv_faces)]
    start = np.floor(used.min(0))
    repeats = np.ceil(used.max(0) - start).astype(int).clip(1)
    if repeats.max() > _MOST_REPEATS:
        raise ValueError(
            f"texture coordinates span {used.min():.3g} to {used.max():.3g}: the texture repeats too often to be merged"
        )
    return np.tile(picture, (repeats[1], repeats[0], 1)), ((uv - start) / repeats).clip(0, 1)


def _shelves(sizes: list[tuple[int, int]]) -> tuple[list[tuple[int, int]], tuple[int, int]]:
    """(top, left) of each (height, width), tall ones first in rows, and the whole size."""
    order = sorted(range(len(sizes)), key=lambda i: sizes[i], reverse=True)
    area = sum(h * w for h, w in sizes)
    limit = max(max(w for _, w in sizes), int(np.sqrt(area) * 1.1))
    places = [(0, 0)] * len(sizes)
    top = left = shelf = widest = 0
    for i in order:
        height, width = sizes[i]
        if left and left + width > limit:
            top, left, shelf = top + shelf, 0, 0
        places[i] = top, left
        left, shelf = left + width, max(shelf, height)
        widest = max(widest, left)
    return places, (top + shelf, widest)
