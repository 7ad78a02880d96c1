"""How long estimated strides are: front-back distance of the ankles of walkers, estimated over true.

    python -m benchmarks.strides --assets ASSETS [--weights DIR]

The 34 avatars of the held-out identities walk (three everyday poses each) and are photographed from the front, up to 15
degrees from the side of it, by a level camera. A ratio below 0 is the wrong foot in front. Strides below a tenth of a
box unit (9 cm) are left out. Medians with their quartiles, and with 95% intervals over people.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.table import Table

from humanlrm.body.landmarks import INDEX
from humanlrm.encoding import correct_estimate
from humanlrm.evaluate.case import Case
from humanlrm.evaluate.case_builder import CaseBuilder
from humanlrm.evaluate.plan import Corruption, Shooting
from humanlrm.evaluate.renderer import Viewpoint
from humanlrm.evaluate.sources import Unit
from humanlrm.model.lrm import HumanLRM
from humanlrm.model.pretrained import SHIPPED, from_pretrained
from humanlrm.people.avatars.person import AvatarLibrary, make_avatar
from humanlrm.people.generate import VALIDATION_SEED
from humanlrm.photo.blazepose import PoseDetector

_WALKS = ("walking", "strolling", "step")
_SIDE_DEG = 15.0
_LEAST = 0.1
_ANKLES = [INDEX["left_ankle"], INDEX["right_ankle"]]


@dataclass(frozen=True)
class Options:
    """
    Attributes:
        assets: the asset pack.
        weights: folder of other weights than the shipped ones.
        count: avatars, of 34.
    """

    assets: Path
    weights: Path = SHIPPED
    count: int = 34


@torch.no_grad()
def main(options: Options) -> None:
    torch.set_num_threads(1)
    model, detector = from_pretrained(options.weights), PoseDetector(threads=1, careful=True)
    library = AvatarLibrary(options.assets, "val")
    found: dict[str, list[list[float]]] = {}
    for number, avatar in enumerate(library.ids[: options.count]):
        strides = [_strides(model, _photo(library, detector, avatar, number, walk)) for walk in range(len(_WALKS))]
        for name in strides[0]:
            pairs = [stride[name] / stride["true"] for stride in strides if abs(stride["true"]) > _LEAST]
            found.setdefault(name, []).append(pairs)
    table = Table("ankles, front to back", "photos", "median ratio", "quartiles", "wrong foot in front")
    for name, people in found.items():
        ratios = np.concatenate(people)
        low, median, high = np.percentile(ratios, [25, 50, 75])
        least, most = _interval(people)
        numbers = (f"{median:.2f} [{least:.2f}, {most:.2f}]", f"{low:.2f} to {high:.2f}", f"{(ratios < 0).mean():.0%}")
        table.add_row(name, str(len(ratios)), *numbers)
    Console().print(table)


def _photo(library: AvatarLibrary, detector: PoseDetector, avatar: str, number: int, walk: int) -> Case:
    """The photograph of an avatar in one of the walks."""
    seed = VALIDATION_SEED + walk * len(library) + number
    scan = make_avatar(library, seed, avatar_id=avatar, everyday=_WALKS[walk])
    yaw = np.random.default_rng([seed, 3]).uniform(-_SIDE_DEG, _SIDE_DEG) % 360
    unit = Unit("walkers", f"{avatar}_{walk}", avatar, seed)
    return CaseBuilder(unit, scan, detector, Shooting(points=100)).level(Viewpoint(float(yaw)), Corruption())


def _strides(model: HumanLRM, case: Case) -> dict[str, float]:
    """Depth of the left ankle minus the right one's, box units: detected, estimated, set upright, true."""
    given, truth = case.shown.inputs, case.truth.landmarks
    assert truth is not None
    estimate = model.estimate_landmarks(given).points
    upright = correct_estimate(model, estimate, given.image)
    points = {"detected": given.landmarks, "estimated": estimate, "set upright": upright}
    depths = {name: each[0, _ANKLES, 2].tolist() for name, each in points.items()}
    return {name: left - right for name, (left, right) in (depths | {"true": truth[_ANKLES, 2].tolist()}).items()}


def _interval(people: list[list[float]], draws: int = 1000) -> tuple[float, float]:
    """95% interval of the median over people who are drawn anew (bootstrap)."""
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(people), size=(draws, len(people)))
    medians = [np.median(np.concatenate([people[k] for k in row])) for row in drawn]
    low, high = np.percentile(medians, [2.5, 97.5])
    return float(low), float(high)


if __name__ == "__main__":
    main(tyro.cli(Options))
