"""By how much estimated people are turned as a whole: lean toward the camera (pitch) and about the vertical (yaw).

    python -m benchmarks.lean --assets ASSETS [--weights DIR]

The 34 avatars of the held-out identities in one pose each, photographed from three sides by a level camera. For each
photo the rotation that takes the estimated landmarks nearest to the true ones (Kabsch); degrees, and the error of the
landmarks in box units before and after it. A negative pitch says that they were estimated to lean toward the camera.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.table import Table
from scipy.spatial.transform import Rotation

from humanlrm.encoding import correct_estimate
from humanlrm.evaluate.case import Case
from humanlrm.evaluate.case_builder import CaseBuilder
from humanlrm.evaluate.plan import Corruption, Shooting, Sources
from humanlrm.evaluate.renderer import Viewpoint
from humanlrm.evaluate.sources import find_units, open_scan
from humanlrm.model.lrm import HumanLRM
from humanlrm.model.pretrained import SHIPPED, from_pretrained
from humanlrm.photo.blazepose import PoseDetector

_YAWS_DEG = (0.0, 120.0, 240.0)


@dataclass(frozen=True)
class Options:
    """
    Attributes:
        assets: the asset pack.
        weights: folder of other weights than the shipped ones.
    """

    assets: Path
    weights: Path = SHIPPED


@torch.no_grad()
def main(options: Options) -> None:
    torch.set_num_threads(1)
    model, detector = from_pretrained(options.weights), PoseDetector(threads=1, careful=True)
    rows, groups = [], []
    sources = Sources(("valid-val",), poses=1, assets=options.assets)
    for unit in find_units(sources):
        builder = CaseBuilder(unit, open_scan(sources, unit), detector, Shooting(points=100))
        cases = [builder.level(Viewpoint(yaw), Corruption()) for yaw in _YAWS_DEG]
        for case in cases:
            rows.append(_turn(model, case))
            standing = ["frontal standing"] * case.frontal_standing
            groups.append({"all", *standing, *["standing, all sides"] * any(c.frontal_standing for c in cases)})
    table = Table("people", "photos", "error", "turned", "pitch", "|pitch|", "|yaw|")
    found = np.array(rows)
    for name in ("all", "standing, all sides", "frontal standing"):
        error, after, pitch, yaw = found[[name in group for group in groups]].T
        numbers = (f"{pitch.mean():+.1f}", f"{np.abs(pitch).mean():.1f}", f"{np.abs(yaw).mean():.1f}")
        table.add_row(name, str(len(error)), f"{error.mean():.3f}", f"{after.mean():.3f}", *numbers)
    Console().print(table)


def _turn(model: HumanLRM, case: Case) -> tuple[float, float, float, float]:
    """Error before and after the rotation, its pitch and yaw in degrees."""
    truth = case.truth.landmarks
    assert truth is not None
    given = case.shown.inputs
    estimate = correct_estimate(model, model.estimate_landmarks(given).points, given.image)[0].double().numpy()
    a, b = (points - points.mean(0) for points in (estimate, truth))
    rotation = Rotation.align_vectors(b, a)[0]
    pitch, yaw, _ = rotation.as_rotvec(degrees=True)
    before, after = (float(np.linalg.norm(moved - b, axis=1).mean()) for moved in (a, rotation.apply(a)))
    return before, after, float(pitch), float(yaw)


if __name__ == "__main__":
    main(tyro.cli(Options))
