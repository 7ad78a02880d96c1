"""ZJU-MoCap: 23 cameras around a person; positions in millimetres, lenses with distortion.

Layout as read from zju3dv/neuralbody (``light_stage/multi_view_dataset.py``) and SHERF (``NeuBody_dataset.py``).
"""

from functools import lru_cache
from pathlib import Path

import numpy as np

from humanlrm.camera import TO_Y_UP
from humanlrm.data.capture import Capture
from humanlrm.data.importers.adapter import Adapter, Item
from humanlrm.data.importers.io.pickles import get_array, read_object_npy
from humanlrm.data.job import Options
from humanlrm.files import resolve_inside
from humanlrm.photo.calibrated import Shot, add_half_pixel, read_shots, rigid_matrix

_MASKS = ("mask_cihp", "mask")


def find(source: Path) -> list[Item]:
    """Every frame of every ``**/CoreView_NNN/annots.npy``."""
    items = []
    for path in sorted(source.rglob("annots.npy")):
        name = path.parent.name
        try:
            count = len(_frames(path))
        except ValueError:
            count = 1  # reading the item says what is wrong
        items += [Item(f"{name}-{k:06d}", path, name, k) for k in range(count)]
    return items


def read(item: Item, options: Options) -> Capture:
    """One frame; millimetres become metres, pictures and masks are undistorted, +Z is up (inferred)."""
    path = item.path
    pictures, cameras = _frames(path)[item.frame], _cameras(path)
    if not isinstance(pictures, dict) or not isinstance(pictures.get("ims"), list | tuple | np.ndarray):
        raise ValueError(f"{path}: frame {item.frame} has no list of pictures (ims)")
    names = [str(name) for name in pictures["ims"]]
    if any(len(values) < len(names) for values in cameras.values()):
        raise ValueError(f"{path}: frame {item.frame} has {len(names)} pictures and fewer cameras")
    shots = []
    for k, name in enumerate(names):
        camera = {key: values[k] for key, values in cameras.items()}
        K, R, D = (get_array(camera, key, shape, path) for key, shape in (("K", (3, 3)), ("R", (3, 3)), ("D", (5,))))
        w2c = rigid_matrix(R, get_array(camera, "T", (3,), path) / 1000, f"{path}, camera {k}")
        image = resolve_inside(path.parent, name)
        masks = [resolve_inside(path.parent, f"{folder}/{Path(name).with_suffix('.png')}") for folder in _MASKS]
        mask = next((path for path in masks if path.is_file()), masks[0])
        shots.append(Shot(image, mask, add_half_pixel(K), w2c, D))
    return Capture(
        views=read_shots(shots, TO_Y_UP[options.up or "+z"], options.image_px),
        tags={"unit": "m", "up": options.up or "+z"},
    )


@lru_cache(maxsize=2)
def _annotations(path: Path) -> dict:
    annotations = read_object_npy(path)
    if not isinstance(annotations, dict):
        raise ValueError(f"{path}: expected a dict of cams and ims, got {type(annotations).__name__}")
    return annotations


def _frames(path: Path) -> list:
    frames = _annotations(path).get("ims")
    if not isinstance(frames, list | tuple | np.ndarray) or len(frames) == 0:
        raise ValueError(f"{path}: no frames (ims)")
    return list(frames)


def _cameras(path: Path) -> dict[str, list]:
    cameras = _annotations(path).get("cams")
    if not isinstance(cameras, dict) or any(name not in cameras for name in "KDRT"):
        raise ValueError(f"{path}: cams needs K, D, R and T")
    return {name: list(cameras[name]) for name in "KDRT"}


ADAPTER = Adapter(
    "zju-mocap",
    "ZJU-MoCap",
    "CoreView_NNN/{annots.npy, IMAGES..., mask_cihp/IMAGES...png}",
    find,
    read,
    "ZJU-MoCap: non-commercial research only",
)
