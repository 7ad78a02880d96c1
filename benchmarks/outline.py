"""Does a surface that meets the photo's outline agree better with the mask, and what does it cost?

    python -m benchmarks.outline [--count 24] [--weights DIR]

Held-out procedural people as in ``humanlrm evaluate --quick``, with estimated and with true landmarks, with and without
``mesh.silhouette``: distances in cm at 1.70 m, and the IoU of the silhouette with the mask, in the input view.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.progress import track
from rich.table import Table

from humanlrm.encoding import encode
from humanlrm.evaluate.images import iou
from humanlrm.evaluate.quick import HEIGHT_M, measure, procedural_cases
from humanlrm.extraction import extract_body, fitted_surface
from humanlrm.frame import canonical_camera
from humanlrm.mesh.raycast import RayScene, pixel_rays
from humanlrm.mesh.surface import TriangleSurface
from humanlrm.model.lrm import HumanLRM
from humanlrm.model.pretrained import SHIPPED, from_pretrained
from humanlrm.model.triplane import Triplane
from humanlrm.photo.blazepose import PoseDetector

_RESOLUTION = 128


@dataclass(frozen=True)
class Options:
    """
    Attributes:
        count: people.
        weights: folder of other weights than the shipped ones.
    """

    count: int = 24
    weights: Path = SHIPPED


def field_alone(model: HumanLRM, planes: Triplane) -> TriangleSurface:
    """The field's zero level as it is."""
    return extract_body(lambda p: model.field.distance(planes, p[None])[0], _RESOLUTION, None)


def silhouette(surface: TriangleSurface, size_px: int) -> np.ndarray:
    """Where the canonical camera sees the surface."""
    return RayScene(surface.vertices, surface.faces).first_hit(*pixel_rays(canonical_camera(size_px))).hit


@torch.no_grad()
def main(options: Options) -> None:
    torch.set_num_threads(1)
    model = from_pretrained(options.weights)
    assert isinstance(model, HumanLRM)
    found: dict[tuple[str, str], list[tuple[float, ...]]] = {}
    cases = procedural_cases(options.count, PoseDetector(careful=True))
    for case in track(cases, "people", total=options.count, console=Console(stderr=True)):
        assert case.landmarks is not None
        mask = case.shown.alpha[0].numpy() > 0.5
        for told in ("estimated", "true"):
            marks = None if told == "estimated" else torch.from_numpy(case.landmarks.astype(np.float32))[None]
            planes = encode(model, case.shown.inputs, marks)
            surfaces = {
                "field alone": field_alone(model, planes),
                "meets the outline": fitted_surface(model, planes, 128),
            }
            for name, surface in surfaces.items():
                off = measure(lambda _, s=surface: s, case).distance
                agreed = iou(silhouette(surface, len(mask)), mask)
                row = (off.p2s, off.s2p, off.normal_consistency, agreed)
                found.setdefault((told, name), []).append(row)
    table = Table("landmarks", "surface", "P2S cm", "S2P cm", "NC", "IoU", title=f"cm at {HEIGHT_M:.2f} m")
    for (told, name), rows in found.items():
        p2s, s2p, consistency, agreed = np.mean(rows, axis=0)
        table.add_row(told, name, f"{p2s:.2f}", f"{s2p:.2f}", f"{consistency:.3f}", f"{agreed:.3f}")
    Console().print(table)


if __name__ == "__main__":
    main(tyro.cli(Options))
