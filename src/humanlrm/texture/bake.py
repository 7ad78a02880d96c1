"""Color of a surface: the photo where it is visible, generated views, what lies around, the field elsewhere."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, UInt8

from humanlrm.body.parts import Membership
from humanlrm.mesh.surface import TexturedMesh, TriangleSurface, vertex_normals
from humanlrm.mesh.texels import Texels, paint, rasterize
from humanlrm.mesh.unwrap import Unwrapped, unwrap
from humanlrm.texture.project import PhotoProjection, PhotoView, PhotoViews
from humanlrm.texture.spread import FieldColor, color_texels

#: Colors of a heat map at shares from 0 to 1.
_HEAT_STOPS = (0.0, 0.25, 0.5, 1.0)
_HEAT_COLORS = ((0.13, 0.22, 0.62), (0.45, 0.68, 0.86), (0.98, 0.88, 0.55), (0.75, 0.08, 0.1))


def bake(
    surface: TriangleSurface,
    field_color: FieldColor,
    photos: Sequence[PhotoProjection] = (),
    size_px: int = 1024,
    generated: Sequence[Sequence[PhotoProjection]] = (),
    detail: Membership | None = None,
) -> TexturedMesh:
    """Texture a closed surface.

    Args:
        field_color: (points in box units, unit normals) to sRGB in [0, 1]; evaluated only where no picture decides.
        photos: the input photos. Where several show a place, the one that shows it best counts most.
        size_px: side of the texture.
        generated: groups of generated views (``diffusion.view_prior``), the most trusted first.
        detail: membership in the parts that get more texels.

    Raises:
        ValueError: a size below 16, or a photo whose arrays do not fit together.
    """
    if size_px < 16:
        raise ValueError(f"bake: the texture's side must be at least 16 px, got {size_px}")
    unwrapped = unwrap(surface, size_px, _detailed_faces(surface, detail))
    normals = vertex_normals(surface)
    texels = rasterize(unwrapped, size_px)
    colors = color_texels(_on(surface, photos, generated), surface, normals, texels, field_color)
    texture, welded = paint(texels, colors, size_px), unwrapped.welded
    return TexturedMesh(surface.vertices[welded], unwrapped.faces, unwrapped.uv, texture, normals[welded], welded)


def color_vertices(
    surface: TriangleSurface,
    field_color: FieldColor,
    photos: Sequence[PhotoProjection] = (),
    generated: Sequence[Sequence[PhotoProjection]] = (),
) -> Float[np.ndarray, "V 3"]:
    """The colors, sRGB in [0, 1], that :func:`bake` puts on the vertices of a surface, without a texture."""
    vertices = np.arange(len(surface.vertices))
    # Each vertex is the corner of several faces; the last one that names it stands for it.
    face, corner = np.zeros((2, len(vertices)), np.int64)
    face[surface.faces], corner[surface.faces] = np.indices(surface.faces.shape)
    texels = Texels(vertices, np.zeros_like(vertices), face, np.eye(3, dtype=np.float32)[corner])
    groups, normals = _on(surface, photos, generated), vertex_normals(surface)
    return np.clip(color_texels(groups, surface, normals, texels, field_color), 0, 1)


def _on(
    surface: TriangleSurface, photos: Sequence[PhotoProjection], generated: Sequence[Sequence[PhotoProjection]]
) -> list[PhotoViews]:
    """All groups of pictures projected onto a surface, the most trusted first."""
    return [PhotoViews([PhotoView(picture, surface) for picture in group]) for group in (photos, *generated)]


def _detailed_faces(surface: TriangleSurface, detail: Membership | None) -> Bool[np.ndarray, "F"]:
    centers = surface.vertices[surface.faces].mean(axis=1).astype(np.float32)
    return np.zeros(len(centers), dtype=bool) if detail is None else detail(centers) > 0.5


def heat_map(mesh: TexturedMesh, values: Float[np.ndarray, "U"], size_px: int = 1024) -> UInt8[np.ndarray, "T T 3"]:
    """Numbers of the vertices as a texture for the same coordinates: from blue (0) over yellow to red (1 and more)."""
    texels = rasterize(Unwrapped(mesh.welded, mesh.faces, mesh.uv), size_px)
    surface = TriangleSurface(mesh.vertices, mesh.faces)
    share = np.clip(texels.interpolate(surface, values[:, None].astype(np.float32))[:, 0], 0, 1)
    colors = np.stack([np.interp(share, _HEAT_STOPS, channel) for channel in np.array(_HEAT_COLORS).T], axis=-1)
    return paint(texels, colors.astype(np.float32), size_px)
