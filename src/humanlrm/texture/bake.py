"""Color of a surface: the photo where it is visible, the field elsewhere, no visible border between them."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, UInt8

from humanlrm.body.mirror import Mirror
from humanlrm.body.parts import Anatomy
from humanlrm.mesh.surface import TexturedMesh, TriangleSurface, vertex_normals
from humanlrm.mesh.texels import Texels, paint, rasterize
from humanlrm.mesh.unwrap import Unwrapped, unwrap
from humanlrm.texture.complete import complete_colors
from humanlrm.texture.observations import FieldColor, query_colors
from humanlrm.texture.project import PhotoProjection, PhotoView, PhotoViews, normalize
from humanlrm.texture.spread import color_texels

#: Colors of a heat map at shares from 0 to 1.
_HEAT_STOPS = (0.0, 0.25, 0.5, 1.0)
_HEAT_COLORS = ((0.13, 0.22, 0.62), (0.45, 0.68, 0.86), (0.98, 0.88, 0.55), (0.75, 0.08, 0.1))
_NO_ANATOMY = Anatomy()


def bake(
    surface: TriangleSurface,
    field_color: FieldColor,
    photos: Sequence[PhotoProjection] = (),
    size_px: int = 1024,
    match_colors: bool = True,
    anatomy: Anatomy = _NO_ANATOMY,
    generated: Sequence[Sequence[PhotoProjection]] = (),
) -> TexturedMesh:
    """Texture a closed surface.

    Args:
        field_color: (points in box units, unit normals) to sRGB in [0, 1]; evaluated only where no photo decides.
        photos: the input photos; without any the field colors everything. Where several show a place, the one that
            shows it best counts most.
        size_px: side of the texture.
        match_colors: make the field's colors go with the photos' (``texture.complete``).
        anatomy: of the person.
        generated: groups of generated views (``diffusion.view_prior``), the most trusted first. With them no rule
            completes hidden colors; the colors of photos and views spread to what neither shows.

    Raises:
        ValueError: a size below 16, or a photo whose arrays do not fit together.
    """
    if size_px < 16:
        raise ValueError(f"bake: the texture's side must be at least 16 px, got {size_px}")
    unwrapped = unwrap(surface, size_px, _detailed_faces(surface, anatomy))
    normals = vertex_normals(surface)
    texels = rasterize(unwrapped, size_px)
    colors = _color_texels(surface, normals, texels, field_color, photos, match_colors, anatomy, generated)
    texture, welded = paint(texels, colors, size_px), unwrapped.welded
    return TexturedMesh(surface.vertices[welded], unwrapped.faces, unwrapped.uv, texture, normals[welded], welded)


def _detailed_faces(surface: TriangleSurface, anatomy: Anatomy) -> Bool[np.ndarray, "F"]:
    """Faces of head and hands, at which people look first."""
    centers = surface.vertices[surface.faces].mean(axis=1).astype(np.float32)
    detailed = np.zeros(len(centers), dtype=bool)
    if anatomy.head is not None:
        detailed |= anatomy.head(centers) > 0.5
    if anatomy.parts is not None:
        parts = anatomy.parts(centers)
        detailed |= parts.bare[parts.limb]
    return detailed


def color_vertices(
    surface: TriangleSurface,
    field_color: FieldColor,
    photos: Sequence[PhotoProjection] = (),
    anatomy: Anatomy = _NO_ANATOMY,
    generated: Sequence[Sequence[PhotoProjection]] = (),
) -> Float[np.ndarray, "V 3"]:
    """The colors, sRGB in [0, 1], that :func:`bake` puts on the vertices of a surface, without a texture."""
    vertices = np.arange(len(surface.vertices))
    # Each vertex is the corner of several faces; the last one that names it stands for it.
    face, corner = np.zeros((2, len(vertices)), np.int64)
    face[surface.faces], corner[surface.faces] = np.indices(surface.faces.shape)
    texels = Texels(vertices, np.zeros_like(vertices), face, np.eye(3, dtype=np.float32)[corner])
    normals = vertex_normals(surface)
    return np.clip(_color_texels(surface, normals, texels, field_color, photos, True, anatomy, generated), 0, 1)


def _color_texels(
    surface: TriangleSurface,
    normals: Float[np.ndarray, "V 3"],
    texels: Texels,
    field_color: FieldColor,
    photos: Sequence[PhotoProjection],
    match_colors: bool,
    anatomy: Anatomy,
    generated: Sequence[Sequence[PhotoProjection]],
) -> Float[np.ndarray, "P 3"]:
    if generated:
        groups = [PhotoViews([PhotoView(p, surface) for p in group]) for group in (photos, *generated)]
        return color_texels(groups, surface, normals, texels, field_color)
    points = texels.interpolate(surface, surface.vertices)
    directions = normalize(texels.interpolate(surface, normals))
    weight = np.zeros(len(points), dtype=np.float32)
    colors = np.zeros((len(points), 3), dtype=np.float32)
    views = PhotoViews([PhotoView(photo, surface) for photo in photos], anatomy.head)
    if photos:
        weight, colors = views.sample(points, directions)
    unsure = np.flatnonzero(weight < 1)
    hidden_points, hidden_directions = points[unsure], directions[unsure]
    if photos and match_colors:
        hidden_texels = texels[unsure]
        guess = complete_colors(
            views, surface, normals, hidden_texels, hidden_points, hidden_directions, field_color, anatomy
        )
    else:
        guess = query_colors(field_color, hidden_points, hidden_directions)
    if photos and anatomy.mirror is not None:
        mirror = anatomy.mirror.refined(points[weight > 0.9], colors[weight > 0.9])
        if mirror is not None:
            _reflect(guess, views, surface, normals, hidden_points, mirror)
    w = weight[unsure, None]
    colors[unsure] = w * colors[unsure] + (1 - w) * guess
    return colors


def _reflect(
    guess: Float[np.ndarray, "P 3"],
    views: PhotoViews,
    surface: TriangleSurface,
    normals: Float[np.ndarray, "V 3"],
    points: Float[np.ndarray, "P 3"],
    mirror: Mirror,
) -> None:
    """Blend the photos' colors of the mirror images into the guesses at points, in place."""
    membership = mirror.membership(points)
    inside = np.flatnonzero(membership > 0)
    if len(inside):
        images, outward, trust = mirror.reflect_onto(surface.vertices, normals, points[inside])
        weight, colors = views.sample(images, outward)
        guess[inside] += (membership[inside] * trust * weight)[:, None] * (colors - guess[inside])


def heat_map(mesh: TexturedMesh, values: Float[np.ndarray, "U"], size_px: int = 1024) -> UInt8[np.ndarray, "T T 3"]:
    """Numbers of the vertices as a texture for the same coordinates: from blue (0) over yellow to red (1 and more)."""
    texels = rasterize(Unwrapped(mesh.welded, mesh.faces, mesh.uv), size_px)
    surface = TriangleSurface(mesh.vertices, mesh.faces)
    share = np.clip(texels.interpolate(surface, values[:, None].astype(np.float32))[:, 0], 0, 1)
    colors = np.stack([np.interp(share, _HEAT_STOPS, channel) for channel in np.array(_HEAT_COLORS).T], axis=-1)
    return paint(texels, colors.astype(np.float32), size_px)
