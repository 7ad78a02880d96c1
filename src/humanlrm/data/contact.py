"""Contact sheets: tiles in rows, and what a folder of shards shows to a network."""

import numpy as np
from jaxtyping import UInt8

from humanlrm.data.shards import ShardFolder

_GROUND, _COLUMNS, _MOST = 230, 12, 60


def grid(tiles: list[UInt8[np.ndarray, "h w 3"]], columns: int) -> UInt8[np.ndarray, "H W 3"]:
    """Tiles side by side, row after row; the last row is filled with white."""
    columns = min(columns, len(tiles))
    blank = np.full_like(tiles[0], 255)
    rows = [tiles[k : k + columns] for k in range(0, len(tiles), columns)]
    return np.concatenate([np.concatenate(row + [blank] * (columns - len(row)), axis=1) for row in rows])


def sheet_of(shards: ShardFolder) -> UInt8[np.ndarray, "H W 3"]:
    """The first photograph of subjects that are spread over the folder, cut out: who lies down or has lost a texture is
    seen here before it is learned.

    Raises:
        ShardError: a file of a subject is missing or damaged.
    """
    chosen = np.linspace(0, len(shards) - 1, min(_MOST, len(shards))).astype(int)
    tiles = []
    for index in chosen:
        record, _ = shards.load(int(index), 0)
        share = record.alpha[..., None] / np.float32(255)
        tiles.append((record.rgb * share + _GROUND * (1 - share) + 0.5).astype(np.uint8)[::2, ::2])
    return grid(tiles, _COLUMNS)
