"""Colours of the unseen side, out of those that the photo shows: a guess is blurred where clothes end."""

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import KDTree

#: How many of the places that are shown at the same height of a limb are its palette, how near to that height they are
#: (box units), and of how many of their colours, the most alike, the median stands for a guess: a print is less (our
#: choice).
_PALETTE, _NEAR, _ALIKE = 64, 0.06, 20
#: How much of the way from the guess to the palette's colour is gone, and to the twin's (our choice;
#: ``benchmarks/backs.py``).
_SHARE, _TWIN_SHARE = 0.65, 0.8


def pull_to_palette(
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
        apart, near, told = _palettes(height[known], height[asked], _PALETTE)
        if not told.any():
            continue
        asked, colors = asked[told], shown[known[near[told]]]
        found[asked] += _SHARE * (_most_like(guess[asked], colors, apart[told]) - guess[asked])
    return found


def pull_to_twin(
    guess: Float[np.ndarray, "V 3"],
    shown: Float[np.ndarray, "V 3"],
    seen: Bool[np.ndarray, "V"],
    limb: Int[np.ndarray, "V"],
    height: Float[np.ndarray, "V"],
    twin: Int[np.ndarray, "L"],
) -> Float[np.ndarray, "V 3"]:
    """Guessed colours, nearer to those that the photo shows of the other arm or leg, where it shows too little of this
    one at that height (our choice): who is cut off or hidden mostly wears there what is worn on the other side.

    Args:
        twin: of each limb the one on the other side; what has none is its own.
        guess, shown, seen, limb, height: as for :func:`pull_to_palette`; heights of twins mean the same place.
    """
    found = guess.copy()
    for one in np.unique(limb):
        if twin[one] == one:
            continue
        asked = np.flatnonzero(~seen & (limb == one))
        alone = _alone(height[seen & (limb == one)], height[asked])
        asked, alone = asked[alone > 0], alone[alone > 0]
        known = np.flatnonzero(seen & (limb == twin[one]))
        apart, near, told = _palettes(height[known], height[asked], _ALIKE)
        if not told.any():
            continue
        asked, colors = asked[told], shown[known[near[told]]]
        # A guess of what is not seen means nothing: it is the colour that is commonest there.
        worn = _most_like(np.median(colors, axis=1), colors, apart[told])
        found[asked] += _TWIN_SHARE * alone[told, None] * (worn - guess[asked])
    return found


def _palettes(
    known: Float[np.ndarray, "K"], asked: Float[np.ndarray, "Q"], fewest: int
) -> tuple[Float[np.ndarray, "Q N"], Int[np.ndarray, "Q N"], Bool[np.ndarray, "Q"]]:
    """Of each height that is asked for the nearest of the known ones: how far they are, which they are, and whether
    enough of them are near. Nothing is, if fewer than ``fewest`` are known at all."""
    count = min(_PALETTE, len(known))
    if len(known) < fewest or len(asked) == 0:
        none = np.zeros((len(asked), count))
        return none, none.astype(np.int64), np.zeros(len(asked), dtype=bool)
    apart, near = map(np.asarray, KDTree(known[:, None]).query(asked[:, None], k=count))
    return apart, near, apart[:, _ALIKE - 1] <= _NEAR


def _alone(known: Float[np.ndarray, "K"], asked: Float[np.ndarray, "Q"]) -> Float[np.ndarray, "Q"]:
    """How much heights are far from all known ones: 0 where one is near, 1 from twice that distance on."""
    if len(known) == 0:
        return np.ones(len(asked))
    apart = np.asarray(KDTree(known[:, None]).query(asked[:, None])[0])
    return np.clip(apart / _NEAR - 1, 0, 1)


def _most_like(
    wanted: Float[np.ndarray, "Q 3"], colors: Float[np.ndarray, "Q N 3"], apart: Float[np.ndarray, "Q N"]
) -> Float[np.ndarray, "Q 3"]:
    """Of each palette the median of those colours that are near and most like the wanted one."""
    unlike = np.where(apart <= _NEAR, np.square(colors - wanted[:, None]).sum(-1), np.inf)
    chosen = np.argpartition(unlike, _ALIKE - 1, axis=1)[:, :_ALIKE]
    return np.median(np.take_along_axis(colors, chosen[..., None], axis=1), axis=1)
