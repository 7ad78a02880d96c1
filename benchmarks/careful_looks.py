"""What careful looks are worth: landmark errors with one square and with five, on held-out people.

    python -m benchmarks.careful_looks [--count 60] [--assets DIR]

Prints the error of a view (box units; mean and median over the views) as detected and as the shipped weights correct
it, and how much longer the detector takes.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.table import Table

from humanlrm.data.render.camera_sampling import sample_camera
from humanlrm.data.render.environment import Surroundings
from humanlrm.data.render.light import random_light
from humanlrm.data.render.renderer import SceneRenderer
from humanlrm.data.render.shoot import Photographer
from humanlrm.data.settings import RenderSettings
from humanlrm.model.pretrained import SHIPPED, from_pretrained
from humanlrm.people.generate import VALIDATION_SEED, PersonSampler
from humanlrm.photo.blazepose import PoseDetector

#: About the field of view of the canonical camera.
_PLAIN_FOV_DEG = (26.0, 34.0)


@dataclass(frozen=True)
class Options:
    """
    Attributes:
        count: people, one photograph each from a random side.
        assets: asset pack; without it all people are procedural. Default: $HUMANLRM_ASSETS.
        weights: folder of other weights than the shipped ones.
    """

    count: int = 60
    assets: Path | None = None
    weights: Path = SHIPPED


def main(options: Options) -> None:
    torch.set_num_threads(1)
    model = from_pretrained(options.weights)
    told = options.assets or (Path(os.environ["HUMANLRM_ASSETS"]) if "HUMANLRM_ASSETS" in os.environ else None)
    cast = PersonSampler(told)
    detectors = {"one square": PoseDetector(threads=1), "five": PoseDetector(threads=1, careful=True)}
    errors: dict[str, list[tuple[float, float]]] = {name: [] for name in detectors}
    seconds = dict.fromkeys(detectors, 0.0)
    for seed in range(VALIDATION_SEED + 10_000, VALIDATION_SEED + 10_000 + options.count):
        studio = SceneRenderer(cast(seed))
        for name, detector in detectors.items():
            rng = np.random.default_rng([seed, 3])
            camera = sample_camera(studio.scan, rng.uniform(0, 2 * np.pi), False, rng, _PLAIN_FOV_DEG)
            surroundings = Surroundings(random_light(rng))
            view = Photographer(studio, detector, surroundings, RenderSettings(), rng).shoot(camera)
            start = time.perf_counter()
            detector.best(view.crop.photo_rgb)
            seconds[name] += time.perf_counter() - start
            true = studio.scan.moved(view.to_frame).landmarks
            with torch.no_grad():
                corrected = model.estimate_landmarks(view.crop.inputs).points[0].numpy()
            found = (view.crop.landmarks[:, :3].numpy(), corrected)
            errors[name].append(tuple(float(np.nanmean(np.linalg.norm(x - true, axis=1))) for x in found))  # pyright: ignore[reportArgumentType]
    table = Table("landmarks", "detected, mean", "median", "corrected, mean", "median", "time")
    for name, rows in errors.items():
        detected, corrected = np.array(rows).T
        figures = (detected.mean(), np.median(detected), corrected.mean(), np.median(corrected))
        ratio = seconds[name] / seconds["one square"]
        table.add_row(name, *(f"{figure:.4f}" for figure in figures), f"{ratio:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main(tyro.cli(Options))
