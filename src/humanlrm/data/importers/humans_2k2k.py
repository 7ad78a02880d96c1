"""2K2K: dense scans with vertex colours (PLY) or a texture (OBJ + PNG), facing +Z, of no stated unit.

Layout as read from SangHunHan92/2K2K (``render/render.py``), which normalises every scan by its own box.
"""

from pathlib import Path

from humanlrm.data.importers.adapter import Adapter, Item
from humanlrm.data.importers.io.mesh_files import read_mesh
from humanlrm.data.importers.io.placement import make_scan
from humanlrm.data.job import Options
from humanlrm.data.scan import Scan


def find(source: Path) -> list[Item]:
    """``**/NNNNN/NNNNN.ply``, or ``.obj`` where there is no PLY."""
    scans: dict[str, Path] = {}
    for suffix in ("ply", "obj"):
        for path in sorted(source.rglob(f"*.{suffix}")):
            name = path.parent.name
            if path.stem == name and name.isdigit() and len(name) == 5:
                scans.setdefault(name, path)
    return [Item(name, scans[name], name) for name in sorted(scans)]


def read(item: Item, options: Options) -> Scan:
    """The height is set: the files do not say their unit."""
    picture = item.path.with_suffix(".png")
    texture = picture if item.path.suffix == ".obj" and picture.is_file() else None
    placement = options.placement(unit="height")
    return make_scan(read_mesh(item.path, texture), placement, yaw_rad=0.0)


ADAPTER = Adapter(
    "2k2k", "2K2K", "NNNNN/NNNNN.ply, or NNNNN.obj + NNNNN.png", find, read, "2K2K: non-commercial research only"
)
