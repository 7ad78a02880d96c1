"""Synthetic people as a multi-view capture would have them: photographs and masks from all around, no surface.

    python -m benchmarks.captures --out captures [--count 100] [--views 8] [--assets DIR]
    humanlrm prepare multiview --source captures --out data/captures --unit m --up=+y
    humanlrm ablate --data data/people --captures data/captures

What a capture is worth beside scans can be measured without anybody's photographs (``humanlrm ablate``). A folder per
person: ``transforms.json`` as nerfstudio writes it, ``images``, ``masks``; metres, +Y up, a ring of level cameras.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from PIL import Image
from rich.console import Console
from rich.progress import track

from humanlrm.camera import Cameras, look_at, to_opengl
from humanlrm.data.render.environment import Environment, load_environments, random_surroundings
from humanlrm.data.render.renderer import SceneRenderer
from humanlrm.people.generate import PersonSampler

_SIDE_PX, _FOV_DEG, _MARGIN = 480, 40.0, 1.15


@dataclass(frozen=True)
class Options:
    """
    Attributes:
        out: folder to write.
        count: people.
        views: photographs of each.
        seed: of the first person.
        assets: the asset pack; without it all are procedural.
    """

    out: Path
    count: int = 100
    views: int = 8
    seed: int = 800_000
    assets: Path | None = None


def ring(studio: SceneRenderer, views: int) -> list[Cameras]:
    """Cameras around the middle of a person, who fills the pictures up to a margin."""
    far = _MARGIN * np.linalg.norm(studio.scan.vertices - studio.center, axis=1).max()
    distance = far / np.sin(np.deg2rad(_FOV_DEG / 2))
    focal_px = _SIDE_PX / 2 / np.tan(np.deg2rad(_FOV_DEG / 2))
    K = torch.tensor([[focal_px, 0, _SIDE_PX / 2], [0, focal_px, _SIDE_PX / 2], [0, 0, 1]], dtype=torch.float64)
    target = torch.from_numpy(studio.center).double()
    angles = torch.arange(views, dtype=torch.float64) * (2 * torch.pi / views)
    around = torch.stack([angles.sin(), torch.zeros_like(angles), angles.cos()], dim=-1)
    return [Cameras(K, look_at(target + distance * way, target), (_SIDE_PX, _SIDE_PX)) for way in around]


def write(
    studio: SceneRenderer, cameras: list[Cameras], environments: tuple[Environment, ...], seed: int, out: Path
) -> None:
    """The photographs of one person, all in the same light."""
    rng = np.random.default_rng([seed, 9])
    surroundings = random_surroundings(rng, environments)
    frames = []
    for folder in ("images", "masks"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    for k, camera in enumerate(cameras):
        photo = studio.photograph(camera, surroundings, rng)
        Image.fromarray(photo.rgb).save(out / "images" / f"{k}.jpg", quality=92)
        Image.fromarray(photo.whole.astype(np.uint8) * 255).save(out / "masks" / f"{k}.png")
        c2w = torch.linalg.inv(to_opengl(camera.w2c))
        frames.append({"file_path": f"images/{k}.jpg", "mask_path": f"masks/{k}.png", "transform_matrix": c2w.tolist()})
    K = cameras[0].K
    facts = {"camera_model": "PINHOLE", "fl_x": float(K[0, 0]), "fl_y": float(K[1, 1])}
    facts |= {"cx": float(K[0, 2]), "cy": float(K[1, 2]), "w": _SIDE_PX, "h": _SIDE_PX}
    (out / "transforms.json").write_text(json.dumps(facts | {"frames": frames}), encoding="utf-8")


def main(options: Options) -> None:
    cast = PersonSampler(options.assets)
    environments = load_environments(options.assets)
    seeds = range(options.seed, options.seed + options.count)
    for seed in track(seeds, "people", console=Console(stderr=True)):
        studio = SceneRenderer(cast(seed))
        write(studio, ring(studio, options.views), environments, seed, options.out / f"{seed:08d}")
    print(f"{options.out}: {options.count} people, {options.views} photographs of each")


if __name__ == "__main__":
    main(tyro.cli(Options))
