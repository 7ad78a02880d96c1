"""Colours of the unseen side, out of those that the photo shows: a guess is blurred where clothes end."""

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import KDTree

#: How many of the places that are shown at the same height of a limb are its palette, how near to that height they are
#: (box units), and of how many of their colours, the most alike, the median stands for a guess: a print is less (our
#: choice).
_PALETTE, _NEAR, _ALIKE = 64, 0.06, 20
#: How much of the way from the guess to the palette's colour is gone (our choice; ``benchmarks/backs.py``).
_SHARE = 0.65


def nearer_to_palette(
    guess: Float[np.ndarray, "V 3"],
    shown: Float[np.ndarray, "V 3"],
    seen: Bool[np.ndarray, "V"],
    limb: Int[np.ndarray, "V"],
    height: Float[np.ndarray, "V"],
) -> Float[np.ndarray, "V 3"]:
    """Guessed colours, nearer to those that the photo shows at the same height of the same limb (our choice).

    Between shirt and trousers a guess is of neither's colour. Of the colours that are shown at that height, all around
    the limb, it means those that are most like it. Where too little is shown guesses stay.

    Args:
        shown: colours of the places that are ``seen``.
        height: how far along its limb each place is, box units.
    """
    found = guess.copy()
    for one in np.unique(limb):
        known, asked = np.flatnonzero(seen & (limb == one)), np.flatnonzero(~seen & (limb == one))
        if len(known) < _PALETTE or len(asked) == 0:
            continue
        apart, near = map(np.asarray, KDTree(height[known, None]).query(height[asked, None], k=_PALETTE))
        told = apart[:, _ALIKE - 1] <= _NEAR
        apart, near, asked = apart[told], near[told], asked[told]
        palette = shown[known[near]]
        unlike = np.where(apart <= _NEAR, np.square(palette - guess[asked, None]).sum(-1), np.inf)
        chosen = np.argpartition(unlike, _ALIKE - 1, axis=1)[:, :_ALIKE]
        colors = np.median(np.take_along_axis(palette, chosen[..., None], axis=1), axis=1)
        found[asked] += _SHARE * (colors - guess[asked])
    return found
