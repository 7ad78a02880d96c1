"""Colours that no photo tells: the field's, made to go with what photos show around them."""

import numpy as np
from jaxtyping import Bool, Float

from humanlrm.body.mirror import Membership
from humanlrm.body.parts import Anatomy, HairRegion
from humanlrm.mesh.surface import TriangleSurface, face_normals
from humanlrm.mesh.texels import Texels
from humanlrm.texture.observations import (
    ENOUGH,
    FieldColor,
    HiddenVertices,
    VertexObservations,
    edges_within_clothes,
    find_hidden,
    observe_vertices,
    query_colors,
    solve_diffusion,
)
from humanlrm.texture.palette import pull_to_palette, pull_to_twin
from humanlrm.texture.project import PhotoViews

#: Correction of the field's colour: box units over which it fades on the unseen side, and how firmly it holds to each
#: seen vertex (below 1: pores and stripes must not be carried around the body). Our choice.
_SHIFT_REACH, _SHIFT_HOLD = 0.3, 0.05
#: How firmly places where the surface runs along the rays hold to their own colour; and backs: the field reads the
#: pixels before them, and copies prints (our choice).
_LEAST_HOLD, _BACK_HOLD = 0.002, 0.1
#: How firmly places that no photo tells of hold to the colour of the nearest that one does (our choice). Around a limb
#: that lies in front the field still confuses both: an edge farther.
_HIDDEN_HOLD = 0.005
#: Share of a back's colour that is the mean of what photos show of the same clothes, and how dark, against that mean, a
#: back may be on average: the field knows what lights do on synthetic people (our choice; ``benchmarks/backs.py``).
_ALIKE, _DARKEST = 0.25, 0.8
#: A crown is what lies above this share of a head's height over its middle; how much the back of the head is like it.
_TOPMOST, _LIKE_CROWN = 0.6, 0.65
_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)
#: The tone that changes nothing.
_AS_IT_IS = np.array([1, 0, 0, 0], np.float32)
#: How much hands that no photo shows are like what is shown of them, or like the face.
_LIKE_SKIN = 0.8
#: Where colours come from around by this share or more, the field is not asked.
_SETTLED = 0.999
#: How far from the colours around it half of what the field tells of a back is left out (our choice).
_FINE = 0.15
#: How often the seam between two clothes is smoothed where it is hidden (our choice).
_SEAM = 2


def complete_colors(
    view: PhotoViews,
    surface: TriangleSurface,
    normals: Float[np.ndarray, "V 3"],
    texels: Texels,
    points: Float[np.ndarray, "P 3"],
    directions: Float[np.ndarray, "P 3"],
    field_color: FieldColor,
    anatomy: Anatomy,
) -> Float[np.ndarray, "P 3"]:
    """Guesses of the colours that no photo tells, which go with what the photos show.

    Args:
        points, directions: of the texels: places, and normals there.
    """
    seen = observe_vertices(view, surface, normals, field_color, anatomy.parts)
    shift, tone = _color_shift(view, seen), _tone(view, seen)
    hidden = None if anatomy.parts is None else find_hidden(view, seen)
    around = _from_around(seen, shift, tone, hidden, anatomy.hair)
    along, away = view.along(points, directions)
    unseen = texels.interpolate(surface, _unseen(seen, hidden)[:, None])[:, 0]
    guess = texels.interpolate(surface, around)
    asked = np.flatnonzero(np.maximum(along, unseen) < _SETTLED)
    own = apply_tone(
        query_colors(field_color, points[asked], directions[asked]), texels[asked].interpolate(surface, tone)
    )
    own += texels[asked].interpolate(surface, shift)
    guess[asked] = blend_guesses(own, guess[asked], along[asked], away[asked], unseen[asked])
    if anatomy.parts is not None:
        shifted = apply_tone(seen.own, tone) + shift
        guess += texels.interpolate(surface, _toward_palette(view, seen, shifted, around, hidden, anatomy.face))
    return guess


def _color_shift(view: PhotoViews, at: VertexObservations) -> Float[np.ndarray, "V 3"]:
    """Photo minus field where the photo is sure, spread over the mesh to the rest with decay (our choice).

    Minimises hold * |u - difference|^2 on seen vertices + |differences of u along edges|^2 + screening * |u|^2: a
    low-frequency correction that fades to zero far from the seen part. Along edges that leave the photo u takes back
    the step that the field's colours make there, on the outer side: a jacket does not end where the picture does.
    """
    seen = at.weight > 0.5
    if not seen.any():
        return np.zeros_like(at.own)
    degree = at.degree
    length = np.sqrt(np.abs(np.linalg.norm(face_normals(at.surface), axis=-1)).mean() * 1.15)
    steps, inner = _border_steps(view, at)
    hold = np.where(inner, 1.0, np.where(seen, _SHIFT_HOLD, 0.0)) * degree
    # On a regular mesh of this edge length the solution falls by e over the reach.
    screening = (length / _SHIFT_REACH) ** 2 / 4 * degree
    right = hold[:, None] * np.where(seen[:, None], at.shown - at.own, 0) + steps
    return solve_diffusion(at.edges, degree + hold + screening, right)


def _tone(view: PhotoViews, at: VertexObservations) -> Float[np.ndarray, "V 4"]:
    """Tone that brings backs nearer to what the photos show of the same clothes (:func:`apply_tone`); heads stay.

    A field guesses the more grey and dark, the stranger clothes and light are to it.
    """
    tone = np.tile(_AS_IT_IS, (len(at.own), 1))
    if at.parts is None:
        return tone
    clothes = at.parts.clothes
    head = 0 if view.calm is None else view.calm(at.points)
    away = at.away * (1 - head)
    for piece in np.unique(clothes[away > 0]):
        here = (clothes == piece) & (away > 0)
        front = (clothes == piece) & (at.weight > 0.9)
        if min(front.sum(), here.sum()) < ENOUGH:
            continue
        wanted = back_tone(at.shown[front].mean(axis=0), at.own[here].mean(axis=0))
        tone[here] += away[here, None] * (wanted - _AS_IT_IS)
    return tone


def back_tone(front: Float[np.ndarray, "3"], back: Float[np.ndarray, "3"]) -> Float[np.ndarray, "4"]:
    """The tone of a piece of clothes whose back is guessed: mean colours (sRGB in [0, 1]) of the front, as the photo
    shows it, and of the back to a factor of the back's colours and what is added to them."""
    guessed = (1 - _ALIKE) * back + _ALIKE * front
    gain = max(1.0, _DARKEST * float(front @ _LUMA) / max(float(guessed @ _LUMA), 1e-3))
    return gain * np.array([1 - _ALIKE, *(_ALIKE * front)], np.float32)


def apply_tone(colors: Float[np.ndarray, "P 3"], tone: Float[np.ndarray, "P 4"]) -> Float[np.ndarray, "P 3"]:
    """Colours times the first number of each tone, plus the others."""
    return colors * tone[:, :1] + tone[:, 1:]


def _unseen(at: VertexObservations, hidden: HiddenVertices | None) -> Float[np.ndarray, "V"]:
    """1 where vertices are hidden, else 0."""
    return np.zeros_like(at.along) if hidden is None else hidden.where.astype(np.float32)


def _from_around(
    at: VertexObservations,
    shift: Float[np.ndarray, "V 3"],
    tone: Float[np.ndarray, "V 4"],
    hidden: HiddenVertices | None,
    hair: HairRegion | None,
) -> Float[np.ndarray, "V 3"]:
    """Colours of the vertices where the surface runs along the rays, or is hidden, from what lies around them (our
    choice).

    A field that reads pixels gives such places stripes: one pixel colours all that lies along its ray. The photo's
    colours on one side and the field's on the other go over into each other instead. What lies beyond a photo's border,
    or behind something, the field can only guess, and guesses a grey of all clothes, or paints the hand that lies on
    the front onto the back, too: there colours go on as they are.
    """
    known = at.shown + (1 - at.weight[:, None]) * (apply_tone(at.own, tone) + shift - at.shown)
    hold = (_LEAST_HOLD + (1 - at.along) ** 2) * (1 - (1 - _BACK_HOLD) * at.away)
    if hair is not None and (crown := _crown(at, hair)) is not None:
        # A head's back would take the colour of its sides, which is mostly skin.
        back = hair.back(at.points) * at.away
        known = blend_crown(known, crown, back)
        hold = np.maximum(hold, back)
    edges = at.edges
    if hidden is not None:
        edges = edges_within_clothes(at, hidden.where)
        known, hold = known[hidden.nearest], np.where(hidden.where, _HIDDEN_HOLD, hold)
    hold = hold * at.degree
    found = solve_diffusion(edges, np.asarray(edges.sum(axis=1)).ravel() + hold, hold[:, None] * known)
    if hidden is not None:
        for _ in range(_SEAM):
            found[hidden.where] += 0.5 * ((at.edges @ found) / at.degree[:, None] - found)[hidden.where]
    return found


def _toward_palette(
    view: PhotoViews,
    at: VertexObservations,
    shifted: Float[np.ndarray, "V 3"],
    around: Float[np.ndarray, "V 3"],
    hidden: HiddenVertices | None,
    face: Membership | None,
) -> Float[np.ndarray, "V 3"]:
    """What makes guesses on backs and sides alike to what photos show (:func:`pull_to_palette`), and what is hidden,
    too, where they show the other arm or leg only (:func:`pull_to_twin`); heads stay. Hands that no photo shows are
    as bare as the other hand, or as the face.

    Args:
        shifted: the field's colours, corrected.
        around: what lies around.
    """
    assert at.parts is not None
    guess = blend_guesses(shifted, around, at.along, at.away, _unseen(at, hidden))
    sure, where = at.weight > 0.9, (at.parts.limb, at.parts.height)
    palette = pull_to_palette(guess, at.shown, sure, *where) - guess
    worn = pull_to_twin(guess, at.shown, sure, *where, at.parts.twin) - guess
    turned = np.maximum(at.away, at.along)
    unseen = turned
    if hidden is not None:
        unseen = np.maximum(turned, hidden.all)
        bare = hidden.all & at.parts.bare[at.parts.limb]
        skin = _skin(at, face)
        worn[bare] = 0 if skin is None else _LIKE_SKIN * (skin - guess[bare])
    head = np.zeros(len(guess)) if view.calm is None else view.calm(at.points)
    return (1 - head)[:, None] * (turned[:, None] * palette + unseen[:, None] * worn)


def _skin(at: VertexObservations, face: Membership | None) -> Float[np.ndarray, "3"] | None:
    """Median colour of what photos show of the hands, or else of the face; ``None``: of both too little."""
    assert at.parts is not None
    hands = (at.weight > 0.5) & at.parts.bare[at.parts.limb]
    if hands.sum() >= ENOUGH:
        return np.median(at.shown[hands], axis=0)
    if face is None:
        return None
    shown = (at.weight > 0.9) & (face(at.points) > 0.5)
    return np.median(at.shown[shown], axis=0) if 3 * shown.sum() >= ENOUGH else None


def blend_guesses(
    own: Float[np.ndarray, "P 3"],
    around: Float[np.ndarray, "P 3"],
    along: Float[np.ndarray, "P"],
    away: Float[np.ndarray, "P"],
    hidden: Float[np.ndarray, "P"],
) -> Float[np.ndarray, "P 3"]:
    """The field's colours, corrected, where it is to be asked, and those from around elsewhere (our choice): where the
    surface runs along the rays or is hidden, and where it begins to turn its back.

    What faces away has what the field tells of folds and of weave, which is sharper than its mean and nearer to how
    backs look (``humanlrm-textured`` of ``humanlrm evaluate``), but nothing that is farther from the colours around
    it: that is a print, or a hand, of the front.
    """
    apart = np.square(own - around).sum(axis=1)
    fine = away * (1 - along) / (1 + apart / _FINE**2)
    share = np.maximum(np.maximum(along, away) * (1 - fine), hidden)
    return own + share[:, None] * (around - own)


def _crown(at: VertexObservations, hair: HairRegion) -> Float[np.ndarray, "3"] | None:
    """Median colour of the topmost part of a head that the photos show; ``None``: they show too little of one."""
    height = hair.height(at.points)
    top = crown_vertices(height, (at.weight > 0.9) & np.isfinite(height))
    return np.median(at.shown[top], axis=0) if 3 * top.sum() >= ENOUGH else None


def crown_vertices(height: Float[np.ndarray, "P"], shown: Bool[np.ndarray, "P"]) -> Bool[np.ndarray, "P"]:
    """Which of the points of a head that are shown are its crown; ``height`` over its middle."""
    return shown & (height > _TOPMOST * height[shown].max(initial=0))


def blend_crown(
    colors: Float[np.ndarray, "P 3"], crown: Float[np.ndarray, "3"], share: Float[np.ndarray, "P"]
) -> Float[np.ndarray, "P 3"]:
    """Colours of the back of a head, nearer to the crown's the more they belong there."""
    return colors + _LIKE_CROWN * share[:, None] * (crown - colors)


def _border_steps(view: PhotoViews, at: VertexObservations) -> tuple[Float[np.ndarray, "V 3"], Bool[np.ndarray, "V"]]:
    """Of each vertex the sum of the field's steps to its neighbours across the photos' border, and whether it is such a
    neighbour on the inner side."""
    steps, inner = np.zeros_like(at.own), np.zeros(len(at.own), dtype=bool)
    beyond = view.beyond(at.surface.vertices)
    edges = np.concatenate([at.surface.faces[:, [0, 1]], at.surface.faces[:, [1, 2]], at.surface.faces[:, [2, 0]]])
    crossing = edges[beyond[edges[:, 0]] != beyond[edges[:, 1]]]  # each edge once in each direction
    np.add.at(steps, crossing[:, 0], at.own[crossing[:, 1]] - at.own[crossing[:, 0]])
    inner[crossing] = True
    return steps, inner & ~beyond
