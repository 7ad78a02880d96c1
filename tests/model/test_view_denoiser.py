"""Laws of the view denoiser."""

import pytest
import torch

from humanlrm.body.landmarks import COUNT
from humanlrm.model.view_denoiser import (
    ViewCondition,
    ViewDenoiser,
    ViewDenoiserConfig,
    fill,
    in_square,
    tiny_view_denoiser,
)


def some_condition(count: int = 2, side: int = 32) -> ViewCondition:
    rng = torch.Generator().manual_seed(3)
    alpha = torch.zeros(count, 1, side, side)
    alpha[:, :, 8:24, 10:22] = 1
    photo = torch.cat([torch.rand(count, 3, side, side, generator=rng) * alpha, alpha, torch.ones_like(alpha)], dim=1)
    landmarks = torch.rand(count, COUNT, 3, generator=rng) - 0.5
    return ViewCondition(torch.ones(count, dtype=torch.bool), photo, landmarks, torch.ones(count))


@pytest.fixture(scope="module")
def model() -> ViewDenoiser:
    torch.manual_seed(0)
    return ViewDenoiser(tiny_view_denoiser()).eval()


def test_a_new_network_copies_the_photo_to_front_and_back(model):
    condition = some_condition()
    out = model(torch.randn(2, 7, 8, 8), torch.zeros(2), condition)
    layers = model.restored(out, condition)
    torch.testing.assert_close(layers[:, :3], condition.photo[:, :3])
    torch.testing.assert_close(layers[:, 4:], condition.photo[:, :3], atol=0.05, rtol=0)


def test_what_is_painted_over_the_back_hides_the_copy_there_and_nowhere_else():
    painter = ViewDenoiser(tiny_view_denoiser()).eval()
    with torch.no_grad():
        bias = painter.leave.bias.view(11, -1)
        bias[7:10], bias[10] = 0.4 / painter.deviations[0, 4:, 0], 20.0
    condition = some_condition()
    layers = painter.restored(painter(torch.randn(2, 7, 8, 8), torch.zeros(2), condition), condition)
    torch.testing.assert_close(layers[:, 4:], torch.full((2, 3, 32, 32), 0.4), atol=1e-4, rtol=0)
    torch.testing.assert_close(layers[:, :3], condition.photo[:, :3])


def test_colors_go_on_where_the_photo_shows_nobody():
    known = torch.zeros(1, 1, 32, 32)
    known[..., 4:16, 12:20] = 1
    colors = torch.zeros(1, 3, 32, 32)
    colors[:, 0, 4:10, 12:20] = 1
    colors[:, 1, 10:16, 12:20] = 1
    filled = fill(colors, known)
    torch.testing.assert_close(filled * known, colors)
    assert filled[0, 1, 18, 16] > filled[0, 0, 18, 16]
    torch.testing.assert_close(filled.sum(1), torch.ones(1, 32, 32))


def test_restored_inverts_normalized_but_for_what_the_photo_shows(model):
    condition = some_condition()
    layers = torch.rand(2, 7, 32, 32)
    again = model.restored(model.normalized(layers, condition), condition)
    shown = condition.visible.expand(-1, 4, -1, -1) > 0
    torch.testing.assert_close(again[:, 4:], layers[:, 4:])
    torch.testing.assert_close(again[:, :4][~shown], layers[:, :4][~shown])
    torch.testing.assert_close(again[:, :4][shown], condition.copy[:, :4][shown])


def test_a_square_moves_and_scales_landmarks_as_it_does_pixels():
    points = torch.tensor([[[0.0, 0.0, 0.0], [0.2, 0.1, 0.0]]])
    whole = in_square(points, torch.zeros(1, 2), torch.ones(1))
    middle, zoom = whole[:, 1, :2], torch.tensor([4.0])
    square = in_square(points, middle, zoom)
    torch.testing.assert_close(square[0, 1, :2], torch.zeros(2))
    torch.testing.assert_close(square[0, 0, :2], -4 * middle[0])


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="multiple of 32"):
        ViewDenoiserConfig(image_px=100)
    with pytest.raises(ValueError, match="widths"):
        ViewDenoiserConfig(widths=(10, 20))


@pytest.mark.parametrize("part", ["photo", "landmarks", "zoom", "noisy", "log_noise"])
def test_every_input_matters(part):
    torch.manual_seed(1)
    model = ViewDenoiser(tiny_view_denoiser())
    for parameter in model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    inputs = {"noisy": torch.randn(2, 7, 8, 8), "log_noise": torch.zeros(2)} | vars(some_condition())
    inputs = {name: value.requires_grad_(value.is_floating_point()) for name, value in inputs.items()}
    condition = ViewCondition(*(inputs[name] for name in ("present", "photo", "landmarks", "zoom")))
    model(inputs["noisy"], inputs["log_noise"], condition).square().sum().backward()
    assert inputs[part].grad.abs().sum() > 0
