"""THuman 2.0 and 2.1: textured scans, each with its own scale and yaw, which its SMPL-X fit gives.

Layout and traps as read from SiTH (``tools/align_thuman.py``), ICON (``docs/dataset.md``) and 2K2K (``render.py``).
"""

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from humanlrm.data.importers.adapter import Adapter, Item
from humanlrm.data.importers.io.mesh_files import Geometry, read_mesh
from humanlrm.data.importers.io.pickles import get_array, read_pickle
from humanlrm.data.importers.io.placement import make_scan
from humanlrm.data.job import Options, Placement
from humanlrm.data.scan import Scan

_TEXTURES = ("material0.jpeg", "material0.jpg", "material0.png")
_DIGITS = 4
#: The last 20 scans of 2.0, held out by ``--split thuman2`` (publications differ and few print their list).
HELD_OUT = frozenset(f"{k:04d}" for k in range(506, 526))


def find(source: Path) -> list[Item]:
    """``**/NNNN/NNNN.obj``; 2.1 repeats the scans of 2.0, each id is taken once."""
    fits = {path.parent.name: path for path in sorted(source.rglob("smplx_param.pkl"))}
    scans: dict[str, Path] = {}
    for path in sorted(source.rglob("*.obj")):
        name = path.parent.name
        if path.stem == name and name.isdigit() and len(name) == _DIGITS:
            scans.setdefault(name, path)
    return [Item(name, path, name, companion=fits.get(name)) for name, path in scans.items()]


def read(item: Item, options: Options) -> Scan:
    """Metres and facing +Z by the SMPL-X fit; without one the height is set and the yaw is unknown."""
    texture = next((item.path.with_name(name) for name in _TEXTURES if item.path.with_name(name).is_file()), None)
    geometry = read_mesh(item.path, texture)
    placement, yaw = options.placement(unit="height"), None
    if item.companion is not None and options.unit is None:
        geometry, yaw = _metric(geometry, item.companion)
        placement = Placement(placement.up, "m")
    return make_scan(geometry, placement, yaw_rad=yaw)


def _metric(geometry: Geometry, fit: Path) -> tuple[Geometry, float]:
    """The scan in metres, and the yaw of the body: scan = body(global_orient) * scale + translation.

    Only the yaw is undone: the scan's up is that of gravity, so a body that leans stays so.
    """
    parameters = read_pickle(fit)
    scale = float(get_array(parameters, "scale", (1,), fit)[0])
    if scale <= 0:
        raise ValueError(f"{fit}: scale is {scale}, expected a positive number")
    moved = (geometry.vertices - get_array(parameters, "translation", (3,), fit)) / scale
    forward = Rotation.from_rotvec(get_array(parameters, "global_orient", (3,), fit)).apply([0.0, 0.0, 1.0])
    yaw = float(np.arctan2(forward[0], forward[2]))
    return Geometry(**{**vars(geometry), "vertices": moved}), yaw


ADAPTER = Adapter(
    "thuman",
    "THuman 2.0 / 2.1",
    "**/NNNN/NNNN.obj + material0.jpeg, **/NNNN/smplx_param.pkl",
    find,
    read,
    "THuman: non-commercial research only",
)
