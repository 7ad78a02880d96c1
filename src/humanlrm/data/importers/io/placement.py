"""A mesh of any axes, unit and orientation becomes a :class:`Scan`: metres, +Y up, outside out."""

import numpy as np

from humanlrm.camera import TO_Y_UP, rotation_about_y
from humanlrm.data.importers.io.mesh_files import Geometry
from humanlrm.data.job import Placement
from humanlrm.data.render.solid import SolidScan
from humanlrm.data.scan import Scan
from humanlrm.mesh.surface import TriangleSurface, face_normals

#: Possible heights of any person in any pose, metres.
_POSSIBLE_M = (0.2, 3.0)
#: Faces whose orientation is tested.
_PROBES = 2000


def make_scan(geometry: Geometry, placement: Placement, yaw_rad: float | None = None) -> Scan:
    """Make a scan in metres, +Y up, feet at y = 0, centred in x and z; an inside-out mesh is turned.

    Its id, source and licence are empty: ``Adapter.load`` fills them in.

    Args:
        yaw_rad: the person's direction after the up axis is set (0 = +Z); it is undone. ``None``: unknown, the scan
            keeps its yaw and is tagged so.

    Raises:
        ValueError: flat, of an impossible height, or a heap of sheets without an inside.
    """
    vertices = geometry.vertices @ TO_Y_UP[placement.up].T
    vertices = vertices @ rotation_about_y(-(yaw_rad or 0.0)).T
    low, high = vertices.min(0), vertices.max(0)
    if (high - low).min() <= 1e-3 * (high - low).max():
        raise ValueError("the mesh is flat or a line; a person has three dimensions")
    scale, unit = placement.metres(float(high[1] - low[1]))
    height_m = scale * float(high[1] - low[1])
    if not _POSSIBLE_M[0] <= height_m <= _POSSIBLE_M[1]:
        raise ValueError(f"the scan is {height_m:.3g} m high in {unit}; state its --unit and --up axis")
    ground = np.array([(low[0] + high[0]) / 2, low[1], (low[2] + high[2]) / 2])
    facts: dict[str, str | float] = {"unit": unit, "yaw": "unknown" if yaw_rad is None else "facing +Z"}
    scan = Scan(
        id="",
        source="",
        licence="",
        vertices=((vertices - ground) * scale).astype(np.float32),
        faces=geometry.faces,
        uv=geometry.uv.astype(np.float32),
        uv_faces=geometry.uv_faces,
        texture=geometry.texture,
        tags=facts,
    )
    return turn_outward(scan)


def turn_outward(scan: Scan) -> Scan:
    """Turn the faces of a scan if they look inward.

    Behind an outward face the winding number is about 1, in front of it about 0; inside out these are 0 and -1. It is
    sampled 4 mm before and behind 2,000 faces.

    Raises:
        ValueError: the winding number is neither (an open sheet, or faces turned at random).
    """
    rng = np.random.default_rng(0)
    face = rng.choice(len(scan.faces), min(_PROBES, len(scan.faces)), replace=False)
    probes = TriangleSurface(scan.vertices.astype(np.float64), scan.faces[face])
    normal, middle = face_normals(probes), probes.vertices[probes.faces].mean(1)
    length = np.linalg.norm(normal, axis=1)
    step = 0.004 * normal / (length[:, None] + 1e-20)
    solid = SolidScan(scan)
    around = solid.winding_number(middle + step) + solid.winding_number(middle - step)
    share = float((around * length).sum() / length.sum())
    if abs(share) < 0.3:
        raise ValueError(
            f"the mesh has no inside (mean winding number {share / 2:.2f} at its surface, expected 0.5): "
            "it is open, doubled, or its faces are turned at random; repair it first"
        )
    if share > 0:
        return scan
    return Scan(**{**vars(scan), "faces": scan.faces[:, ::-1].copy(), "uv_faces": scan.uv_faces[:, ::-1].copy()})
