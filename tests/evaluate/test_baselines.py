import numpy as np
import pytest
import torch

from humanlrm.evaluate.baselines import inflated_silhouette
from humanlrm.frame import VIEW_SPAN, SquareCrop
from humanlrm.mesh.surface import is_closed
from humanlrm.subject import SubjectCrop


def disc(radius: float, size_px: int = 128) -> SubjectCrop:
    """A crop whose mask is a disc (radius in box units) in the middle."""
    axis = ((torch.arange(size_px) + 0.5) / size_px - 0.5) * VIEW_SPAN
    alpha = (axis[:, None] ** 2 + axis**2 < radius**2).float()[None]
    photo = np.zeros((size_px, size_px, 3), np.uint8)
    crop = SquareCrop((size_px / 2, size_px / 2), float(size_px))
    known = torch.ones(1, size_px, size_px)
    return SubjectCrop(
        torch.zeros(3, size_px, size_px),
        alpha,
        known,
        torch.zeros(19, 4),
        torch.zeros(19, 2, CLUE_CHANNELS),
        crop,
        photo,
        alpha[0].numpy(),
        (),
    )


@pytest.mark.parametrize("radius", [0.1, 0.5])
def test_an_inflated_disc_is_closed_and_as_wide_as_the_disc(radius):
    surface = inflated_silhouette(disc(radius))
    assert is_closed(surface.faces)
    width, height, _ = np.ptp(surface.vertices, axis=0)
    assert width == pytest.approx(2 * radius, abs=0.04)
    assert height == pytest.approx(2 * radius, abs=0.04)


def test_a_small_disc_becomes_a_ball_at_most_and_a_large_one_stays_flat():
    small, large = (np.ptp(inflated_silhouette(disc(r)).vertices[:, 2]) for r in (0.1, 0.5))
    assert 0.1 < small < 0.32
    assert large == pytest.approx(0.32, abs=0.03)


def test_the_inflated_silhouette_is_upright():
    shown = disc(0.2)
    shown.alpha[0] = shown.alpha[0].roll(-30, 0)  # up in the picture
    assert inflated_silhouette(shown).vertices[:, 1].mean() == pytest.approx(30 / 128 * VIEW_SPAN, abs=0.03)
