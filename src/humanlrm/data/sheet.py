"""Contact sheets: many training views at a glance."""

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from humanlrm.data.render.shoot import ViewRecord
from humanlrm.data.shards import ShardFolder

#: Colour that is laid over the pixels which the mask leaves out.
_OUTSIDE = np.array([40, 40, 60], np.float32)


def contact_sheet(
    shards: ShardFolder, count: int = 60, columns: int = 10, cell_px: int = 128, seed: int = 0, maps: bool = False
) -> UInt8[np.ndarray, "H W 3"]:
    """Random views, each as its crop over the same crop with everything but the mask darkened.

    Args:
        maps: also normals, target and, for views that hide a part, the clean picture.

    Raises:
        ValueError: ``count`` or ``columns`` is not positive.
    """
    if count < 1 or columns < 1:
        raise ValueError(f"contact_sheet: count={count}, columns={columns}; give positive numbers")
    views = [(i, v) for i, entry in enumerate(shards.entries) for v in range(entry.views)]
    order = np.random.default_rng(seed).permutation(len(views))[:count]
    wanted = ("normal", "target", "clean") if maps else ()
    cells = [_cell(shards.load(*views[k], maps=wanted)[0], cell_px, maps) for k in order]
    cells += [np.zeros_like(cells[0])] * (-len(cells) % columns)
    rows = [np.concatenate(cells[k : k + columns], axis=1) for k in range(0, len(cells), columns)]
    return np.concatenate(rows, axis=0)


def _cell(view: ViewRecord, cell_px: int, maps: bool) -> UInt8[np.ndarray, "h w 3"]:
    mask = view.alpha[..., None] / np.float32(255)
    cut = (view.rgb * mask + (0.25 * view.rgb + 0.75 * _OUTSIDE) * (1 - mask)).astype(np.uint8)
    pictures: list[np.ndarray | None] = [view.rgb, cut]
    if maps:
        normal = None if view.normal is None else (view.normal.astype(np.int16) + 128).astype(np.uint8)
        pictures += [None if normal is None else normal.transpose(1, 2, 0), view.target, view.clean]
    return np.concatenate([_sized(p, cell_px) for p in pictures], axis=0)


def _sized(picture: np.ndarray | None, cell_px: int) -> UInt8[np.ndarray, "h w 3"]:
    if picture is None:
        return np.zeros((cell_px, cell_px, 3), np.uint8)
    image = Image.fromarray(np.ascontiguousarray(picture))
    return np.asarray(image.resize((cell_px, cell_px), Image.Resampling.BOX if len(picture) > cell_px else 2))
