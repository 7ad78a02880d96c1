"""X-Humans: sequences of textured scans stored as pickled arrays, whose atlas is stored top down.

Layout as read from X-Avatar (``data_process/README.md``).
"""

from pathlib import Path

import numpy as np

from humanlrm.data.importers.adapter import Adapter, Item
from humanlrm.data.importers.io.atlas import TexturedPart
from humanlrm.data.importers.io.mesh_files import assemble
from humanlrm.data.importers.io.pickles import get_array, read_pickle
from humanlrm.data.importers.io.placement import make_scan
from humanlrm.data.job import Options
from humanlrm.data.scan import Scan


def find(source: Path) -> list[Item]:
    """``**/SUBJECT/{train,test}/SEQUENCE/meshes_pkl/mesh-fNNNNN.pkl``; the group is the subject."""
    items = []
    counts: dict[Path, int] = {}
    for path in sorted(source.rglob("mesh-f*.pkl")):
        sequence = path.parent.parent
        part, subject = sequence.parent.name, sequence.parent.parent.name
        if path.parent.name != "meshes_pkl" or part not in ("train", "test"):
            continue
        frame = counts[sequence] = counts.get(sequence, -1) + 1
        id = f"{subject}-{part}-{sequence.name}-{path.stem.removeprefix('mesh-')}"
        atlas = path.with_name(path.name.replace("mesh-", "atlas-"))
        items.append(Item(id, path, subject, frame, part, atlas))
    return items


def read(item: Item, options: Options) -> Scan:
    """Metres as stored; the yaw changes from frame to frame and is not known."""
    assert item.companion is not None
    arrays = read_pickle(item.path)
    faces = get_array(arrays, "faces", (None, 3), item.path).astype(np.int64)
    vertices = get_array(arrays, "vertices", (None, 3), item.path)
    uvs = get_array(arrays, "uvs", (None, 2), item.path)
    if len(faces) == 0 or len(uvs) != len(vertices):
        raise ValueError(f"{item.path}: {len(faces)} faces, {len(vertices)} vertices, {len(uvs)} uvs do not fit")
    atlas = np.asarray(read_pickle(item.companion))
    if atlas.ndim != 3 or atlas.shape[2] < 3 or atlas.dtype != np.uint8:
        raise ValueError(f"{item.companion}: expected an atlas of H x W x 3 bytes, got {atlas.shape} {atlas.dtype}")
    picture = np.ascontiguousarray(atlas[::-1, :, :3])
    geometry = assemble([TexturedPart(vertices, faces, uvs, faces, picture)], item.path)
    return make_scan(geometry, options.placement(unit="m"))


ADAPTER = Adapter(
    "x-humans",
    "X-Humans",
    "SUBJECT/{train,test}/SEQUENCE/meshes_pkl/{mesh,atlas}-fNNNNN.pkl",
    find,
    read,
    "X-Humans: non-commercial research only",
)
