"""A photographed person and a case that the tests of this room share."""

import numpy as np
import pytest

from humanlrm.evaluate.case import Case
from humanlrm.evaluate.case_builder import CaseBuilder
from humanlrm.evaluate.plan import Corruption, Shooting
from humanlrm.evaluate.renderer import EvalRenderer, Viewpoint, random_lamps
from humanlrm.evaluate.sources import Unit

SHOOTING = Shooting(points=4000)


@pytest.fixture(scope="session")
def build(person, detector):
    """A builder of cases of the person."""

    def run(shooting: Shooting = SHOOTING) -> CaseBuilder:
        built = CaseBuilder(Unit("procedural-val", "3", "3", 3), person, detector, shooting)
        built.lamps = random_lamps(np.random.default_rng(0))
        return built

    return run


@pytest.fixture(scope="session")
def builder(build) -> CaseBuilder:
    return build()


@pytest.fixture(scope="session")
def renderer(builder) -> EvalRenderer:
    return builder.renderer


@pytest.fixture(scope="session")
def shoot(builder, build):
    """A case of the person under a condition, from a side."""

    def run(condition: Corruption | None = None, yaw_deg: float = 0.0, shooting: Shooting = SHOOTING) -> Case:
        chosen = builder if shooting is SHOOTING else build(shooting)
        return chosen.level(Viewpoint(yaw_deg), condition or Corruption())

    return run


@pytest.fixture(scope="session")
def case(shoot) -> Case:
    return shoot()
