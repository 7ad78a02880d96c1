"""RenderPeople scans: centimetres, mostly facing +Z, some with +Z up.

Layout as read from PIFu (``apps/render_data.py``) and 2K2K (``render/render.py``).
"""

from pathlib import Path

import numpy as np

from humanlrm.data.importers.adapter import Adapter, Item
from humanlrm.data.importers.io.mesh_files import read_mesh
from humanlrm.data.importers.io.placement import make_scan
from humanlrm.data.job import Options
from humanlrm.data.scan import Scan

_MESHES = ("_100k", "_200k", "_30k", "")
_TEXTURES = ("_dif_8k", "_dif_4k", "_dif", "_dif_2k")
#: 2K2K turns these by 90 degrees before use. The direction is not certain, so their yaw counts as unknown.
_TURNED = frozenset([
    "wendy_posed_002", "toshiro_posed_021", "scott_posed_037", "pamela_posed_012", "oliver_posed_029",
    "noah_posed_011", "mira_posed_001", "luke_posed_007", "luke_posed_008", "jessica_posed_006", "helen_posed_038",
    "eve_posed_003", "eric_posed_007", "eric_posed_036", "emma_posed_025", "dennis_posed_008", "chloe_posed_004",
    "anna_posed_001", "andrew_posed_004", "maya_posed_027", "petra_posed_006",
])  # fmt: skip


def find(source: Path) -> list[Item]:
    """Folders ``rp_NAME_posed_NNN_OBJ`` at any depth."""
    folders = sorted(path for path in source.rglob("rp_*_OBJ") if path.is_dir())
    return [Item(folder.name.removesuffix("_OBJ"), folder, folder.name.removesuffix("_OBJ")) for folder in folders]


def read(item: Item, options: Options) -> Scan:
    """Centimetres; +Z is up if that is the longest extent and no axis is stated (PIFu's rule)."""
    mesh = _first(item.path, [f"{item.id}{size}{end}" for size in _MESHES for end in (".obj", ".OBJ")])
    texture = _first(item.path / "tex", [f"{item.id}{kind}.jpg" for kind in _TEXTURES])
    geometry = read_mesh(mesh, texture)
    up = "+z" if np.argmax(np.ptp(geometry.vertices, axis=0)) == 2 else "+y"
    yaw = None if item.id.removeprefix("rp_") in _TURNED else 0.0
    placement = options.placement(up, "cm")
    return make_scan(geometry, placement, yaw_rad=yaw)


def _first(folder: Path, names: list[str]) -> Path:
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise ValueError(f"{folder} has none of {', '.join(names)}")


ADAPTER = Adapter(
    "renderpeople",
    "RenderPeople",
    "rp_NAME_posed_NNN_OBJ/rp_NAME_posed_NNN_100k.obj, tex/*_dif_8k.jpg",
    find,
    read,
    "RenderPeople: commercial product, licensed per buyer",
)
