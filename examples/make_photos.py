"""Pictures of people who do not exist, in a plain room: ``examples/avatar.jpg`` and the examples of the page.

    python examples/make_photos.py
    HUMANLRM_ASSETS=path python examples/make_photos.py --avatar

The page's examples are people of the procedural generator (CC0, extra ``train``), and the avatar cut at the thighs.
The avatar is of the VALID library (MIT, see LICENSE-VALID); to render it again needs the asset pack.
"""

import argparse
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from humanlrm.camera import Cameras, look_at
from humanlrm.data.render.light import Light
from humanlrm.data.render.renderer import SceneRenderer
from humanlrm.data.scan import Scan
from humanlrm.people.avatars.person import AvatarLibrary, make_avatar
from humanlrm.people.procedural.person import make_person

SIZE_PX, SCALE, AVATAR, AVATAR_SEED = 640, 2, "Hispanic_F_3_Casual", 5
HERE = Path(__file__).parent
PAGE = HERE.parent / "src" / "humanlrm" / "serve" / "examples"
#: Seeds of the generator, and each person's place to the right, metres.
PEOPLE = {"arms-crossed": [(2022, 0.0)], "lunge": [(2034, 0.0)], "sitting": [(2004, 0.0)]}
PEOPLE |= {"two-people": [(2009, -0.75), (2000, 0.25)]}


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


def photograph(scans: Sequence[Scan]) -> Image.Image:
    """The people in the room; nobody may stand behind another one."""
    lamp = np.array([[0.5, 0.7, 0.6]]) / np.linalg.norm([0.5, 0.7, 0.6])
    light = Light(np.array([0.45, 0.45, 0.47]), lamp, np.array([[0.6, 0.58, 0.55]]))
    size = SIZE_PX * SCALE
    picture = room(size)
    for scan in scans:
        person = SceneRenderer(scan).light_person(camera(size), light, np.random.default_rng(0))
        picture[person.whole] = person.rgb
    return Image.fromarray((picture * 255).astype(np.uint8)).resize((SIZE_PX, SIZE_PX), Image.Resampling.BOX)


def placed(scan: Scan, right_m: float) -> Scan:
    """The person at a place of the room."""
    return replace(scan, vertices=scan.vertices + np.array([right_m, 0, 0], scan.vertices.dtype))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--avatar", action="store_true", help="also render the avatar again")
    if parser.parse_args().avatar:
        library = AvatarLibrary(Path(os.environ["HUMANLRM_ASSETS"]), "val")
        avatar = photograph([make_avatar(library, AVATAR_SEED, avatar_id=AVATAR)])
        for folder in (HERE, PAGE):
            avatar.save(folder / "avatar.jpg", quality=88)
    for name, people in PEOPLE.items():
        picture = photograph([placed(make_person(seed), right_m) for seed, right_m in people])
        picture.save(PAGE / f"{name}.jpg", quality=88)
    with Image.open(HERE / "avatar.jpg") as avatar:
        avatar.crop((120, 0, 520, 400)).save(PAGE / "half-body.jpg", quality=88)


if __name__ == "__main__":
    main()
