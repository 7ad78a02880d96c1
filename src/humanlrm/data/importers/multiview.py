"""Calibrated photographs from anywhere: a COLMAP text model, or nerfstudio's ``transforms.json``; with masks."""

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from humanlrm.camera import TO_Y_UP
from humanlrm.data.capture import Capture
from humanlrm.data.importers.adapter import Adapter, Item
from humanlrm.data.job import Options
from humanlrm.files import numbers, read_lines, resolve_inside
from humanlrm.photo.calibrated import Shot, level_rotation, read_shots, rigid_matrix
from humanlrm.photo.cameras_file import find_mask_file, make_intrinsics, read_transforms
from humanlrm.settings import METRES

#: Parameters of COLMAP's camera models, in its order.
_COLMAP_MODELS: dict[str, tuple[str, ...]] = {
    "SIMPLE_PINHOLE": ("f", "cx", "cy"),
    "PINHOLE": ("fx", "fy", "cx", "cy"),
    "SIMPLE_RADIAL": ("f", "cx", "cy", "k1"),
    "RADIAL": ("f", "cx", "cy", "k1", "k2"),
    "OPENCV": ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2"),
}


def find(source: Path) -> list[Item]:
    """Every folder with a ``transforms.json``, or with a COLMAP model in it, in ``sparse`` or in ``sparse/0``."""
    items: dict[str, Item] = {}
    for path in sorted(source.rglob("transforms.json")):
        _add(items, source, path.parent, path)
    for path in sorted(p for kind in ("txt", "bin") for p in source.rglob(f"images.{kind}")):
        model = path.parent
        folder = model.parent.parent if model.name == "0" and model.parent.name == "sparse" else model
        folder = folder.parent if folder.name == "sparse" else folder
        _add(items, source, folder, model)
    return list(items.values())


def _add(items: dict[str, Item], source: Path, folder: Path, companion: Path) -> None:
    id = "-".join(folder.relative_to(source).parts) or source.resolve().name
    items.setdefault(id, Item(id, folder, id, companion=companion))


def read(item: Item, options: Options) -> Capture:
    """Unit unknown unless stated; up as stated, else +Z for nerfstudio and the cameras' mean up for COLMAP."""
    assert item.companion is not None
    if item.companion.name == "transforms.json":
        shots, world, up = read_transforms(item.companion), TO_Y_UP[options.up or "+z"], options.up or "+z"
    else:
        shots = _colmap(item.companion, item.path)
        world = level_rotation([shot.w2c for shot in shots]) if options.up is None else TO_Y_UP[options.up]
        up = options.up or "mean of the cameras'"
    if options.unit not in (None, *METRES):
        raise ValueError(f"{item.path}: a capture's unit can be {', '.join(METRES)} or not stated, got {options.unit}")
    return Capture(
        views=read_shots(shots, world, options.image_px, METRES[options.unit] if options.unit else 1.0),
        tags={"unit": "unknown" if options.unit is None else options.unit, "up": up},
    )


def _colmap(model: Path, folder: Path) -> list[Shot]:
    """Photographs of a COLMAP text model, which counts pixels from the corner of the first one, as we do."""
    if not (model / "images.txt").is_file():
        raise ValueError(f"{model} is a binary COLMAP model; run `colmap model_converter --output_type TXT` on it")
    cameras = dict(_colmap_camera(line, model / "cameras.txt") for line in read_lines(model / "cameras.txt"))
    shots = []
    for line in _image_lines(model / "images.txt"):
        words = line.split(maxsplit=9)
        if len(words) < 10 or words[8] not in cameras:
            raise ValueError(f"{model / 'images.txt'}: {line[:60]!r} is not an image line of a known camera")
        values = numbers(words[1:8], model / "images.txt")
        rotation = Rotation.from_quat(values[:4], scalar_first=True).as_matrix()
        image = resolve_inside(folder / "images", words[9])
        K, distortion, size = cameras[words[8]]
        w2c = rigid_matrix(rotation, values[4:], f"{model / 'images.txt'}, {words[9]}")
        shots.append(Shot(image, find_mask_file(folder, image), K, w2c, distortion, size, 0.5))
    return shots


def _colmap_camera(line: str, path: Path) -> tuple[str, tuple[np.ndarray, np.ndarray, tuple[int, int]]]:
    words = line.split()
    if len(words) < 5 or words[1] not in _COLMAP_MODELS:
        raise ValueError(
            f"{path}: camera {' '.join(words[:2])!r} is not one of {', '.join(_COLMAP_MODELS)}; "
            "run `colmap image_undistorter` first"
        )
    names = _COLMAP_MODELS[words[1]]
    values = numbers(words[2:], path)
    if len(values) != 2 + len(names):
        raise ValueError(f"{path}: a {words[1]} camera has {len(names)} parameters, got {len(values) - 2}")
    facts = dict(zip(names, map(float, values[2:]), strict=True))
    facts |= {"fx": facts["f"], "fy": facts["f"]} if "f" in facts else {}
    K, distortion = make_intrinsics(facts)
    return words[0], (K, distortion, (int(values[1]), int(values[0])))


def _image_lines(path: Path) -> list[str]:
    """Every other line of ``images.txt``: an image's points follow it, and may be an empty line."""
    lines, expected = [], True
    for line in read_lines(path, keep_empty=True):
        if expected and not line:
            continue
        if expected:
            lines.append(line)
        expected = not expected
    return lines


ADAPTER = Adapter(
    "multiview",
    "calibrated photographs",
    "**/{transforms.json | sparse/0/{cameras,images}.txt}, images/, masks/",
    find,
    read,
)
