"""Held-out people, their photographs, and how far the reconstructions are from the truth."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from humanlrm.data.render import Studio, shoot
from humanlrm.data.scan import Scan
from humanlrm.data.solid import outer_faces
from humanlrm.evaluate.geometry import Alignment, SurfaceDistance, compare
from humanlrm.matting import PoseDetector
from humanlrm.mesh.surface import TriangleSurface
from humanlrm.model.lrm import HumanLRM
from humanlrm.people.compose import make_person
from humanlrm.people.generate import VALIDATION_SEED
from humanlrm.reconstruct import extract
from humanlrm.subject import SubjectCrop

#: All distances are scaled to a person of this height.
HEIGHT_M = 1.70

#: What is measured: from what the network is shown to a surface in box units.
Method = Callable[[SubjectCrop], TriangleSurface]


@dataclass(frozen=True)
class Case:
    """One photograph of one held-out person: what is shown, and the true outer surface in its frame (box units)."""

    name: str
    shown: SubjectCrop
    truth: TriangleSurface
    cm_per_unit: float


@dataclass(frozen=True)
class Row:
    """One case measured; distances in cm at 1.70 m."""

    name: str
    distance: SurfaceDistance


def procedural_cases(count: int, detector: PoseDetector) -> Iterator[Case]:
    """Held-out procedural people, one photo each from a random side; exact mask, landmarks as detected on the photo."""
    for seed in range(VALIDATION_SEED, VALIDATION_SEED + count):
        rng = np.random.default_rng([seed, 11])
        yield make_case(make_person(seed), rng.uniform(0, 2 * np.pi), detector, rng)


def make_case(scan: Scan, yaw_rad: float, detector: PoseDetector, rng: np.random.Generator) -> Case:
    """A photograph of a scan from ``yaw_rad`` (0 = from the front) and the scan in its frame."""
    shown, to_frame, _ = shoot(Studio(scan), detector, yaw_rad, rng)
    placed = scan.moved(to_frame)
    unit_m = 1 / np.linalg.norm(to_frame[0, :3])
    height_m = float(scan.tags.get("height_m", HEIGHT_M))
    return Case(
        f"{scan.id}@{np.degrees(yaw_rad):.0f}",
        shown,
        TriangleSurface(placed.vertices, placed.faces[outer_faces(scan)]),
        float(unit_m * 100 * HEIGHT_M / height_m),
    )


def lrm_method(model: HumanLRM, resolution: int = 256) -> Method:
    """Our model as a method."""

    def run(shown: SubjectCrop) -> TriangleSurface:
        with torch.no_grad():
            planes = model(torch.cat([shown.rgb, shown.alpha, shown.known])[None], shown.landmarks[None])
        return extract(model, planes, resolution)

    return run


def measure(method: Method, case: Case, alignment: Alignment = "translation") -> Row:
    """One case through one method."""
    found = compare(method(case.shown), case.truth, alignment)
    return Row(
        case.name,
        SurfaceDistance(found.p2s * case.cm_per_unit, found.s2p * case.cm_per_unit, found.normal_consistency),
    )


def mean(rows: list[Row]) -> SurfaceDistance:
    """Average over cases.

    Raises:
        ValueError: no rows.
    """
    if not rows:
        raise ValueError("nothing was measured: no cases")
    parts = np.array([(r.distance.p2s, r.distance.s2p, r.distance.normal_consistency) for r in rows]).mean(0)
    return SurfaceDistance(*map(float, parts))
