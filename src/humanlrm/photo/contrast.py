"""Dull photos: a person in the color of the ground is seen when the contrast is raised."""

import numpy as np
from jaxtyping import UInt8

#: Levels that nine tenths of a dull photo's pixels lie within: white on white and black on black have 0 to 12, other
#: photos 100 and more (``tests/photo/test_same_color.py``).
_DULL_LEVELS = 24
#: Largest slope of the equalization, as a share of the pixels in one level (Pizer et al., "Adaptive histogram
#: equalization and its variations", 1987).
_CLIP_LIMIT = 0.03


def raise_contrast(rgb: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "H W 3"]:
    """The photo as detectors should see it: as it is, or with equalized contrast if nearly all of it has one tone."""
    dark, light = np.percentile(rgb.mean(-1), (5, 95))
    if light - dark > _DULL_LEVELS or rgb.min() == rgb.max():
        return rgb
    from skimage.exposure import equalize_adapthist

    return (equalize_adapthist(rgb, clip_limit=_CLIP_LIMIT) * 255).round().astype(np.uint8)
