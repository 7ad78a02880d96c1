"""Calibrated photographs from anywhere: a COLMAP text model, or nerfstudio's ``transforms.json``; with masks."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from humanlrm.camera import from_opengl
from humanlrm.data.capture import Capture
from humanlrm.data.importers.io.adapter import Adapter, Item, Options
from humanlrm.data.importers.io.pictures import COEFFICIENTS, Shot, inside, level, open_picture, rigid, shoot_all
from humanlrm.data.importers.io.texts import number, numbers, read_json, read_lines
from humanlrm.data.importers.io.upright import METRES, TO_Y_UP

_LICENCE = "not stated"
#: Places of f (or fx, fy), cx, cy and distortion coefficients in the parameters of COLMAP's camera models.
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
        shots, world, up = nerfstudio_shots(item.companion), TO_Y_UP[options.up or "+z"], options.up or "+z"
    else:
        shots = _colmap(item.companion, item.path)
        world = level([shot.w2c for shot in shots]) if options.up is None else TO_Y_UP[options.up]
        up = options.up or "mean of the cameras'"
    if options.unit not in (None, *METRES):
        raise ValueError(f"{item.path}: a capture's unit can be {', '.join(METRES)} or not stated, got {options.unit}")
    return Capture(
        id=item.id,
        source="multiview",
        licence=options.licence or _LICENCE,
        views=shoot_all(shots, world, options.image_px, METRES[options.unit] if options.unit else 1.0),
        tags={"unit": "unknown" if options.unit is None else options.unit, "up": up},
    )


def _mask_of(folder: Path, image: Path) -> Path | None:
    """``masks/`` beside ``images/``: the picture's name with .png added (COLMAP) or instead of its suffix."""
    relative = image.relative_to(folder)
    inner = Path(*relative.parts[1:]) if len(relative.parts) > 1 else relative
    for masks in ("masks", "mask"):
        for name in (f"{inner}.png", str(inner.with_suffix(".png")), str(inner)):
            if (folder / masks / name).is_file():
                return folder / masks / name
    return None


def _colmap(model: Path, folder: Path) -> list[Shot]:
    """COLMAP counts pixels from the corner of the first one, as we do."""
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
        image = inside(folder / "images", words[9])
        K, distortion, size = cameras[words[8]]
        w2c = rigid(rotation, values[4:], f"{model / 'images.txt'}, {words[9]}")
        shots.append(Shot(image, _mask_of(folder, image), K, w2c, distortion, size, 0.5))
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
    K, distortion = _intrinsics(facts)
    return words[0], (K, distortion, (int(values[1]), int(values[0])))


def _image_lines(path: Path) -> list[str]:
    """Every other line: an image's points follow it, and may be an empty line."""
    lines, expected = [], True
    for line in read_lines(path, keep_empty=True):
        if expected and not line:
            continue
        if expected:
            lines.append(line)
        expected = not expected
    return lines


def _intrinsics(facts: dict[str, float]) -> tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, "5"]]:
    K = np.array([[facts["fx"], 0, facts["cx"]], [0, facts["fy"], facts["cy"]], [0, 0, 1.0]])
    return K, np.array([facts.get(name, 0.0) for name in COEFFICIENTS])


def nerfstudio_shots(path: Path) -> list[Shot]:
    """The photographs that a ``transforms.json`` names: camera-to-world matrices with OpenGL axes; a frame's own
    numbers go before the file's.

    Raises:
        ValueError: it is damaged, or leaves something open.
    """
    whole = read_json(path)
    frames = whole.get("frames")
    if not isinstance(frames, list) or not frames:
        raise ValueError(f"{path} has no frames")
    shots = []
    for k, frame in enumerate(frames):
        name = frame.get("file_path") if isinstance(frame, dict) else None
        if not isinstance(name, str):
            raise ValueError(f"{path}: frame {k} has no file_path")
        image = inside(path.parent, name)
        # Blender's synthetic scenes leave the suffix away.
        image = image if image.is_file() or image.suffix else image.with_suffix(".png")
        K, distortion, size = _nerfstudio_camera({**whole, **frame}, image, f"{path}, frame {k}")
        stated = frame.get("mask_path")
        mask = inside(path.parent, stated) if isinstance(stated, str) else _mask_of(path.parent, image)
        w2c = _from_c2w(frame.get("transform_matrix"), f"{path}, frame {k}")
        shots.append(Shot(image, mask, K, w2c, distortion, size, 0.5))
    return shots


def _nerfstudio_camera(
    facts: dict, image: Path, where: str
) -> tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, "5"], tuple[int, int]]:
    model = facts.get("camera_model", "OPENCV")
    if model not in ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE"):
        raise ValueError(f"{where}: camera model {model!r} is not supported; undistort the pictures to PINHOLE first")
    width, height = ("w" in facts and "h" in facts and (facts["w"], facts["h"])) or open_picture(image).size
    width, height = int(number(width, where)), int(number(height, where))
    if "fl_x" in facts:
        fx = number(facts["fl_x"], where)
        fy = number(facts.get("fl_y", fx), where)
    elif "camera_angle_x" in facts:
        fx = fy = 0.5 * width / np.tan(0.5 * number(facts["camera_angle_x"], where))
    else:
        raise ValueError(f"{where}: neither fl_x nor camera_angle_x is given")
    center = {"cx": number(facts.get("cx", width / 2), where), "cy": number(facts.get("cy", height / 2), where)}
    lens = {name: number(facts.get(name, 0.0), where) for name in COEFFICIENTS}
    return *_intrinsics({"fx": fx, "fy": fy} | center | lens), (height, width)


def _from_c2w(matrix: object, where: str) -> Float[np.ndarray, "4 4"]:
    try:
        c2w = np.asarray(matrix, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: transform_matrix is not a matrix of numbers") from error
    if c2w.shape not in ((4, 4), (3, 4)):
        raise ValueError(f"{where}: transform_matrix has shape {c2w.shape}, expected 4 x 4")
    c2w = rigid(c2w[:3, :3], c2w[:3, 3], where)
    return from_opengl(torch.from_numpy(rigid(c2w[:3, :3].T, -c2w[:3, :3].T @ c2w[:3, 3], where))).numpy()


ADAPTER = Adapter(
    "calibrated photographs",
    "**/{transforms.json | sparse/0/{cameras,images}.txt}, images/, masks/",
    _LICENCE,
    find,
    read,
)
