"""From a field to a file: extract, clean, texture, export; a field is only a callable, no network is known here."""

from humanlrm.mesh.clean import clean, detached_share, simplify, smooth
from humanlrm.mesh.export import save, save_glb
from humanlrm.mesh.extract import extract_surface
from humanlrm.mesh.outline import meet_outlines, mend_border, outlines_of
from humanlrm.mesh.photo_views import Photo
from humanlrm.mesh.preview import contact_sheet, render_views
from humanlrm.mesh.raycast import RayScene
from humanlrm.mesh.surface import TriangleSurface
from humanlrm.mesh.texels import TexturedMesh
from humanlrm.mesh.texture import bake

__all__ = [
    "Photo",
    "RayScene",
    "TexturedMesh",
    "TriangleSurface",
    "bake",
    "clean",
    "contact_sheet",
    "detached_share",
    "extract_surface",
    "meet_outlines",
    "mend_border",
    "outlines_of",
    "render_views",
    "save",
    "save_glb",
    "simplify",
    "smooth",
]
