"""Image formation: from a field and rays to pictures; a field is only two callables, no network is known here."""

from humanlrm.render.density import LaplaceDensity, SoftplusDensity
from humanlrm.render.field import Density, RadianceField, Samples
from humanlrm.render.occupancy import OccupancyGrid, occupancy, render_occupied
from humanlrm.render.surface import Tracing, first_surface, render_surface
from humanlrm.render.turntable import turntable
from humanlrm.render.volume import PLAIN, Rendering, Sampling, integrate, render_rays, to_image

__all__ = [
    "PLAIN",
    "Density",
    "LaplaceDensity",
    "OccupancyGrid",
    "RadianceField",
    "Rendering",
    "Samples",
    "Sampling",
    "SoftplusDensity",
    "Tracing",
    "first_surface",
    "integrate",
    "occupancy",
    "render_occupied",
    "render_rays",
    "render_surface",
    "to_image",
    "turntable",
]
