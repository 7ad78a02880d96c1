"""Backdrops of synthetic photographs."""

import numpy as np
from jaxtyping import Float
from PIL import Image

from humanlrm.data.render.environment import Surroundings


def paint_backdrop(
    rng: np.random.Generator, directions: Float[np.ndarray, "H W 3"], surroundings: Surroundings
) -> Float[np.ndarray, "H W 3"]:
    """sRGB behind a person: the defocused environment map, soft blobs, a wall or a cluttered place; with grain."""
    shape = directions.shape[:2]
    if surroundings.picture is not None and rng.random() < 0.6:
        # The map is far coarser than the photograph.
        picture = _resized(surroundings.look_up(directions[::4, ::4]), shape)
    else:
        picture = _blobs(rng, shape)
    if rng.random() < 0.25:
        picture = 0.25 * picture + 0.75 * rng.uniform(0.1, 1, size=3).astype(np.float32)
    if rng.random() < 0.5:
        picture = _with_floor(picture, rng, directions)
    if rng.random() < 0.5:
        picture = _cluttered(picture, rng, int(rng.integers(3, 25)))
    grain = rng.standard_normal((*shape, 1), dtype=np.float32) * np.float32(rng.uniform(0, 0.05))
    return np.clip(picture + grain, 0, 1).astype(np.float32)


def _blobs(rng: np.random.Generator, shape: tuple[int, ...]) -> Float[np.ndarray, "H W 3"]:
    cells = int(2 ** rng.uniform(1, 4.5))
    coarse = rng.uniform(0, 1, size=(cells, cells, 3)) * rng.uniform(0.2, 1) + rng.uniform(0, 0.4)
    grey = coarse.mean(-1, keepdims=True)
    coarse = grey + (coarse - grey) * rng.beta(1.2, 1.5)
    return _resized(coarse.clip(0, 1), shape)


def _resized(coarse: np.ndarray, shape: tuple[int, ...]) -> Float[np.ndarray, "H W 3"]:
    image = Image.fromarray((coarse * 255).astype(np.uint8))
    return np.asarray(image.resize((shape[1], shape[0]), Image.Resampling.BICUBIC)) / np.float32(255)


def _with_floor(
    picture: Float[np.ndarray, "H W 3"], rng: np.random.Generator, directions: Float[np.ndarray, "H W 3"]
) -> Float[np.ndarray, "H W 3"]:
    """Another color below a level line under the horizon, with the wall's pattern in it."""
    length = np.sqrt(np.einsum("hwc,hwc->hw", directions, directions))
    floor = directions[..., 1] < -rng.uniform(0.0, 0.2) * length
    color = rng.uniform(0.1, 0.9, size=3).astype(np.float32)
    return np.where(floor[..., None], (0.4 * picture + 0.6 * color) * rng.uniform(0.7, 1.1), picture)


def _cluttered(picture: Float[np.ndarray, "H W 3"], rng: np.random.Generator, count: int) -> np.ndarray:
    """Rectangles as furniture, windows and posts, some striped; sharp or out of focus."""
    height, width = picture.shape[:2]
    out = picture.copy()
    for _ in range(count):
        size = np.exp(rng.normal(np.log(0.12), 0.8, size=2)) * [height, width]
        if rng.random() < 0.3:
            size *= [4, 0.15] if rng.random() < 0.6 else [0.15, 4]
        top, left = rng.uniform(-0.1, 1, size=2) * [height, width]
        rows = slice(max(0, int(top)), max(0, int(top + size[0]) + 1))
        columns = slice(max(0, int(left)), max(0, int(left + size[1]) + 1))
        out[rows, columns] = rng.uniform(0, 1, size=3) * rng.uniform(0.4, 1)
        if rng.random() < 0.3:
            step = int(rng.integers(2, 9))
            out[rows, columns][:, ::step] = rng.uniform(0, 1, size=3)
    soft = int(rng.choice([1, 1, 2, 4, 8]))
    return _resized(out[::soft, ::soft].clip(0, 1), picture.shape)
