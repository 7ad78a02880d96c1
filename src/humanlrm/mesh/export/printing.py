"""Files for 3D printers: one closed surface in millimetres, z up, without colour."""

import io
import zipfile
from xml.sax.saxutils import escape

import numpy as np
from jaxtyping import Float, Int

from humanlrm.mesh.export.model import PersonModel
from humanlrm.mesh.export.place import weld

_MM_PER_M = 1000.0
#: The base is a disc: corners, height and margin around the feet in shares of the person's height, and how deep the
#: person stands in it, in shares of its height.
_BASE_CORNERS, _BASE_HEIGHT, _BASE_MARGIN, _BASE_SINK = 96, 0.02, 0.03, 0.5
#: What lies below this share of the height counts as feet.
_FEET = 0.06
_TYPES = """<?xml version="1.0" encoding="UTF-8"?>
<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">
<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>
<Default Extension="model" ContentType="application/vnd.ms-package.3dmanufacturing-3dmodel+xml"/>
</Types>
"""
_RELATIONS = """<?xml version="1.0" encoding="UTF-8"?>
<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">
<Relationship Target="/3D/3dmodel.model" Id="rel0"
 Type="http://schemas.microsoft.com/3dmanufacturing/2013/01/3dmodel"/>
</Relationships>
"""
#: The format's own time stamp for files without one: equal people give equal bytes.
_EPOCH = (1980, 1, 1, 0, 0, 0)


def encode_stl(model: PersonModel) -> bytes:
    """Binary STL; the format has no unit, programs read millimetres."""
    vertices, faces = printable(model)
    corners = vertices.astype("<f4")[faces]
    records = np.zeros(len(faces), [("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    records["normal"] = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-20)
    records["corners"] = corners
    return _stl_header(model) + np.uint32(len(faces)).astype("<u4").tobytes() + records.tobytes()


def _stl_header(model: PersonModel) -> bytes:
    """The 80 bytes that the format leaves free: who made it, unit, beginning of the weights' hash."""
    generator = str(model.provenance.get("generator", "humanlrm"))
    weights = str(model.provenance.get("weights_sha256", ""))[:16]
    words = [generator, "millimetres", *([f"weights {weights}"] if weights else [])]
    return ", ".join(words).encode("ascii", "replace")[:80].ljust(80)


def encode_3mf(model: PersonModel) -> bytes:
    """3MF: a zip archive with one object, whose unit is written in it."""
    vertices, faces = printable(model)
    points = "".join(f'<vertex x="{x:.4f}" y="{y:.4f}" z="{z:.4f}"/>' for x, y, z in vertices.tolist())
    triangles = "".join(f'<triangle v1="{a}" v2="{b}" v3="{c}"/>' for a, b, c in faces.tolist())
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<model unit="millimeter" xml:lang="en-US" '
        'xmlns="http://schemas.microsoft.com/3dmanufacturing/core/2015/02">'
        f"{_metadata(model)}"
        f'<resources><object id="1" name="person" type="model"><mesh><vertices>{points}</vertices>'
        f'<triangles>{triangles}</triangles></mesh></object></resources><build><item objectid="1"/></build></model>'
    )
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in (("[Content_Types].xml", _TYPES), ("_rels/.rels", _RELATIONS), ("3D/3dmodel.model", text)):
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), part, zipfile.ZIP_DEFLATED)
    return data.getvalue()


def _metadata(model: PersonModel) -> str:
    """The format's own fields; all of the provenance is its description."""
    facts = model.provenance
    fields = {"Application": facts.get("generator", "humanlrm")}
    if facts:
        fields |= {"Copyright": facts.get("copyright", ""), "Description": model.provenance_text}
    return "".join(f'<metadata name="{name}">{escape(str(text))}</metadata>' for name, text in fields.items())


def printable(model: PersonModel) -> tuple[Float[np.ndarray, "V 3"], Int[np.ndarray, "F 3"]]:
    """Closed surface in millimetres, z up, standing on z = 0, with the base if there is one."""
    first, faces = weld(model.mesh)
    vertices = model.mesh.vertices[first].astype(np.float64)
    vertices = vertices[:, [0, 2, 1]] * [1, -1, 1] * _MM_PER_M
    height = float(np.ptp(vertices[:, 2]))
    if model.print_height_mm is not None:
        vertices *= model.print_height_mm / height
        height = model.print_height_mm
    if not model.base:
        return vertices, faces
    disc, disc_faces = _disc(vertices[vertices[:, 2] < vertices[:, 2].min() + _FEET * height], height)
    vertices[:, 2] += _BASE_HEIGHT * height * (1 - _BASE_SINK) - vertices[:, 2].min()
    return np.concatenate([vertices, disc]), np.concatenate([faces, disc_faces + len(vertices)])


def _disc(feet: Float[np.ndarray, "P 3"], height: float) -> tuple[Float[np.ndarray, "W 3"], Int[np.ndarray, "G 3"]]:
    """A closed disc under the feet, from z = 0 up."""
    middle = (feet[:, :2].min(0) + feet[:, :2].max(0)) / 2
    radius = float(np.linalg.norm(feet[:, :2] - middle, axis=1).max()) + _BASE_MARGIN * height
    angle = 2 * np.pi * np.arange(_BASE_CORNERS) / _BASE_CORNERS
    ring = middle + radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    low, high = np.pad(ring, ((0, 0), (0, 1))), np.pad(ring, ((0, 0), (0, 1)), constant_values=_BASE_HEIGHT * height)
    centers = np.array([[*middle, 0], [*middle, _BASE_HEIGHT * height]])
    i = np.arange(_BASE_CORNERS)
    j, n = (i + 1) % _BASE_CORNERS, _BASE_CORNERS
    bottom, top = np.full(n, 2 * n), np.full(n, 2 * n + 1)
    quads = [(i, j, j + n), (i, j + n, i + n), (j, i, bottom), (i + n, j + n, top)]
    return np.concatenate([low, high, centers]), np.concatenate([np.stack(corners, axis=1) for corners in quads])
