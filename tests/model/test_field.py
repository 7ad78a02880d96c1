from dataclasses import replace

import pytest
import torch

from humanlrm.model.config import tiny
from humanlrm.model.field import Field
from humanlrm.model.triplane import InputView, Triplane


def smooth(*shape: int, seed: int = 0) -> torch.Tensor:
    """Random planes without high frequencies."""
    coarse = torch.randn(*shape[:2], 3, 3, generator=torch.Generator().manual_seed(seed)) * 0.3
    return torch.nn.functional.interpolate(coarse, size=shape[2:], mode="bicubic")


@pytest.fixture
def planes() -> Triplane:
    channels = tiny().plane_channels
    image = torch.rand(2, 5, 64, 64)
    image[:, 3:] = 1
    depth = torch.cat([torch.full((2, 1, 32, 32), 0.3), torch.full((2, 1, 32, 32), -0.2)], dim=1)
    given = InputView(image, smooth(2, 16, 32, 32), depth, torch.rand(2, 19, 3) * 1.6 - 0.8)
    return Triplane(
        smooth(2, channels, 32, 32), smooth(2, channels, 24, 24, seed=1), smooth(2, channels, 24, 24, seed=2), given
    )


def trained_field(seed: int = 0) -> Field:
    torch.manual_seed(seed)
    field = Field(tiny())
    torch.nn.init.normal_(field.sdf.weight, std=0.3)
    return field


def points(count: int = 30) -> torch.Tensor:
    return torch.rand(2, count, 3, generator=torch.Generator().manual_seed(3)) * 1.2 - 0.6


def test_an_untrained_field_is_its_prior(planes):
    field, at = Field(tiny()), points()
    between = torch.maximum(at[..., 2] - 0.3, -0.2 - at[..., 2])
    # The silhouette covers the whole image: 0.1 inside it.
    prior = between.clamp(min=-0.1).clamp(-0.2, 0.2) * field.prior_weight
    torch.testing.assert_close(field.distance(planes, at), prior, rtol=1e-4, atol=1e-5)


def test_an_untrained_field_is_outside_where_the_photo_shows_background(planes):
    planes.inputs.image[:, 3] = 0
    assert (Field(tiny()).distance(planes, points()) > 0).all()


def test_what_the_photo_does_not_show_is_not_cut_off(planes):
    planes.inputs.image[:, 3:] = 0
    inside = points()
    inside[..., 2] = 0
    assert (Field(tiny()).distance(planes, inside) < 0).sum() == 0  # the outside term is 0 there, never negative
    planes.inputs.image[:, 3] = 1e-3
    assert (Field(tiny()).distance(planes, inside).abs() < 1e-3).all()


def test_forward_agrees_with_distance_and_with_color(planes):
    field, at = trained_field(), points()
    found = field(planes, at)
    torch.testing.assert_close(found.sdf, field.distance(planes, at), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.rgb, field.color(planes, at, found.normal), rtol=1e-4, atol=1e-5)


def test_the_gradient_is_that_of_the_distance(planes):
    # Central differences at the same step differ from forward ones by the curvature only, which a small step hides.
    field, at = trained_field(), points(60)
    field.step = 1e-3
    found = field(planes, at)
    step = torch.eye(3) * field.step
    central = torch.stack(
        [(field.distance(planes, at + s) - field.distance(planes, at - s)) / (2 * field.step) for s in step], dim=-1
    )
    error = (found.gradient - central).norm(dim=-1) / central.norm(dim=-1)
    assert error.median() < 0.05
    cosine = torch.nn.functional.cosine_similarity(found.gradient, central, dim=-1)
    assert cosine.median() > 0.999
    torch.testing.assert_close(found.normal, torch.nn.functional.normalize(found.gradient, dim=-1))


def test_an_untrained_field_points_away_from_the_middle(planes):
    at = torch.tensor([[[0.0, 0.0, 0.3], [0.0, 0.0, -0.2]]] * 2)
    normal = Field(tiny())(planes, at).normal
    torch.testing.assert_close(normal[:, 0, 2], torch.ones(2), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(normal[:, 1, 2], -torch.ones(2), rtol=1e-3, atol=1e-3)


def test_colors_are_in_range_and_depend_on_the_normal(planes):
    field, at = trained_field(), points()
    up, down = torch.tensor([0.0, 1.0, 0.0]).expand_as(at), torch.tensor([0.0, -1.0, 0.0]).expand_as(at)
    colors = field.color(planes, at, up)
    assert colors.min() >= 0
    assert colors.max() <= 1
    assert not torch.allclose(colors, field.color(planes, at, down))


def test_a_full_trust_copies_the_pixel_as_far_as_it_shows_the_person(planes):
    field, at = trained_field(), points()
    at[..., :2] = 0  # the middle of the image, between four pixels
    own = field.color(pictured(planes, alpha=0.0), at, torch.zeros_like(at))
    with torch.no_grad():
        field.rgb[-1].bias[3] = 50
    for alpha in (0.0, 0.3, 1.0):
        shown = pictured(planes, alpha)
        pixel = shown.inputs.image[:, :3, 31:33, 31:33].mean((2, 3))
        found = field.color(shown, at, torch.zeros_like(at))
        if alpha == 1:
            torch.testing.assert_close(found, pixel[:, None].expand_as(at), rtol=1e-4, atol=1e-4)
        if alpha == 0:
            torch.testing.assert_close(found, own, rtol=1e-4, atol=1e-4)
        assert found.max() <= 1


def pictured(planes, alpha: float):
    """The same planes of a person who is there to the part ``alpha``."""
    image = planes.inputs.image.clone()
    image[:, 3] = alpha
    image[:, :3] *= alpha
    return replace(planes, inputs=replace(planes.inputs, image=image))


def test_points_do_not_influence_each_other(planes):
    field, at = trained_field(), points()
    torch.testing.assert_close(
        field.distance(planes, at)[:, 7:9], field.distance(planes, at[:, 7:9]), rtol=1e-4, atol=1e-5
    )
