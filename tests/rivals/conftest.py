"""A photographed person."""

import numpy as np
import pytest

from humanlrm.evaluate.case import Case
from humanlrm.evaluate.case_builder import CaseBuilder
from humanlrm.evaluate.plan import Corruption, Shooting
from humanlrm.evaluate.renderer import Viewpoint, random_lamps
from humanlrm.evaluate.sources import Unit


@pytest.fixture(scope="session")
def case(person, detector) -> Case:
    builder = CaseBuilder(Unit("procedural-val", "3", "3", 3), person, detector, Shooting(points=4000))
    builder.lamps = random_lamps(np.random.default_rng(0))
    return builder.level(Viewpoint(0.0), Corruption())
