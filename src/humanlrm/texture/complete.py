"""Hidden colors: the field's, made to go with the colors that photos show around them."""

import numpy as np
from jaxtyping import Bool, Float

from humanlrm.body.mirror import Membership
from humanlrm.body.parts import Anatomy, HairRegion
from humanlrm.mesh.surface import TriangleSurface, face_normals
from humanlrm.mesh.texels import Texels
from humanlrm.texture.observations import (
    ENOUGH_VERTICES,
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

#: Correction of the field's color: box units over which it fades on the hidden side, and how firmly it holds to each
#: visible vertex (below 1: pores and stripes must not be carried around the body).
_SHIFT_REACH, _SHIFT_HOLD = 0.3, 0.05
#: How firmly grazing places hold to their own color, and backs in shares of that: the field reads the pixels before
#: them, and copies prints.
_GRAZING_HOLD, _BACK_HOLD_SHARE = 0.002, 0.1
#: How firmly hidden places hold to the color of the nearest visible one; around a limb in front the field confuses
#: both, an edge farther.
_HIDDEN_HOLD = 0.005
#: Share of the front's mean color in a back's, and least mean luminance of a back in shares of the front's: the field
#: knows the lights of synthetic people (``benchmarks/backs.py``).
_FRONT_SHARE, _LEAST_LUMINANCE = 0.25, 0.8
#: Share of a head's height over its middle above which its crown begins, and the crown's share in the head's back.
_CROWN_FROM, _CROWN_SHARE = 0.6, 0.65
_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)
#: The tone that changes nothing.
_IDENTITY_TONE = np.array([1, 0, 0, 0], np.float32)
#: Share of the visible hands' or the face's color in hands that no photo shows.
_SKIN_SHARE = 0.8
#: Share of the surrounding color from which on the field is not evaluated.
_SURROUNDED = 0.999
#: Distance from the surrounding color at which half of a back's own detail is left out.
_DETAIL_DISTANCE = 0.15
#: Smoothing steps of the seam between two pieces of clothes where it is hidden.
_SEAM_STEPS = 2


def complete_colors(
    views: PhotoViews,
    surface: TriangleSurface,
    normals: Float[np.ndarray, "V 3"],
    texels: Texels,
    points: Float[np.ndarray, "P 3"],
    directions: Float[np.ndarray, "P 3"],
    field_color: FieldColor,
    anatomy: Anatomy,
) -> Float[np.ndarray, "P 3"]:
    """Guess the colors of texels that no photo shows, so that they go with the photos.

    Args:
        points, directions: of the texels: places, and normals there.
    """
    seen = observe_vertices(views, surface, normals, field_color, anatomy.parts)
    shift, tone = _color_shift(views, seen), _back_tones(views, seen)
    hidden = None if anatomy.parts is None else find_hidden(views, seen)
    around = _surrounding_colors(seen, shift, tone, hidden, anatomy.hair)
    grazing, away = views.grazing(points, directions)
    unseen = texels.interpolate(surface, _hidden_share(seen, hidden)[:, None])[:, 0]
    guess = texels.interpolate(surface, around)
    evaluated = np.flatnonzero(np.maximum(grazing, unseen) < _SURROUNDED)
    field = query_colors(field_color, points[evaluated], directions[evaluated])
    field = apply_tone(field, texels[evaluated].interpolate(surface, tone)) + texels[evaluated].interpolate(
        surface, shift
    )
    guess[evaluated] = _blend(field, guess[evaluated], grazing[evaluated], away[evaluated], unseen[evaluated])
    if anatomy.parts is not None:
        corrected = apply_tone(seen.field, tone) + shift
        guess += texels.interpolate(surface, _clothes_shift(views, seen, corrected, around, hidden, anatomy.face))
    return guess


def _color_shift(views: PhotoViews, seen: VertexObservations) -> Float[np.ndarray, "V 3"]:
    """Photo minus field where the photo is sure, spread over the mesh to the rest with decay.

    Minimises hold * |u - difference|^2 on visible vertices + |differences of u along edges|^2 + screening * |u|^2: a
    low-frequency correction that fades to zero far from the visible part. Along edges that leave the photo u takes back
    the step that the field's colors make there, on the outer side: a jacket does not end where the picture does.
    """
    visible = seen.weight > 0.5
    if not visible.any():
        return np.zeros_like(seen.field)
    degree = seen.degree
    length = np.sqrt(np.abs(np.linalg.norm(face_normals(seen.surface), axis=-1)).mean() * 1.15)
    steps, inner = _border_steps(views, seen)
    hold = np.where(inner, 1.0, np.where(visible, _SHIFT_HOLD, 0.0)) * degree
    # On a regular mesh of this edge length the solution falls by e over the reach.
    screening = (length / _SHIFT_REACH) ** 2 / 4 * degree
    right = hold[:, None] * np.where(visible[:, None], seen.shown - seen.field, 0) + steps
    return solve_diffusion(seen.edges, degree + hold + screening, right)


def _border_steps(
    views: PhotoViews, seen: VertexObservations
) -> tuple[Float[np.ndarray, "V 3"], Bool[np.ndarray, "V"]]:
    """Sum of the field's steps from each vertex to its neighbours across the photos' border, and the inner side's mask.

    The mask holds the vertices inside the photos with such a neighbour.
    """
    steps, inner = np.zeros_like(seen.field), np.zeros(len(seen.field), dtype=bool)
    outside, faces = views.outside(seen.surface.vertices), seen.surface.faces
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    crossing = edges[outside[edges[:, 0]] != outside[edges[:, 1]]]  # each edge once in each direction
    np.add.at(steps, crossing[:, 0], seen.field[crossing[:, 1]] - seen.field[crossing[:, 0]])
    inner[crossing] = True
    return steps, inner & ~outside


def _back_tones(views: PhotoViews, seen: VertexObservations) -> Float[np.ndarray, "V 4"]:
    """Tone that brings backs nearer to the visible colors of the same clothes (:func:`apply_tone`); heads stay.

    A field guesses the more grey and dark, the stranger clothes and light are to it.
    """
    tone = np.tile(_IDENTITY_TONE, (len(seen.field), 1))
    if seen.parts is None:
        return tone
    clothes = seen.parts.clothes
    head = 0 if views.head is None else views.head(seen.points)
    away = seen.away * (1 - head)
    for piece in np.unique(clothes[away > 0]):
        back = (clothes == piece) & (away > 0)
        front = (clothes == piece) & (seen.weight > 0.9)
        if min(front.sum(), back.sum()) < ENOUGH_VERTICES:
            continue
        piece_tone = back_tone(seen.shown[front].mean(axis=0), seen.field[back].mean(axis=0))
        tone[back] += away[back, None] * (piece_tone - _IDENTITY_TONE)
    return tone


def back_tone(front: Float[np.ndarray, "3"], back: Float[np.ndarray, "3"]) -> Float[np.ndarray, "4"]:
    """Tone of a piece of clothes whose back is guessed: a factor of the back's colors, and a color added to them.

    Args:
        front, back: mean colors (sRGB in [0, 1]) of the front in the photo, and of the field's back.
    """
    guessed = (1 - _FRONT_SHARE) * back + _FRONT_SHARE * front
    gain = max(1.0, _LEAST_LUMINANCE * float(front @ _LUMA) / max(float(guessed @ _LUMA), 1e-3))
    return gain * np.array([1 - _FRONT_SHARE, *(_FRONT_SHARE * front)], np.float32)


def apply_tone(colors: Float[np.ndarray, "P 3"], tone: Float[np.ndarray, "P 4"]) -> Float[np.ndarray, "P 3"]:
    """Colors times the first number of each tone, plus the others."""
    return colors * tone[:, :1] + tone[:, 1:]


def _hidden_share(seen: VertexObservations, hidden: HiddenVertices | None) -> Float[np.ndarray, "V"]:
    """1 for hidden vertices that a visible one colors, else 0."""
    return np.zeros_like(seen.grazing) if hidden is None else hidden.reached.astype(np.float32)


def _surrounding_colors(
    seen: VertexObservations,
    shift: Float[np.ndarray, "V 3"],
    tone: Float[np.ndarray, "V 4"],
    hidden: HiddenVertices | None,
    hair: HairRegion | None,
) -> Float[np.ndarray, "V 3"]:
    """Colors of grazing and hidden vertices, diffused from the surface around them.

    A field that reads pixels gives grazing places stripes: one pixel colors all that lies along its ray. The photo's
    colors on one side and the field's on the other blend into each other instead. Beyond a photo's border and behind
    other things the field guesses a grey of all clothes, or paints a hand on the front onto the back, too. There the
    colors of the same clothes continue.
    """
    source = seen.shown + (1 - seen.weight[:, None]) * (apply_tone(seen.field, tone) + shift - seen.shown)
    hold = (_GRAZING_HOLD + (1 - seen.grazing) ** 2) * (1 - (1 - _BACK_HOLD_SHARE) * seen.away)
    if hair is not None and (crown := _crown_color(seen, hair)) is not None:
        # A head's back would take the color of its sides, which is mostly skin.
        back = hair.back(seen.points) * seen.away
        source = blend_crown(source, crown, back)
        hold = np.maximum(hold, back)
    edges = seen.edges
    if hidden is not None:
        edges = edges_within_clothes(seen, hidden.reached)
        source, hold = source[hidden.nearest], np.where(hidden.reached, _HIDDEN_HOLD, hold)
    hold = hold * seen.degree
    colors = solve_diffusion(edges, np.asarray(edges.sum(axis=1)).ravel() + hold, hold[:, None] * source)
    if hidden is not None:
        for _ in range(_SEAM_STEPS):
            mean = (seen.edges @ colors) / seen.degree[:, None]
            colors[hidden.reached] += 0.5 * (mean - colors)[hidden.reached]
    return colors


def _clothes_shift(
    views: PhotoViews,
    seen: VertexObservations,
    corrected: Float[np.ndarray, "V 3"],
    around: Float[np.ndarray, "V 3"],
    hidden: HiddenVertices | None,
    face: Membership | None,
) -> Float[np.ndarray, "V 3"]:
    """Shift of guesses toward the visible colors of the same limb (:func:`pull_to_palette`) or of its twin.

    It applies to backs and sides; hidden places take the twin's colors (:func:`pull_to_twin`). Heads stay. Hands that
    no photo shows are as bare as the other hand, or as the face.

    Args:
        corrected: the field's colors, corrected.
        around: the surrounding colors.
    """
    assert seen.parts is not None
    guess = _blend(corrected, around, seen.grazing, seen.away, _hidden_share(seen, hidden))
    sure, place = seen.weight > 0.9, (seen.parts.limb, seen.parts.height)
    to_palette = pull_to_palette(guess, seen.shown, sure, *place) - guess
    to_twin = pull_to_twin(guess, seen.shown, sure, *place, seen.parts.twin) - guess
    turned = np.maximum(seen.away, seen.grazing)
    unseen = turned
    if hidden is not None:
        unseen = np.maximum(turned, hidden.all)
        bare = hidden.all & seen.parts.bare[seen.parts.limb]
        skin = _skin_color(seen, face)
        to_twin[bare] = 0 if skin is None else _SKIN_SHARE * (skin - guess[bare])
    head = np.zeros(len(guess)) if views.head is None else views.head(seen.points)
    return (1 - head)[:, None] * (turned[:, None] * to_palette + unseen[:, None] * to_twin)


def _skin_color(seen: VertexObservations, face: Membership | None) -> Float[np.ndarray, "3"] | None:
    """Median color of the visible hands, or else of the visible face; ``None``: too little of both is visible."""
    assert seen.parts is not None
    hands = (seen.weight > 0.5) & seen.parts.bare[seen.parts.limb]
    if hands.sum() >= ENOUGH_VERTICES:
        return np.median(seen.shown[hands], axis=0)
    if face is None:
        return None
    visible = (seen.weight > 0.9) & (face(seen.points) > 0.5)
    return np.median(seen.shown[visible], axis=0) if 3 * visible.sum() >= ENOUGH_VERTICES else None


def _blend(
    field: Float[np.ndarray, "P 3"],
    around: Float[np.ndarray, "P 3"],
    grazing: Float[np.ndarray, "P"],
    away: Float[np.ndarray, "P"],
    hidden: Float[np.ndarray, "P"],
) -> Float[np.ndarray, "P 3"]:
    """The field's corrected colors, and the surrounding ones where the surface is grazing, hidden or turns away.

    Backs keep the field's folds and weave, which are sharper than its mean and nearer to real backs
    (``humanlrm-textured`` of ``humanlrm evaluate``). A color far from the surrounding one does not stay: it is a print,
    or a hand, of the front.
    """
    distance = np.square(field - around).sum(axis=1)
    detail = away * (1 - grazing) / (1 + distance / _DETAIL_DISTANCE**2)
    share = np.maximum(np.maximum(grazing, away) * (1 - detail), hidden)
    return field + share[:, None] * (around - field)


def _crown_color(seen: VertexObservations, hair: HairRegion) -> Float[np.ndarray, "3"] | None:
    """Median color of a head's visible crown; ``None``: too little of it is visible."""
    height = hair.height(seen.points)
    top = crown_vertices(height, (seen.weight > 0.9) & np.isfinite(height))
    return np.median(seen.shown[top], axis=0) if 3 * top.sum() >= ENOUGH_VERTICES else None


def crown_vertices(height: Float[np.ndarray, "P"], visible: Bool[np.ndarray, "P"]) -> Bool[np.ndarray, "P"]:
    """Visible points of a head that are its crown; ``height`` is over the head's middle."""
    return visible & (height > _CROWN_FROM * height[visible].max(initial=0))


def blend_crown(
    colors: Float[np.ndarray, "P 3"], crown: Float[np.ndarray, "3"], share: Float[np.ndarray, "P"]
) -> Float[np.ndarray, "P 3"]:
    """Colors of a head's back, drawn to the crown's by their membership in the back (``share``)."""
    return colors + _CROWN_SHARE * share[:, None] * (crown - colors)
