"""Matrix profiles (ICC version 2) of RGB spaces, built from primaries, white point and gamma."""

import struct

import numpy as np

#: x, y of red, green, blue and white.
D65, D50 = (0.3127, 0.3290), (0.3457, 0.3585)
PRIMARIES = {
    "srgb": ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), D65),
    "display-p3": ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), D65),
    "adobe-rgb": ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06), D65),
    "prophoto": ((0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001), D50),
}
GAMMAS = {"display-p3": 2.2, "adobe-rgb": 2.19921875, "prophoto": 1.8}
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def _xyz(xy) -> np.ndarray:
    x, y = xy
    return np.array([x / y, 1, (1 - x - y) / y])


def to_xyz_d50(space: str) -> np.ndarray:
    """(3, 3): linear RGB to XYZ as seen under D50."""
    *primaries, white = PRIMARIES[space]
    columns = np.stack([_xyz(p) for p in primaries], axis=1)
    matrix = columns * np.linalg.solve(columns, _xyz(white))
    gains = (_BRADFORD @ _xyz(D50)) / (_BRADFORD @ _xyz(white))
    return np.linalg.inv(_BRADFORD) @ np.diag(gains) @ _BRADFORD @ matrix


def encode(srgb: np.ndarray, space: str) -> np.ndarray:
    """8-bit sRGB pixels as 8-bit pixels of another space; colors outside of it are clipped."""
    values = srgb / 255.0
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    other = linear @ (np.linalg.inv(to_xyz_d50(space)) @ to_xyz_d50("srgb")).T
    return (np.clip(other, 0, 1) ** (1 / GAMMAS[space]) * 255).round().astype(np.uint8)


def profile(space: str) -> bytes:
    """The space as an ICC profile."""
    matrix = to_xyz_d50(space)
    xyz = lambda v: b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(c * 65536) for c in v))  # noqa: E731
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(GAMMAS[space] * 256)) + b"\0\0"
    tags = {b"wtpt": xyz(_xyz(D50))}
    tags |= {tag: xyz(matrix[:, i]) for i, tag in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))}
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    return _profile(b"RGB ", b"XYZ ", tags, space)


def _profile(space: bytes, connection: bytes, tags: dict[bytes, bytes], title: str) -> bytes:
    name = title.encode() + b"\0"
    description = b"desc\0\0\0\0" + struct.pack(">I", len(name)) + name + b"\0" * 78
    tags = {b"desc": description, b"cprt": b"text\0\0\0\0none\0", **tags}
    table, data, start = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for tag, content in tags.items():
        table += tag + struct.pack(">II", start + len(data), len(content))
        data += content + b"\0" * (-len(content) % 4)
    kind = b"prtr" if space == b"CMYK" else b"mntr"
    header = struct.pack(">I4sI4s4s4s12s4s", start + len(data), b"", 0x02100000, kind, space, connection, b"", b"acsp")
    header += b"\0" * 28 + struct.pack(">3i", *(round(c * 65536) for c in _xyz(D50)))
    return header.ljust(128, b"\0") + table + data


def ink_profile() -> bytes:
    """A CMYK profile whose inks are tinted: a table (lut8) of Lab at the 16 corners, 2 per ink."""
    from skimage.color import rgb2lab

    corners = np.stack(np.meshgrid(*[[0, 1]] * 4, indexing="ij"), axis=-1).reshape(-1, 4)
    inks = np.array([[0.4, 0.6, 0.8], [0.8, 0.1, 0.5], [1.0, 0.9, 0.2], [0.1, 0.1, 0.1]])
    rgb = np.prod(np.where(corners[..., None] == 1, inks, 1.0), axis=1)
    lab = rgb2lab(rgb)
    table = np.column_stack([lab[:, 0] * 2.55, lab[:, 1:] + 128]).clip(0, 255).round().astype(np.uint8)
    ramp = bytes(range(256))
    unit = struct.pack(">9i", *(65536 if i % 4 == 0 else 0 for i in range(9)))
    lut = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + unit + ramp * 4 + table.tobytes() + ramp * 3
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(c * 65536) for c in _xyz(D50)))
    return _profile(b"CMYK", b"Lab ", {b"wtpt": white, b"A2B0": lut}, "inks")
