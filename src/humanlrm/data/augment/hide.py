"""Photos of which borders and things in front hide a part of the person, for the view prior."""

import numpy as np
from jaxtyping import Bool, Float

#: Shares of the photos that end at some height, at a side, and behind things in front.
_CUT_BELOW, _CUT_BESIDE = 0.45, 0.15
#: Height of the person, from the top, at which a photo ends: chest to shins.
_SHOWN_HEIGHT, _SHOWN_WIDTH = (0.12, 0.92), (0.4, 0.95)
#: Sizes of things in front, in sides of the picture.
_THING = (0.05, 0.3)


def hidden(image: Float[np.ndarray, "H W 5"], rng: np.random.Generator) -> Float[np.ndarray, "H W 5"]:
    """End the photo at the person's thighs, hips or chest or at a side, or put things in front.

    Args:
        image: sRGB, alpha, known.

    Returns:
        a copy: what the photo's border hides is unknown, what a thing hides is background.
    """
    rows, columns = (np.flatnonzero((image[..., 3] > 0.5).any(axis)) for axis in (1, 0))
    if len(rows) == 0:
        return image
    image, kind = image.copy(), rng.random()
    if kind < _CUT_BELOW:
        _cut(image[int(rows[0] + rng.uniform(*_SHOWN_HEIGHT) * np.ptp(rows)) :])
    elif kind < _CUT_BELOW + _CUT_BESIDE:
        width = int(rng.uniform(*_SHOWN_WIDTH) * np.ptp(columns))
        _cut(image[:, columns[0] + width :] if rng.random() < 0.5 else image[:, : columns[-1] - width])
    else:
        for _ in range(int(rng.integers(1, 4))):
            image[..., 3][_thing(image[..., 3] > 0.5, rng)] = 0
    return image


def _cut(part: Float[np.ndarray, "H W 5"]) -> None:
    part[:] = 0


def _thing(person: Bool[np.ndarray, "H W"], rng: np.random.Generator) -> Bool[np.ndarray, "H W"]:
    """An ellipse, a box or a bar across the picture, turned by any angle, with its middle on the person."""
    side = len(person)
    places = np.argwhere(person)
    if len(places) == 0:
        return np.zeros_like(person)
    middle, angle = places[rng.integers(len(places))], rng.uniform(0, np.pi)
    half = np.exp(rng.uniform(*np.log(_THING), size=2)) * side / 2
    y, x = np.mgrid[:side, :side] - middle[:, None, None]
    along = np.abs(x * np.cos(angle) + y * np.sin(angle)) / half[0]
    across = np.abs(y * np.cos(angle) - x * np.sin(angle)) / half[1]
    kind = rng.random()
    if kind < 0.4:
        return along**2 + across**2 < 1
    return (across < 1) & (along < 1) if kind < 0.75 else across < 0.5
