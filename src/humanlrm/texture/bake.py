"""Colour of a surface: the photo where the photo sees it, the field elsewhere, no visible border between them."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8

from humanlrm.body.mirror import Mirror
from humanlrm.body.parts import Anatomy
from humanlrm.mesh.surface import TexturedMesh, TriangleSurface, vertex_normals
from humanlrm.mesh.texels import Texels, paint, rasterize
from humanlrm.mesh.unwrap import Unwrapped, unwrap
from humanlrm.texture.complete import complete_colors
from humanlrm.texture.observations import FieldColor, query_colors
from humanlrm.texture.project import PhotoProjection, PhotoView, PhotoViews, normalize

#: Colours of numbers from 0 to 1.
_HEAT_STOPS = (0.0, 0.25, 0.5, 1.0)
_HEAT = ((0.13, 0.22, 0.62), (0.45, 0.68, 0.86), (0.98, 0.88, 0.55), (0.75, 0.08, 0.1))
_UNKNOWN = Anatomy()


def bake(
    surface: TriangleSurface,
    field_color: FieldColor,
    photos: Sequence[PhotoProjection] = (),
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
    texels = rasterize(unwrapped, size_px)
    colors = _colors(surface, normals, texels, field_color, photos, match_colors, anatomy)
    texture = paint(texels, colors, size_px)
    welded = unwrapped.welded
    return TexturedMesh(surface.vertices[welded], unwrapped.faces, unwrapped.uv, texture, normals[welded], welded)


def color_vertices(
    surface: TriangleSurface,
    field_color: FieldColor,
    photos: Sequence[PhotoProjection] = (),
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
    photos: Sequence[PhotoProjection],
    match_colors: bool,
    anatomy: Anatomy,
) -> Float[np.ndarray, "P 3"]:
    """Of places on a surface, as :func:`bake` says."""
    places, directions = texels.interpolate(surface, surface.vertices), normalize(texels.interpolate(surface, normals))
    weight = np.zeros(len(places), dtype=np.float32)
    colors = np.zeros((len(places), 3), dtype=np.float32)
    view = PhotoViews([PhotoView(photo, surface) for photo in photos], anatomy.calm)
    if photos:
        weight, colors = view.look(places, directions)
    unsure = np.flatnonzero(weight < 1)
    there, points, directions = texels[unsure], places[unsure], directions[unsure]
    if photos and match_colors:
        guess = complete_colors(view, surface, normals, there, points, directions, field_color, anatomy)
    else:
        guess = query_colors(field_color, points, directions)
    if photos and anatomy.mirror is not None:
        mirror = anatomy.mirror.agreed(places[weight > 0.9], colors[weight > 0.9])
        if mirror is not None:
            _reflect(guess, view, surface, normals, points, mirror)
    w = weight[unsure, None]
    colors[unsure] = w * colors[unsure] + (1 - w) * guess
    return colors


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
        there, outward, trust = mirror.on(surface.vertices, normals, points[asked])
        weight, colors = view.look(there, outward)
        guess[asked] += (share[asked] * trust * weight)[:, None] * (colors - guess[asked])


def heat_map(mesh: TexturedMesh, values: Float[np.ndarray, "U"], size_px: int = 1024) -> UInt8[np.ndarray, "T T 3"]:
    """Numbers of the vertices as a texture for the same coordinates: from blue (0) over yellow to red (1 and more)."""
    flat = Unwrapped(mesh.welded, mesh.faces, mesh.uv)
    texels = rasterize(flat, size_px)
    surface = TriangleSurface(mesh.vertices, mesh.faces)
    share = np.clip(texels.interpolate(surface, values[:, None].astype(np.float32))[:, 0], 0, 1)
    colors = np.stack([np.interp(share, _HEAT_STOPS, channel) for channel in np.array(_HEAT).T], axis=-1)
    return paint(texels, colors.astype(np.float32), size_px)
