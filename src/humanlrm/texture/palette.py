"""Colors of hidden places, drawn toward those that the photo shows of the same limb: a guess is blurred at hems."""

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import KDTree

#: A palette: the most visible places at the same height of a limb, their largest difference in height (box units), and
#: the number of them, the most alike in color, whose median stands for a guess. A print is fewer.
_PALETTE_PLACES, _HEIGHT_REACH, _MEDIAN_PLACES = 64, 0.06, 20
#: Share of the way from the guess to the palette's color, and to the twin's (``benchmarks/backs.py``).
_PALETTE_SHARE, _TWIN_SHARE = 0.65, 0.8


def pull_to_palette(
    guess: Float[np.ndarray, "V 3"],
    shown: Float[np.ndarray, "V 3"],
    visible: Bool[np.ndarray, "V"],
    limb: Int[np.ndarray, "V"],
    height: Float[np.ndarray, "V"],
) -> Float[np.ndarray, "V 3"]:
    """Guessed colors, nearer to those that the photo shows at the same height of the same limb.

    Between shirt and trousers a guess has neither's color. Of the colors visible at that height, all around the limb,
    it is drawn to those most like it. Where too little is visible guesses stay.

    Args:
        shown: colors of the places that are ``visible``.
        height: distance along its limb of each place, box units.
    """
    out = guess.copy()
    for k in np.unique(limb):
        sources, targets = np.flatnonzero(visible & (limb == k)), np.flatnonzero(~visible & (limb == k))
        gaps, nearest, enough = _palettes(height[sources], height[targets], _PALETTE_PLACES)
        if not enough.any():
            continue
        targets, colors = targets[enough], shown[sources[nearest[enough]]]
        out[targets] += _PALETTE_SHARE * (_most_alike(guess[targets], colors, gaps[enough]) - guess[targets])
    return out


def pull_to_twin(
    guess: Float[np.ndarray, "V 3"],
    shown: Float[np.ndarray, "V 3"],
    visible: Bool[np.ndarray, "V"],
    limb: Int[np.ndarray, "V"],
    height: Float[np.ndarray, "V"],
    twin: Int[np.ndarray, "L"],
) -> Float[np.ndarray, "V 3"]:
    """Guessed colors, nearer to those of the other arm or leg where the photo shows too little of this one.

    A limb that is cut off or hidden mostly wears at that height the clothes of the other side.

    Args:
        twin: the limb on the other side, for each limb; a limb without one is its own.
        guess, shown, visible, limb, height: as for :func:`pull_to_palette`; heights of twins mean the same place.
    """
    out = guess.copy()
    for k in np.unique(limb):
        if twin[k] == k:
            continue
        targets = np.flatnonzero(~visible & (limb == k))
        isolation = _isolation(height[visible & (limb == k)], height[targets])
        targets, isolation = targets[isolation > 0], isolation[isolation > 0]
        sources = np.flatnonzero(visible & (limb == twin[k]))
        gaps, nearest, enough = _palettes(height[sources], height[targets], _MEDIAN_PLACES)
        if not enough.any():
            continue
        targets, colors = targets[enough], shown[sources[nearest[enough]]]
        # The guess of a hidden limb means nothing: its color is the commonest there.
        worn = _most_alike(np.median(colors, axis=1), colors, gaps[enough])
        out[targets] += _TWIN_SHARE * isolation[enough, None] * (worn - guess[targets])
    return out


def _palettes(
    sources: Float[np.ndarray, "K"], targets: Float[np.ndarray, "Q"], fewest: int
) -> tuple[Float[np.ndarray, "Q N"], Int[np.ndarray, "Q N"], Bool[np.ndarray, "Q"]]:
    """The sources nearest to each target: their distances, their numbers, and whether enough of them are near.

    With fewer than ``fewest`` sources none is near enough.
    """
    count = min(_PALETTE_PLACES, len(sources))
    if len(sources) < fewest or len(targets) == 0:
        empty = np.zeros((len(targets), count))
        return empty, empty.astype(np.int64), np.zeros(len(targets), dtype=bool)
    gaps, nearest = map(np.asarray, KDTree(sources[:, None]).query(targets[:, None], k=count))
    return gaps, nearest, gaps[:, _MEDIAN_PLACES - 1] <= _HEIGHT_REACH


def _isolation(sources: Float[np.ndarray, "K"], targets: Float[np.ndarray, "Q"]) -> Float[np.ndarray, "Q"]:
    """0 for targets with a source in reach, 1 from twice that distance on."""
    if len(sources) == 0:
        return np.ones(len(targets))
    gaps = np.asarray(KDTree(sources[:, None]).query(targets[:, None])[0])
    return np.clip(gaps / _HEIGHT_REACH - 1, 0, 1)


def _most_alike(
    reference: Float[np.ndarray, "Q 3"], colors: Float[np.ndarray, "Q N 3"], gaps: Float[np.ndarray, "Q N"]
) -> Float[np.ndarray, "Q 3"]:
    """Median of those colors of each palette that are in reach and most like the reference color."""
    difference = np.where(gaps <= _HEIGHT_REACH, np.square(colors - reference[:, None]).sum(-1), np.inf)
    chosen = np.argpartition(difference, _MEDIAN_PLACES - 1, axis=1)[:, :_MEDIAN_PLACES]
    return np.median(np.take_along_axis(colors, chosen[..., None], axis=1), axis=1)
