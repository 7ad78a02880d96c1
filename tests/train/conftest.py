import signal
from collections.abc import Iterator

import pytest

from humanlrm.data.dataset import SampleSettings, TrainingDataset
from humanlrm.data.shards import ShardFolder
from humanlrm.views import Batch, collate


@pytest.fixture(scope="session")
def scans(shards) -> Batch:
    """Two samples of rendered scans at the size of the tiny preset, each with two target views."""
    settings = SampleSettings(48, 24, augment=False, image_px=64, target_views=2)
    data = TrainingDataset(ShardFolder(shards), settings, seed=0)
    return collate([data[0], data[1]])


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """It interrupts, also where the tests run in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
