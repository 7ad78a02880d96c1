import io
import os
import signal
import tarfile

import numpy as np
import pytest
import torch

from humanlrm.body.landmarks import COUNT, DETECTOR_FEATURE_CHANNELS
from humanlrm.data.shards import ShardFolder
from humanlrm.model.landmark_head import Lifter
from humanlrm.train.lift import FitProgress, fit_lifter
from humanlrm.train.losses import landmark_loss
from humanlrm.train.stop import StopRequested


@pytest.fixture(scope="module")
def folder(shards) -> ShardFolder:
    return ShardFolder(shards)


def test_pairs_of_all_views_are_found(folder):
    detected, detector_features, truth = folder.landmarks()
    record, _ = folder.load(1, 0)
    assert detected.shape == (4, COUNT, 4)
    np.testing.assert_array_equal(detected[2], record.detected)
    np.testing.assert_array_equal(detector_features[2], record.detector_features)
    assert detector_features.any()
    np.testing.assert_array_equal(truth[2], record.landmarks)


def test_a_subject_with_damaged_landmarks_is_left_out(folder, tmp_path):
    entry = folder.entries[0]
    data, (offset, size) = bytearray(entry.shard.read_bytes()), entry.files["views.npz"]
    data[offset : offset + size] = bytes(size)
    (tmp_path / "a.tar").write_bytes(bytes(data))
    for found, whole in zip(ShardFolder(tmp_path).landmarks(), folder.landmarks(), strict=True):
        np.testing.assert_array_equal(found, whole[2:])


def test_a_new_lifter_takes_landmarks_as_they_were_detected():
    detected, detector_features = torch.rand(2, COUNT, 4) + 0.1, torch.rand(2, COUNT, 2, DETECTOR_FEATURE_CHANNELS)
    torch.testing.assert_close(Lifter(64, 1)(detected, detector_features), detected[..., :3])


def test_fitting_brings_detected_landmarks_closer_to_the_true_ones(folder):
    detected, detector_features, truth = (torch.from_numpy(a).float() for a in folder.landmarks())
    lifter = Lifter(64, 1)
    before = float(landmark_loss(lifter(detected, detector_features), truth))
    fit_lifter(lifter, folder, 300, seed=0)
    lifter.eval()
    assert float(landmark_loss(lifter(detected, detector_features), truth)) < 0.6 * before
    assert float(landmark_loss(lifter(detected, 0 * detector_features), truth)) < 0.9 * before


def test_the_lifter_learns_from_the_figures_that_are_given(folder):
    def fitted(figures: np.ndarray | None) -> torch.Tensor:
        torch.manual_seed(5)
        lifter = Lifter(64, 1)
        fit_lifter(lifter, folder, 5, 0, figures)
        return lifter.enter.weight

    shown = folder.landmarks()[2]
    assert torch.equal(fitted(None), fitted(shown))
    assert not torch.equal(fitted(None), fitted(shown * np.float32([1, 1, 0])))


def test_missing_landmarks_are_guessed_wherever_they_are_said_to_be(folder):
    lifter = Lifter(64, 1)
    fit_lifter(lifter, folder, 20, seed=0)
    lifter.eval()
    detected, detector_features = torch.rand(1, COUNT, 4), torch.rand(1, COUNT, 2, DETECTOR_FEATURE_CHANNELS)
    detected[:, 3, 3] = 0
    moved, other = detected.clone(), detector_features.clone()
    moved[:, 3, :3], other[:, 3] = 9, 9
    torch.testing.assert_close(lifter(moved, other), lifter(detected, detector_features), rtol=0, atol=0)
    detector_features[:, 4] += 1
    assert not torch.allclose(lifter(moved, detector_features), lifter(moved, other))


def test_the_seed_decides_the_fit(folder):
    def fitted(seed: int) -> list[torch.Tensor]:
        torch.manual_seed(5)
        lifter = Lifter(64, 1)
        fit_lifter(lifter, folder, 5, seed)
        return list(lifter.parameters())

    assert all(torch.equal(a, b) for a, b in zip(fitted(0), fitted(0), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(fitted(0), fitted(1), strict=True))


@pytest.mark.usefixtures("ctrl_c")
def test_a_fit_that_was_stopped_goes_on_as_if_it_had_not_been(folder, tmp_path):
    def lifter() -> Lifter:
        torch.manual_seed(5)
        return Lifter(64, 1)

    whole, stopped, resumed = lifter(), lifter(), lifter()
    fit_lifter(whole, folder, 30, seed=0)
    asked = FitProgress(tmp_path / "fit.safetensors", lambda done, _: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(StopRequested, match="after 1 of 30 steps"):
        fit_lifter(stopped, folder, 30, seed=0, progress=asked)
    reported: list[tuple[int, int]] = []
    progress = FitProgress(asked.file, lambda *steps: reported.append(steps))
    fit_lifter(resumed, folder, 30, seed=0, progress=progress)
    assert reported[-1] == (30, 30)
    for ours, theirs in zip(resumed.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_the_lifter_learns_from_partly_known_landmarks_and_ignores_wholly_unknown_views(folder, tmp_path):
    with tarfile.open(folder.entries[0].shard) as source, tarfile.open(tmp_path / "a.tar", "w") as out:
        for member in source:
            content = source.extractfile(member).read()
            if member.name.endswith("views.npz"):
                arrays = dict(np.load(io.BytesIO(content)))
                arrays["landmarks"][0] = np.nan
                arrays["landmarks"][1, 3] = np.nan
                buffer = io.BytesIO()
                np.savez(buffer, **arrays)
                content, member.size = buffer.getvalue(), len(buffer.getvalue())
            out.addfile(member, io.BytesIO(content))
    partly = ShardFolder(tmp_path)
    assert len(partly.landmarks()[1]) == 2
    lifter = Lifter(64, 1)
    assert np.isfinite(fit_lifter(lifter, partly, 20, seed=0))
    assert all(parameter.isfinite().all() for parameter in lifter.parameters())
