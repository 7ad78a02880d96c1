"""Several folders in given proportions, deterministic and resumable."""

from itertools import islice

import numpy as np
import pytest

from humanlrm.data.dataset import SampleSettings, TrainingDataset, batches
from humanlrm.data.shards import Mixture, ShardFolder, write_shard

SETTINGS = SampleSettings(8, 8, augment=False)


@pytest.fixture(scope="module")
def folders(shards, rendered, tmp_path_factory) -> tuple[ShardFolder, ShardFolder]:
    """The common folder of two subjects and another of one."""
    other = tmp_path_factory.mktemp("other")
    write_shard(other / "a.tar", [("00000009", rendered)])
    return ShardFolder(shards), ShardFolder(other)


def marks(data: TrainingDataset, count: int) -> list[bytes]:
    return [data[i].supervision.points.numpy().tobytes() for i in range(count)]


def test_one_folder_alone_gives_the_same_samples_as_without_a_mixture(folders):
    mixed = TrainingDataset(Mixture([(folders[0], 3.0)]), SETTINGS, seed=4)
    assert marks(mixed, 6) == marks(TrainingDataset(folders[0], SETTINGS, seed=4), 6)


def test_folders_come_as_often_as_their_weights_say(folders):
    data = TrainingDataset(Mixture([(folders[0], 1.0), (folders[1], 3.0)]), SETTINGS, seed=0)
    assert np.mean(data.turns) == pytest.approx(0.75, abs=1e-3)
    assert not np.array_equal(data.turns, np.sort(data.turns))
    assert len(data) == 6


def test_within_a_mixture_every_view_of_a_folder_is_visited_once_per_pass(folders):
    data = TrainingDataset(Mixture([(folders[0], 1.0), (folders[1], 1.0)]), SETTINGS, seed=0)
    mine = [i for i in range(60) if data.turns[i] == 0]
    for start in (0, 4, 8):
        seen = {data[i].supervision.landmarks.numpy().tobytes() for i in mine[start : start + 4]}
        assert len(seen) == 4


def test_resuming_a_mixture_continues_the_sequence(folders):
    mixture = Mixture([(folders[0], 1.0), (folders[1], 2.0)])
    whole = list(islice(batches(TrainingDataset(mixture, SETTINGS, seed=2), 3, workers=0), 4))
    rest = next(iter(batches(TrainingDataset(mixture, SETTINGS, seed=2), 3, start=9, workers=0)))
    assert (rest.supervision.points == whole[3].supervision.points).all()


def test_a_mixture_has_all_subjects_and_problems_of_its_folders(folders, shards, tmp_path):
    whole = next(shards.glob("*.tar")).read_bytes()
    (tmp_path / "good.tar").write_bytes(whole)
    (tmp_path / "cut.tar").write_bytes(whole[: len(whole) // 3])
    mixture = Mixture([(folders[1], 1.0), (ShardFolder(tmp_path), 1.0)])
    assert len(mixture) == 3
    assert "cut.tar" in mixture.problems[0]
    detected, _, truth = mixture.landmarks()
    assert len(detected) == len(truth) == 6


@pytest.mark.parametrize("weights", [[], [1.0, 0.0], [1.0, -2.0], [1.0, float("nan")]])
def test_bad_weights_are_refused(folders, weights):
    with pytest.raises(ValueError, match="weights"):
        Mixture(list(zip(folders, weights, strict=False)))
