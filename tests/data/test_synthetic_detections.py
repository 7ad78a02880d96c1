"""Synthetic detections obey the frame's rules, and have errors as detectors have."""

import pytest
import torch

from humanlrm.body.landmarks import COUNT, INDEX
from humanlrm.data.augment.synthetic_detections import synthetic_detections
from humanlrm.frame import SUBJECT_SPAN


@pytest.fixture(scope="module")
def figures() -> torch.Tensor:
    """Bodies of different size anywhere, their heads well above their hips."""
    rng = torch.Generator().manual_seed(3)
    out = torch.rand(400, COUNT, 3, generator=rng) * torch.tensor([0.5, 0.2, 0.3])
    out[:, [INDEX["head"], INDEX["neck"], INDEX["nose"]], 1] += 0.8
    out[:, [INDEX["left_ankle"], INDEX["right_ankle"], INDEX["left_toe"], INDEX["right_toe"]], 1] -= 0.8
    return out * (0.5 + torch.rand(400, 1, 1, generator=rng)) + 7


def test_synthetic_landmarks_are_those_of_a_rigid_body(figures):
    _, truth = synthetic_detections(figures, torch.Generator().manual_seed(0))
    before, after = torch.cdist(figures, figures), torch.cdist(truth, truth)
    scale = after.flatten(1).norm(dim=1) / before.flatten(1).norm(dim=1)
    torch.testing.assert_close(after, before * scale[:, None, None], rtol=1e-3, atol=1e-3)
    centre = figures.mean(1, keepdim=True)
    assert (
        torch.linalg.det((figures - centre)[:, :3]) * torch.linalg.det((truth - truth.mean(1, keepdim=True))[:, :3]) > 0
    ).all()


def test_synthetic_people_fill_the_frame_and_stand_upright(figures):
    _, truth = synthetic_detections(figures, torch.Generator().manual_seed(0))
    extent = (truth.amax(1) - truth.amin(1))[:, :2].amax(1)
    assert (extent < SUBJECT_SPAN).all()
    assert extent.mean() > 0.8 * SUBJECT_SPAN
    assert (truth[:, INDEX["head"], 1] > truth[:, INDEX["left_toe"], 1]).all()
    assert truth[..., 2].mean(1).abs().mean() < 0.1


def test_synthetic_detections_err_more_in_depth_than_in_the_picture(figures):
    detected, truth = synthetic_detections(figures, torch.Generator().manual_seed(0))
    error = (detected[..., :3] - truth).abs().mean((0, 1))
    assert 0.01 < error[0] < 0.06
    assert error[2] > 2 * error[0]
    assert detected[..., 3].min() > 0
    assert detected[..., 3].max() <= 1


def test_the_generator_decides_the_detections(figures):
    one, other = (synthetic_detections(figures, torch.Generator().manual_seed(s))[0] for s in (0, 1))
    torch.testing.assert_close(one, synthetic_detections(figures, torch.Generator().manual_seed(0))[0], rtol=0, atol=0)
    assert not torch.equal(one, other)
