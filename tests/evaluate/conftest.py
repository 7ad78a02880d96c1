"""A photographed person and a case that the tests of this room share."""

import numpy as np
import pytest

from humanlrm.evaluate.case import Case, Shooting, make_case
from humanlrm.evaluate.corruptions import Corruption
from humanlrm.evaluate.renderer import EvalRenderer, Viewpoint, random_lamps

SHOOTING = Shooting(points=4000)


@pytest.fixture(scope="session")
def stage(person) -> EvalRenderer:
    return EvalRenderer(person)


@pytest.fixture(scope="session")
def shoot(stage, detector):
    """A case of the person under a condition, from a side."""

    def run(condition: Corruption | None = None, yaw_deg: float = 0.0, shooting: Shooting = SHOOTING) -> Case:
        lamps = random_lamps(np.random.default_rng(0))
        names = ("procedural-val", "3", "3")
        return make_case(stage, names, Viewpoint(yaw_deg), condition or Corruption(), lamps, detector, shooting, 3)

    return run


@pytest.fixture(scope="session")
def case(shoot) -> Case:
    return shoot()
