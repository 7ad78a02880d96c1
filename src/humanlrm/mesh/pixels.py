"""Images between their pixels."""

import numpy as np
from jaxtyping import Float
from scipy.ndimage import map_coordinates


def bilinear(image: Float[np.ndarray, "H W"], pixels: Float[np.ndarray, "*P 2"]) -> Float[np.ndarray, "*P"]:
    """Values at (row, column), where pixel centres are integers; the border's go on outside."""
    return map_coordinates(image, np.moveaxis(pixels, -1, 0), order=1, mode="nearest", output=np.float32)
