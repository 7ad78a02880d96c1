"""Truncated photos: below their end nothing is known, and the truth stays."""

import pytest
import torch

from humanlrm.data.augment.truncate import truncated
from humanlrm.frame import project_ndc
from humanlrm.views import Inputs, Supervision

SIDE = 64


@pytest.fixture(scope="module")
def case() -> tuple[Inputs, Supervision]:
    """People who fill the middle of their pictures, deeper toward the bottom; depth at half the resolution."""
    count, rng = 64, torch.Generator().manual_seed(0)
    marks = torch.rand(count, 19, 3, generator=rng) * 1.6 - 0.8
    image = torch.zeros(count, 5, SIDE, SIDE)
    image[:, :3], image[:, 4] = 0.5, 1
    image[:, 3, 4:60, 24:40] = 1
    depth = torch.full((count, 2, SIDE // 2, SIDE // 2), torch.nan)
    depth[:, :, 2:30, 12:20] = torch.linspace(0.3, -0.3, 28)[:, None]
    seen = torch.cat([marks, torch.ones(count, 19, 1)], -1)
    none = torch.zeros(count, 1, 3)
    truth = Supervision(none, none[..., 0], none, none, none, depth, marks)
    return Inputs(image, seen, torch.ones(count, 19, 2, 480)), truth


def test_a_quarter_is_truncated_and_the_others_stay(case):
    given, truth = case
    shown, wanted = truncated(given, truth, torch.Generator().manual_seed(1))
    whole = (shown.image == given.image).flatten(1).all(1)
    assert 0.6 < whole.float().mean() < 0.9
    torch.testing.assert_close(shown.landmarks[whole], given.landmarks[whole])
    torch.testing.assert_close(wanted.landmarks[whole], truth.landmarks[whole])
    torch.testing.assert_close(wanted.depth[whole], truth.depth[whole], equal_nan=True)
    assert (shown.detector_features[whole] == 1).all()


def test_below_the_end_nothing_is_known_and_above_it_all_is_as_it_was(case):
    given, truth = case
    shown, wanted = truncated(given, truth, torch.Generator().manual_seed(1))
    for k in torch.nonzero((shown.image != given.image).flatten(1).any(1))[:, 0]:
        known = shown.image[k, 4].any(-1)
        row = int(known.sum())
        assert known[:row].all()
        assert 4 + 0.15 * 56 < row < 4 + 0.95 * 56
        assert not shown.image[k, :, row:].any()
        torch.testing.assert_close(shown.image[k, :, :row], given.image[k, :, :row])
        assert wanted.depth[k, :, (row + 1) // 2 :].isnan().all()
        # z = 0 is the mean of what is shown.
        assert abs(float(wanted.depth[k].nanmean())) < 1e-5
        shift = (truth.depth - wanted.depth)[k, 0, 2 : row // 2, 15]
        torch.testing.assert_close(shift, shift[:1].expand(len(shift)))
        torch.testing.assert_close(
            (truth.landmarks - wanted.landmarks)[k, :, 2], shift[:1].expand(19), rtol=0, atol=1e-5
        )


def test_true_landmarks_are_seen_where_they_were(case):
    given, truth = case
    _, wanted = truncated(given, truth, torch.Generator().manual_seed(1))
    torch.testing.assert_close(project_ndc(wanted.landmarks), project_ndc(truth.landmarks))


def test_detections_below_the_end_are_lost_or_move_toward_it(case):
    given, truth = case
    shown, _ = truncated(given, truth, torch.Generator().manual_seed(1))
    for k in torch.nonzero((shown.image != given.image).flatten(1).any(1))[:, 0]:
        line = 1 - 2 * float(shown.image[k, 4].any(-1).sum()) / SIDE
        before, after = (project_ndc(x.landmarks[k, :, :3])[:, 1] for x in (given, shown))
        sure = (before - line).abs() > 2 / SIDE  # the line lies between rows
        below, above = (before < line) & sure, (before > line) & sure
        torch.testing.assert_close(shown.landmarks[k, above], given.landmarks[k, above])
        there = shown.landmarks[k, :, 3] > 0
        assert (after[below & there] > before[below & there]).all()
        assert (after[below & there] < line + 2 / SIDE).all()
        assert not shown.detector_features[k, below].any()
        assert (shown.detector_features[k, above] == 1).all()


def test_unknown_landmarks_and_empty_masks_do_no_harm(case):
    given, truth = case
    landmarks = truth.landmarks.clone()
    landmarks[:, 3] = torch.nan
    image = given.image.clone()
    image[:, 3] = 0
    shown, wanted = truncated(
        Inputs(image, given.landmarks, given.detector_features),
        Supervision(*[landmarks if name == "landmarks" else value for name, value in vars(truth).items()]),
        torch.Generator().manual_seed(1),
    )
    torch.testing.assert_close(shown.image, image)
    assert wanted.landmarks[:, 3].isnan().all()
    assert wanted.landmarks[:, :3].isfinite().all()
