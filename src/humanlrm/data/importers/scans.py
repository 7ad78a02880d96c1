"""A folder of scans from anywhere: OBJ, PLY, GLB, textured or vertex-colored; axes and unit by option."""

from pathlib import Path

from humanlrm.data.importers.adapter import Adapter, Item
from humanlrm.data.importers.io.mesh_files import MESH_SUFFIXES, read_mesh
from humanlrm.data.importers.io.placement import make_scan
from humanlrm.data.job import Options
from humanlrm.data.scan import Scan


def find(source: Path) -> list[Item]:
    """Every mesh file at any depth; its id is its path in the folder."""
    paths = [path for path in sorted(source.rglob("*")) if path.suffix.lower() in MESH_SUFFIXES and path.is_file()]
    ids = ["-".join(path.relative_to(source).with_suffix("").parts) for path in paths]
    return [Item(id, path, id) for id, path in zip(ids, paths, strict=True)]


def read(item: Item, options: Options) -> Scan:
    """+Y up and the unit by the height, unless stated."""
    return make_scan(read_mesh(item.path), options.placement())


ADAPTER = Adapter(
    "scans", "a folder of scans", "**/*.obj, .ply, .glb, .gltf with textures or vertex colors", find, read
)
