"""Textured mesh -> file in metres, upright (+Y), facing +Z, feet at y = 0."""

from humanlrm.mesh.export.place import metric_vertices, vertex_colors, weld
from humanlrm.mesh.export.save import FORMATS, check_suffix, save, write_model

__all__ = ["FORMATS", "check_suffix", "metric_vertices", "save", "vertex_colors", "weld", "write_model"]
