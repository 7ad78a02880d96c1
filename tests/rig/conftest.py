"""Bodies of this room's tests, built once."""

import numpy as np
import pytest
from jointed_bodies import arms_out, capsule_body

from humanlrm.rig.build import rig
from humanlrm.rig.skin import RiggedPerson


@pytest.fixture(scope="session")
def free_landmarks(standing: np.ndarray) -> np.ndarray:
    return arms_out(standing)


@pytest.fixture(scope="session")
def free(free_landmarks: np.ndarray) -> RiggedPerson:
    """Somebody whose limbs touch nothing."""
    return rig(capsule_body(free_landmarks), free_landmarks)


@pytest.fixture(scope="session")
def fused(standing: np.ndarray) -> RiggedPerson:
    """Somebody whose arms are fused with the trunk."""
    return rig(capsule_body(standing), standing)
