"""CustomHumans: textured scans in metres, pelvis at the origin, facing +Z (inferred from its SMPL-X fits).

Layout as read from custom-humans/editable-humans (``README``, ``tools/prepare_dataset.py``).
"""

from pathlib import Path

from humanlrm.data.importers.adapter import Adapter, Item
from humanlrm.data.importers.io.mesh_files import read_mesh
from humanlrm.data.importers.io.placement import make_scan
from humanlrm.data.job import Options
from humanlrm.data.scan import Scan


def find(source: Path) -> list[Item]:
    """``**/mesh/SUBJECT_XXXXX_TAKE_FRAME/mesh-fNNNNN.obj``; the group is the subject."""
    paths = [path for path in sorted(source.rglob("mesh-f*.obj")) if path.parent.parent.name == "mesh"]
    return [Item(path.parent.name, path, path.parent.name.split("_")[0]) for path in paths]


def read(item: Item, options: Options) -> Scan:
    """Metres as stored."""
    placement = options.placement(unit="m")
    return make_scan(read_mesh(item.path), placement, yaw_rad=0.0)


ADAPTER = Adapter(
    "custom-humans",
    "CustomHumans",
    "mesh/SUBJECT_XXXXX_TAKE_FRAME/mesh-fNNNNN.obj .mtl .png",
    find,
    read,
    "CustomHumans: non-commercial research only",
)
