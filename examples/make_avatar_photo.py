"""Renders ``examples/avatar.jpg``: a validation avatar of the VALID library (MIT, see LICENSE-VALID) in a plain room.

Needs the asset pack: ``HUMANLRM_ASSETS=path python examples/make_avatar_photo.py``.
"""

import os
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from humanlrm.camera import Cameras, look_at
from humanlrm.data.render.light import Light
from humanlrm.data.render.renderer import SceneRenderer
from humanlrm.people.avatars.person import AvatarLibrary, make_avatar

SIZE_PX, SCALE, SEED, AVATAR = 640, 2, 5, "Hispanic_F_3_Casual"


def camera(size_px: int) -> Cameras:
    """At eye level, 3.6 m away, a little from the side."""
    eye = torch.tensor([1.2, 1.45, 3.4], dtype=torch.float64)
    focal_px = 1.55 * size_px
    K = torch.tensor([[focal_px, 0, size_px / 2], [0, focal_px, size_px / 2], [0, 0, 1]], dtype=torch.float64)
    return Cameras(K, look_at(eye, torch.tensor([0.0, 0.88, 0.0], dtype=torch.float64)), (size_px, size_px))


def room(size_px: int) -> np.ndarray:
    """A wall that darkens to the left, and a floor."""
    y, x = np.mgrid[0:size_px, 0:size_px] / size_px
    wall = (0.62 + 0.2 * x)[..., None] * np.array([0.93, 0.91, 0.86])
    floor = (0.42 + 0.12 * x)[..., None] * np.array([0.8, 0.66, 0.5])
    return np.where(y[..., None] < 0.86, wall, floor)


def main() -> None:
    scan = make_avatar(AvatarLibrary(Path(os.environ["HUMANLRM_ASSETS"]), "val"), SEED, avatar_id=AVATAR)
    lamp = np.array([[0.5, 0.7, 0.6]]) / np.linalg.norm([0.5, 0.7, 0.6])
    light = Light(np.array([0.45, 0.45, 0.47]), lamp, np.array([[0.6, 0.58, 0.55]]))
    size = SIZE_PX * SCALE
    rgb, alpha, _ = SceneRenderer(scan).photograph(camera(size), light, np.random.default_rng(0))
    picture = np.where(alpha[..., None] > 0, rgb / 255, room(size))
    image = Image.fromarray((picture * 255).astype(np.uint8)).resize((SIZE_PX, SIZE_PX), Image.Resampling.BOX)
    image.save(Path(__file__).parent / "avatar.jpg", quality=88)


if __name__ == "__main__":
    main()
