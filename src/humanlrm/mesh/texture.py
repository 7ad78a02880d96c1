"""Colour of a surface: the photo where the photo sees it, the field elsewhere, no visible border between them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from scipy.ndimage import distance_transform_edt
from scipy.sparse import csr_array, diags_array
from scipy.sparse.csgraph import dijkstra
from scipy.sparse.linalg import cg
from torch import Tensor

from humanlrm.mesh.clean import adjacency
from humanlrm.mesh.mirror import Mirror
from humanlrm.mesh.palette import nearer_to_palette
from humanlrm.mesh.photo_views import Photo, PhotoView, PhotoViews, Share, unit
from humanlrm.mesh.raycast import RayScene
from humanlrm.mesh.surface import TriangleSurface, face_normals, vertex_normals
from humanlrm.mesh.unwrap import Unwrapped, unwrap

FieldColor = Callable[[Float[Tensor, "P 3"], Float[Tensor, "P 3"]], Float[Tensor, "P 3"]]
#: Points to the number of what each belongs to.
Belonging = Callable[[Float[np.ndarray, "P 3"]], Int[np.ndarray, "P"]]

#: Correction of the field's colour: box units over which it fades on the unseen side, and how firmly it holds to each
#: seen vertex (below 1: pores and stripes must not be carried around the body). Our choice.
_SHIFT_REACH, _SHIFT_HOLD = 0.3, 0.05
_CHUNK = 65536
#: How firmly places where the surface runs along the rays hold to their own colour; and backs: the field reads the
#: pixels before them, and copies prints (our choice).
_LEAST_HOLD, _BACK_HOLD = 0.002, 0.1
#: How firmly places that no photo tells of hold to the colour of the nearest that one does (our choice). Around a limb
#: that lies in front the field still confuses both: an edge farther.
_HIDDEN_HOLD = 0.005
#: Share of a back's colour that is the mean of what photos show of the same clothes, and how dark, against that mean, a
#: back may be on average: the field knows what lights do on synthetic people (our choice; ``benchmarks/backs.py``).
_ALIKE, _DARKEST = 0.25, 0.8
#: Fewer vertices than this have no mean.
_ENOUGH = 30
#: A crown is what lies above this share of a head's height over its middle; how much the back of the head is like it.
_TOPMOST, _LIKE_CROWN = 0.6, 0.65
_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)
#: The tone that changes nothing.
_AS_IT_IS = np.array([1, 0, 0, 0], np.float32)
#: Where colours come from around by this share or more, the field is not asked.
_SETTLED = 0.999
#: How far from the colours around it half of what the field tells of a back is left out (our choice).
_FINE = 0.15
#: How often the seam between two clothes is smoothed where it is hidden (our choice).
_SEAM = 2
#: Colours of numbers from 0 to 1.
_HEAT_STOPS = (0.0, 0.25, 0.5, 1.0)
_HEAT = ((0.13, 0.22, 0.62), (0.45, 0.68, 0.86), (0.98, 0.88, 0.55), (0.75, 0.08, 0.1))
#: Barycentric coordinates of a face's corners, the middles of its edges, and its centre.
_FACE_POINTS = np.concatenate([np.eye(3), (1 - np.eye(3)) / 2, np.full((1, 3), 1 / 3)]).astype(np.float32)


@dataclass(frozen=True)
class Parts:
    """What a person consists of.

    Attributes:
        limbs: how far points are from the bones of each limb, box units: of the trunk, of an arm... They belong to the
            nearest.
        clothes: what covers the place: a jacket, trousers...
        height: how far along its limb it is, box units.
    """

    limbs: Callable[[Float[np.ndarray, "P 3"]], Float[np.ndarray, "P L"]]
    clothes: Belonging
    height: Callable[[Float[np.ndarray, "P 3"]], Float[np.ndarray, "P"]]


@dataclass(frozen=True)
class Hair:
    """Where the hair of a head is, which the photo shows from the front.

    Attributes:
        height: how high on the head points are, 0 at its middle; -inf elsewhere.
        back: how much they belong to the back of it, above the nape, 0 to 1.
    """

    height: Callable[[Float[np.ndarray, "P 3"]], Float[np.ndarray, "P"]]
    back: Share


@dataclass(frozen=True)
class Anatomy:
    """Where what of a person is, as far as that is known: colours go by it.

    Attributes:
        calm: of places that turn their back on the photos, how much of their colour comes from around them instead of
            from the field: a head's.
        parts: where no photo shows the person, or only another limb in front, colours go on within what is covered by
            the same clothes: a jacket's down to the hips, and behind a hand that lies on it. What is not seen is nearer
            to the colours that are seen at the same height of a limb.
        mirror: what no photo shows, but whose mirror image one does, looks like that: the other half of a face.
        hair: the back of a head looks like its crown.
    """

    calm: Share | None = None
    parts: Parts | None = None
    mirror: Mirror | None = None
    hair: Hair | None = None


_UNKNOWN = Anatomy()


@dataclass(frozen=True)
class TexturedMesh:
    """A surface with a texture; vertices on the texture's seams appear more than once, bit-equal.

    Attributes:
        vertices: positions in box units.
        faces: vertex indices, counter-clockwise seen from outside.
        uv: in [0, 1]^2, v up.
        texture: sRGB image; row 0 is v = 1.
        normals: unit vertex normals, equal across seams.
        welded: index of each vertex's original in the surface that was textured.
    """

    vertices: Float[np.ndarray, "U 3"]
    faces: Int[np.ndarray, "F 3"]
    uv: Float[np.ndarray, "U 2"]
    texture: UInt8[np.ndarray, "T T 3"]
    normals: Float[np.ndarray, "U 3"]
    welded: Int[np.ndarray, "U"]


@dataclass(frozen=True)
class Texels:
    """The texels that lie on a chart: where they are in the image and on the surface."""

    row: Int[np.ndarray, "P"]
    column: Int[np.ndarray, "P"]
    face: Int[np.ndarray, "P"]
    barycentric: Float[np.ndarray, "P 3"]

    def of(self, surface: TriangleSurface, per_vertex: Float[np.ndarray, "V C"]) -> Float[np.ndarray, "P C"]:
        a, b, c = surface.faces[self.face].T
        u, v, w = self.barycentric.T[..., None]
        return (u * per_vertex[a] + v * per_vertex[b] + w * per_vertex[c]).astype(np.float32)

    def __getitem__(self, chosen: Int[np.ndarray, "Q"]) -> "Texels":
        return Texels(self.row[chosen], self.column[chosen], self.face[chosen], self.barycentric[chosen])


def bake(
    surface: TriangleSurface,
    field_color: FieldColor,
    photos: Sequence[Photo] = (),
    size_px: int = 1024,
    match_colors: bool = True,
    unwrapped: Unwrapped | None = None,
    anatomy: Anatomy = _UNKNOWN,
) -> TexturedMesh:
    """Texture a closed surface.

    Args:
        field_color: (points in box units, unit normals) to sRGB in [0, 1]; asked only where the photo does not decide.
        photos: the input photos; without any the field colours everything. Where several show a place, the one that
            shows it best counts most.
        size_px: side of the texture.
        match_colors: shift the field's colours toward the photo's near the border between them.
        unwrapped: texture coordinates; by default :func:`humanlrm.mesh.unwrap.unwrap` makes them.
        anatomy: of the person.

    Raises:
        ValueError: a size below 16, or a photo whose arrays do not fit together.
    """
    if size_px < 16:
        raise ValueError(f"bake: the texture's side must be at least 16 px, got {size_px}")
    unwrapped = unwrap(surface, size_px) if unwrapped is None else unwrapped
    normals = vertex_normals(surface)
    texels = rasterise(unwrapped, size_px)
    colors = _colors(surface, normals, texels, field_color, photos, match_colors, anatomy)
    texture = _paint(texels, colors, size_px)
    welded = unwrapped.welded
    return TexturedMesh(surface.vertices[welded], unwrapped.faces, unwrapped.uv, texture, normals[welded], welded)


def color_vertices(
    surface: TriangleSurface,
    field_color: FieldColor,
    photos: Sequence[Photo] = (),
    anatomy: Anatomy = _UNKNOWN,
) -> Float[np.ndarray, "V 3"]:
    """The colours, sRGB in [0, 1], that :func:`bake` puts on the vertices of a surface, without a texture."""
    vertices = np.arange(len(surface.vertices))
    # Each is the corner of some face: the last one that names it.
    face, corner = np.zeros((2, len(vertices)), np.int64)
    face[surface.faces], corner[surface.faces] = np.indices(surface.faces.shape)
    texels = Texels(vertices, np.zeros_like(vertices), face, np.eye(3, dtype=np.float32)[corner])
    normals = vertex_normals(surface)
    return np.clip(_colors(surface, normals, texels, field_color, photos, True, anatomy), 0, 1)


def _colors(
    surface: TriangleSurface,
    normals: Float[np.ndarray, "V 3"],
    texels: Texels,
    field_color: FieldColor,
    photos: Sequence[Photo],
    match_colors: bool,
    anatomy: Anatomy,
) -> Float[np.ndarray, "P 3"]:
    """Of places on a surface, as :func:`bake` says."""
    places, directions = texels.of(surface, surface.vertices), unit(texels.of(surface, normals))
    weight = np.zeros(len(places), dtype=np.float32)
    colors = np.zeros((len(places), 3), dtype=np.float32)
    view = PhotoViews([PhotoView(photo, surface) for photo in photos], anatomy.calm)
    if photos:
        weight, colors = view.look(places, directions)
    unsure = np.flatnonzero(weight < 1)
    there, points, directions = texels[unsure], places[unsure], directions[unsure]
    if photos and match_colors:
        guess = _matched(view, surface, normals, there, points, directions, field_color, anatomy)
    else:
        guess = _ask(field_color, points, directions)
    if photos and anatomy.mirror is not None:
        mirror = anatomy.mirror.agreed(places[weight > 0.9], colors[weight > 0.9])
        if mirror is not None:
            _reflect(guess, view, surface, normals, points, mirror)
    w = weight[unsure, None]
    colors[unsure] = w * colors[unsure] + (1 - w) * guess
    return colors


def _matched(
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
    seen = _seen(view, surface, normals, field_color, anatomy.parts)
    shift, tone = _color_shift(view, seen), _tone(view, seen)
    hidden = None if anatomy.parts is None else _hidden(view, seen)
    around = _from_around(seen, shift, tone, hidden, anatomy.hair)
    along, away = view.along(points, directions)
    unseen = texels.of(surface, _unseen(seen, hidden)[:, None])[:, 0]
    guess = texels.of(surface, around)
    asked = np.flatnonzero(np.maximum(along, unseen) < _SETTLED)
    own = toned(_ask(field_color, points[asked], directions[asked]), texels[asked].of(surface, tone))
    own += texels[asked].of(surface, shift)
    guess[asked] = blended(own, guess[asked], along[asked], away[asked], unseen[asked])
    if anatomy.parts is not None:
        shifted = toned(seen.own, tone) + shift
        guess += texels.of(surface, _toward_palette(view, seen, anatomy.parts, shifted, around, hidden))
    return guess


def heat_map(mesh: TexturedMesh, values: Float[np.ndarray, "U"], size_px: int = 1024) -> UInt8[np.ndarray, "T T 3"]:
    """Numbers of the vertices as a texture for the same coordinates: from blue (0) over yellow to red (1 and more)."""
    flat = Unwrapped(mesh.welded, mesh.faces, mesh.uv)
    texels = rasterise(flat, size_px)
    surface = TriangleSurface(mesh.vertices, mesh.faces)
    share = np.clip(texels.of(surface, values[:, None].astype(np.float32))[:, 0], 0, 1)
    colors = np.stack([np.interp(share, _HEAT_STOPS, channel) for channel in np.array(_HEAT).T], axis=-1)
    return _paint(texels, colors.astype(np.float32), size_px)


def rasterise(unwrapped: Unwrapped, size_px: int) -> Texels:
    """Which face lies under each texel's centre: one ray per texel onto the charts laid out as a flat mesh.

    Free texels that hold a corner, an edge's middle or the centre of a face go to that face: slivers and tips may cover
    no texel's centre, and would take their colour from whatever chart is nearest.
    """
    flat = np.pad(unwrapped.uv * size_px, ((0, 0), (0, 1)))
    column, up = np.meshgrid(np.arange(size_px), np.arange(size_px))
    origins = np.stack([column + 0.5, up + 0.5, np.ones_like(up)], axis=-1)
    down = np.broadcast_to(np.array([0, 0, -1], dtype=np.float32), origins.shape)
    face, barycentric, _ = RayScene(flat, unwrapped.faces).first_hit(origins, down)
    places = np.einsum("pk,fkc->fpc", _FACE_POINTS, flat[unwrapped.faces, :2]).reshape(-1, 2).astype(np.int64)
    key, first = np.unique(places[:, 1] * size_px + places[:, 0], return_index=True)
    free = face.ravel()[key] < 0
    key, first = key[free], first[free]
    face.ravel()[key] = first // len(_FACE_POINTS)
    barycentric.reshape(-1, 3)[key] = _FACE_POINTS[first % len(_FACE_POINTS)]
    hit = face >= 0
    return Texels((size_px - 1 - up)[hit], column[hit], face[hit], barycentric[hit])


@dataclass(frozen=True)
class _Seen:
    """A surface, and what is known of its vertices.

    Attributes:
        weight, shown: how far to trust what the photos show there, and what that is (:meth:`PhotoViews.look`).
        along, away: how much they run along the rays, and turn their back (:meth:`PhotoViews.along`).
        own: the field's colours.
        limbs, clothes: how far they are from each limb and what covers them; ``None``: nobody knows.
        edges: which of them are neighbours.
    """

    surface: TriangleSurface
    weight: Float[np.ndarray, "V"]
    shown: Float[np.ndarray, "V 3"]
    along: Float[np.ndarray, "V"]
    away: Float[np.ndarray, "V"]
    own: Float[np.ndarray, "V 3"]
    limbs: Float[np.ndarray, "V L"] | None
    clothes: Int[np.ndarray, "V"] | None
    edges: csr_array

    @property
    def degree(self) -> Float[np.ndarray, "V"]:
        """How many neighbours each vertex has."""
        return np.asarray(self.edges.sum(axis=1)).ravel()


def _seen(
    view: PhotoViews,
    surface: TriangleSurface,
    normals: Float[np.ndarray, "V 3"],
    field_color: FieldColor,
    parts: Parts | None,
) -> _Seen:
    points = surface.vertices.astype(np.float32)
    return _Seen(
        surface,
        *view.look(points, normals),
        *view.along(points, normals),
        _ask(field_color, points, normals),
        None if parts is None else parts.limbs(points),
        None if parts is None else parts.clothes(points),
        adjacency(surface),
    )


def _color_shift(view: PhotoViews, at: _Seen) -> Float[np.ndarray, "V 3"]:
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
    return _relaxed(at.edges, degree + hold + screening, right)


def _tone(view: PhotoViews, at: _Seen) -> Float[np.ndarray, "V 4"]:
    """What makes backs alike to what the photos show of the same clothes (see :func:`toned`); heads stay as they are.

    A field guesses the more grey and dark, the stranger clothes and light are to it.
    """
    tone = np.tile(_AS_IT_IS, (len(at.own), 1))
    if at.clothes is None:
        return tone
    head = 0 if view.calm is None else view.calm(at.surface.vertices.astype(np.float32))
    away = at.away * (1 - head)
    for piece in np.unique(at.clothes[away > 0]):
        here = (at.clothes == piece) & (away > 0)
        front = (at.clothes == piece) & (at.weight > 0.9)
        if min(front.sum(), here.sum()) < _ENOUGH:
            continue
        wanted = alike(at.shown[front].mean(axis=0), at.own[here].mean(axis=0))
        tone[here] += away[here, None] * (wanted - _AS_IT_IS)
    return tone


def alike(front: Float[np.ndarray, "3"], back: Float[np.ndarray, "3"]) -> Float[np.ndarray, "4"]:
    """The tone of a piece of clothes whose back is guessed: mean colours (sRGB in [0, 1]) of the front, as the photo
    shows it, and of the back to a factor of the back's colours and what is added to them."""
    guessed = (1 - _ALIKE) * back + _ALIKE * front
    gain = max(1.0, _DARKEST * float(front @ _LUMA) / max(float(guessed @ _LUMA), 1e-3))
    return gain * np.array([1 - _ALIKE, *(_ALIKE * front)], np.float32)


def toned(colors: Float[np.ndarray, "P 3"], tone: Float[np.ndarray, "P 4"]) -> Float[np.ndarray, "P 3"]:
    """Colours times the first number of each tone, plus the others."""
    return colors * tone[:, :1] + tone[:, 1:]


@dataclass(frozen=True)
class _Hidden:
    """Vertices that no photo tells of, but of others that the same clothes cover.

    Attributes:
        where: which they are.
        nearest: of those, the nearest of the others; the rest are their own.
    """

    where: Bool[np.ndarray, "V"]
    nearest: Int[np.ndarray, "V"]


def _hidden(view: PhotoViews, at: _Seen) -> _Hidden | None:
    """``None``: there are none."""
    assert at.limbs is not None
    points = at.surface.vertices.astype(np.float32)
    near = (~view.shows(points, at.limbs)).astype(np.float32)
    hidden = (near + at.edges @ near > 0) & (at.weight < 0.5)
    if hidden.all() or not hidden.any():
        return None
    options = {"unweighted": True, "min_only": True, "return_predecessors": True}
    steps, _, nearest = dijkstra(_within(at, hidden), indices=np.flatnonzero(~hidden), **options)
    reached = hidden & np.isfinite(steps)
    return _Hidden(reached, np.where(reached, nearest, np.arange(len(points))))


def _unseen(at: _Seen, hidden: _Hidden | None) -> Float[np.ndarray, "V"]:
    """1 where vertices are hidden, else 0."""
    return np.zeros_like(at.along) if hidden is None else hidden.where.astype(np.float32)


def _from_around(
    at: _Seen,
    shift: Float[np.ndarray, "V 3"],
    tone: Float[np.ndarray, "V 4"],
    hidden: _Hidden | None,
    hair: Hair | None,
) -> Float[np.ndarray, "V 3"]:
    """Colours of the vertices where the surface runs along the rays, or is hidden, from what lies around them (our
    choice).

    A field that reads pixels gives such places stripes: one pixel colours all that lies along its ray. The photo's
    colours on one side and the field's on the other go over into each other instead. What lies beyond a photo's border,
    or behind something, the field can only guess, and guesses a grey of all clothes, or paints the hand that lies on
    the front onto the back, too: there colours go on as they are.
    """
    known = at.shown + (1 - at.weight[:, None]) * (toned(at.own, tone) + shift - at.shown)
    hold = (_LEAST_HOLD + (1 - at.along) ** 2) * (1 - (1 - _BACK_HOLD) * at.away)
    if hair is not None and (crown := _crown(at, hair)) is not None:
        # A head's back would take the colour of its sides, which is mostly skin.
        back = hair.back(at.surface.vertices.astype(np.float32)) * at.away
        known = like_crown(known, crown, back)
        hold = np.maximum(hold, back)
    edges = at.edges
    if hidden is not None:
        edges = _within(at, hidden.where)
        known, hold = known[hidden.nearest], np.where(hidden.where, _HIDDEN_HOLD, hold)
    hold = hold * at.degree
    found = _relaxed(edges, np.asarray(edges.sum(axis=1)).ravel() + hold, hold[:, None] * known)
    if hidden is not None:
        for _ in range(_SEAM):
            found[hidden.where] += 0.5 * ((at.edges @ found) / at.degree[:, None] - found)[hidden.where]
    return found


def _toward_palette(
    view: PhotoViews,
    at: _Seen,
    parts: Parts,
    shifted: Float[np.ndarray, "V 3"],
    around: Float[np.ndarray, "V 3"],
    hidden: _Hidden | None,
) -> Float[np.ndarray, "V 3"]:
    """What makes guesses on backs and sides alike to what photos show (:func:`nearer_to_palette`); heads stay.

    Args:
        shifted: the field's colours, corrected.
        around: what lies around.
    """
    assert at.limbs is not None
    points = at.surface.vertices.astype(np.float32)
    guess = blended(shifted, around, at.along, at.away, _unseen(at, hidden))
    palette = nearer_to_palette(guess, at.shown, at.weight > 0.9, at.limbs.argmin(axis=1), parts.height(points))
    head = 0 if view.calm is None else view.calm(points)
    return (np.maximum(at.away, at.along) * (1 - head))[:, None] * (palette - guess)


def blended(
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


def _crown(at: _Seen, hair: Hair) -> Float[np.ndarray, "3"] | None:
    """Median colour of the topmost part of a head that the photos show; ``None``: they show too little of one."""
    height = hair.height(at.surface.vertices.astype(np.float32))
    top = topmost(height, (at.weight > 0.9) & np.isfinite(height))
    return np.median(at.shown[top], axis=0) if 3 * top.sum() >= _ENOUGH else None


def topmost(height: Float[np.ndarray, "P"], shown: Bool[np.ndarray, "P"]) -> Bool[np.ndarray, "P"]:
    """Which of the points of a head that are shown are its crown; ``height`` over its middle."""
    return shown & (height > _TOPMOST * height[shown].max(initial=0))


def like_crown(
    colors: Float[np.ndarray, "P 3"], crown: Float[np.ndarray, "3"], share: Float[np.ndarray, "P"]
) -> Float[np.ndarray, "P 3"]:
    """Colours of the back of a head, nearer to the crown's the more they belong there."""
    return colors + _LIKE_CROWN * share[:, None] * (crown - colors)


def _reflect(
    guess: Float[np.ndarray, "P 3"],
    view: PhotoViews,
    surface: TriangleSurface,
    normals: Float[np.ndarray, "V 3"],
    points: Float[np.ndarray, "P 3"],
    mirror: Mirror,
) -> None:
    """Puts the photos' colours of the mirror images over the guesses at points, as far as the photos show them."""
    share = mirror.share(points)
    asked = np.flatnonzero(share > 0)
    if len(asked):
        there, outward, trust = mirror.on(surface, normals, points[asked])
        weight, colors = view.look(there, outward)
        guess[asked] += (share[asked] * trust * weight)[:, None] * (colors - guess[asked])


def _within(at: _Seen, hidden: Bool[np.ndarray, "V"]) -> csr_array:
    """The edges without those to a hidden vertex that lead from one piece of clothes to another."""
    assert at.clothes is not None
    start, end = at.edges.nonzero()
    joined = (at.clothes[start] == at.clothes[end]) | ~(hidden[start] | hidden[end])
    return csr_array((joined[joined].astype(np.float32), (start[joined], end[joined])), at.edges.shape)


def _relaxed(
    edges: csr_array, diagonal: Float[np.ndarray, "V"], right: Float[np.ndarray, "V C"]
) -> Float[np.ndarray, "V C"]:
    """Solves (diagonal - edges) u = right, to a tenth of a grey level; a direct solver takes ten times longer."""
    system, jacobi = (diags_array(diagonal) - edges).tocsr(), diags_array(1 / diagonal)
    columns = [cg(system, column, rtol=1e-3, M=jacobi, maxiter=500)[0] for column in right.T]
    return np.stack(columns, axis=-1).astype(np.float32)


def _border_steps(view: PhotoViews, at: _Seen) -> tuple[Float[np.ndarray, "V 3"], Bool[np.ndarray, "V"]]:
    """Of each vertex the sum of the field's steps to its neighbours across the photos' border, and whether it is such a
    neighbour on the inner side."""
    steps, inner = np.zeros_like(at.own), np.zeros(len(at.own), dtype=bool)
    beyond = view.beyond(at.surface.vertices)
    edges = np.concatenate([at.surface.faces[:, [0, 1]], at.surface.faces[:, [1, 2]], at.surface.faces[:, [2, 0]]])
    crossing = edges[beyond[edges[:, 0]] != beyond[edges[:, 1]]]  # each edge once in each direction
    np.add.at(steps, crossing[:, 0], at.own[crossing[:, 1]] - at.own[crossing[:, 0]])
    inner[crossing] = True
    return steps, inner & ~beyond


@torch.no_grad()
def _ask(
    field_color: FieldColor, points: Float[np.ndarray, "P 3"], normals: Float[np.ndarray, "P 3"]
) -> Float[np.ndarray, "P 3"]:
    out = np.zeros((len(points), 3), dtype=np.float32)
    for first in range(0, len(points), _CHUNK):
        part = slice(first, first + _CHUNK)
        out[part] = field_color(torch.from_numpy(points[part]), torch.from_numpy(normals[part])).float().cpu().numpy()
    return out


def _paint(texels: Texels, colors: Float[np.ndarray, "P 3"], size_px: int) -> UInt8[np.ndarray, "T T 3"]:
    """Texels to an image; the space between charts takes the nearest texel's colour, so no filter sees a border."""
    image = np.zeros((size_px, size_px, 3), dtype=np.uint8)
    image[texels.row, texels.column] = np.clip(colors * 255 + 0.5, 0, 255).astype(np.uint8)
    empty: Bool[np.ndarray, "T T"] = np.ones((size_px, size_px), dtype=bool)
    empty[texels.row, texels.column] = False
    nearest = distance_transform_edt(empty, return_distances=False, return_indices=True)
    row, column = np.asarray(nearest)
    return image[row, column]
