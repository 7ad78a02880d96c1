"""Calibrated photographs that a nerfstudio ``transforms.json`` lists."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from humanlrm.camera import from_opengl
from humanlrm.files import number, read_json, resolve_inside
from humanlrm.photo.calibrated import COEFFICIENTS, Shot, open_picture, rigid_matrix


def read_transforms(path: Path) -> list[Shot]:
    """Read the photographs of a ``transforms.json``, whose camera-to-world matrices have OpenGL axes.

    Numbers of a frame override those of the file.

    Raises:
        ValueError: it is damaged or incomplete.
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
        image = resolve_inside(path.parent, name)
        # Blender's synthetic scenes omit the suffix.
        image = image if image.is_file() or image.suffix else image.with_suffix(".png")
        K, distortion, size = _nerfstudio_camera({**whole, **frame}, image, f"{path}, frame {k}")
        stated = frame.get("mask_path")
        mask = resolve_inside(path.parent, stated) if isinstance(stated, str) else find_mask_file(path.parent, image)
        w2c = _from_c2w(frame.get("transform_matrix"), f"{path}, frame {k}")
        shots.append(Shot(image, mask, K, w2c, distortion, size, 0.5))
    return shots


def make_intrinsics(facts: dict[str, float]) -> tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, "5"]]:
    """K and distortion from fx, fy, cx, cy and those of ``COEFFICIENTS`` that are not 0."""
    K = np.array([[facts["fx"], 0, facts["cx"]], [0, facts["fy"], facts["cy"]], [0, 0, 1.0]])
    return K, np.array([facts.get(name, 0.0) for name in COEFFICIENTS])


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
    return *make_intrinsics({"fx": fx, "fy": fy} | center | lens), (height, width)


def _from_c2w(matrix: object, where: str) -> Float[np.ndarray, "4 4"]:
    try:
        c2w = np.asarray(matrix, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: transform_matrix is not a matrix of numbers") from error
    if c2w.shape not in ((4, 4), (3, 4)):
        raise ValueError(f"{where}: transform_matrix has shape {c2w.shape}, expected 4 x 4")
    c2w = rigid_matrix(c2w[:3, :3], c2w[:3, 3], where)
    return from_opengl(torch.from_numpy(rigid_matrix(c2w[:3, :3].T, -c2w[:3, :3].T @ c2w[:3, 3], where))).numpy()


def find_mask_file(folder: Path, image: Path) -> Path | None:
    """A file in ``masks/`` beside ``images/``: the picture's name with .png added (COLMAP) or instead of its suffix."""
    relative = image.relative_to(folder)
    inner = Path(*relative.parts[1:]) if len(relative.parts) > 1 else relative
    for masks in ("masks", "mask"):
        for name in (f"{inner}.png", str(inner.with_suffix(".png")), str(inner)):
            if (folder / masks / name).is_file():
                return folder / masks / name
    return None
