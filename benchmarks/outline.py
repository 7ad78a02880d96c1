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
from humanlrm.evaluate.case_builder import CaseBuilder
from humanlrm.evaluate.geometry import compare
from humanlrm.evaluate.images import iou
from humanlrm.evaluate.plan import Shooting, Sources
from humanlrm.evaluate.sources import find_units, open_scan
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
    found: dict[tuple[str, str], list[tuple[float, ...]]] = {}
    detector, sources = PoseDetector(careful=True), Sources(count=options.count)
    for unit in track(find_units(sources), "people", console=Console(stderr=True)):
        case = CaseBuilder(unit, open_scan(sources, unit), detector, Shooting()).hand_held()
        landmarks, cm = case.truth.landmarks, case.truth.cm_per_unit
        assert landmarks is not None
        for told in ("estimated", "true"):
            marks = None if told == "estimated" else torch.from_numpy(landmarks.astype(np.float32))[None]
            planes = encode(model, case.shown.inputs, marks)
            surfaces = {
                "field alone": field_alone(model, planes),
                "meets the outline": fitted_surface(model, planes, 128),
            }
            for name, surface in surfaces.items():
                off = compare(surface, case.truth.surface, workers=1)
                agreed = iou(silhouette(surface, len(case.mask)), case.mask)
                row = (off.p2s * cm, off.s2p * cm, off.normal_consistency, agreed)
                found.setdefault((told, name), []).append(row)
    table = Table("landmarks", "surface", "P2S cm", "S2P cm", "NC", "IoU", title="cm at 1.70 m")
    for (told, name), rows in found.items():
        p2s, s2p, consistency, agreed = np.mean(rows, axis=0)
        table.add_row(told, name, f"{p2s:.2f}", f"{s2p:.2f}", f"{consistency:.3f}", f"{agreed:.3f}")
    Console().print(table)


if __name__ == "__main__":
    main(tyro.cli(Options))
