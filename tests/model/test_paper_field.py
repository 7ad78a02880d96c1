import pytest
import torch
from tiny_paper import tiny_paper

from humanlrm.model.paper_field import DensityField, PaperField
from humanlrm.model.triplane import InputView, Triplane

ALL = {"pixel_features": True, "depth_prior": True, "landmarks": True}


def smooth(*shape: int, seed: int) -> torch.Tensor:
    coarse = torch.randn(*shape[:2], 3, 3, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, size=shape[2:], mode="bicubic")


@pytest.fixture
def planes() -> Triplane:
    image = torch.rand(2, 5, 32, 32)
    image[:, 3:] = 1
    depth = torch.cat([torch.full((2, 1, 16, 16), 0.3), torch.full((2, 1, 16, 16), -0.2)], dim=1)
    given = InputView(image, smooth(2, 16, 16, 16, seed=4), depth, torch.rand(2, 19, 3) * 1.6 - 0.8)
    return Triplane(*(smooth(2, 8, 16, 16, seed=s) for s in (1, 2, 3)), given)


def points(count: int = 40) -> torch.Tensor:
    return torch.rand(2, count, 3, generator=torch.Generator().manual_seed(3)) * 1.2 - 0.6


def trained(**flags) -> PaperField:
    torch.manual_seed(0)
    field = PaperField(tiny_paper(**flags))
    torch.nn.init.normal_(field.sdf.weight, std=0.1)
    return field


def test_an_untrained_field_is_a_sphere(planes):
    field, at = PaperField(tiny_paper()), points()
    torch.testing.assert_close(field.distance(planes, at), (at.norm(dim=-1) - 0.5).clamp(-0.2, 0.2))
    on = torch.nn.functional.normalize(at, dim=-1) * 0.5
    torch.testing.assert_close(field(planes, on).normal, on * 2, rtol=0, atol=0.02)


def test_with_a_depth_prior_it_lies_between_front_and_back_depth(planes):
    field, at = PaperField(tiny_paper(depth_prior=True)), points()
    between = torch.maximum(at[..., 2] - 0.3, -0.2 - at[..., 2]).clamp(-0.1, 0.2)
    torch.testing.assert_close(field.distance(planes, at), between, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("flags", [{}, ALL], ids=["plain", "all flags"])
def test_forward_agrees_with_distance_and_with_color(planes, flags):
    field, at = trained(**flags), points()
    found = field(planes, at)
    torch.testing.assert_close(found.sdf, field.distance(planes, at), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.rgb, field.color(planes, at, found.normal), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(found.rgb, field.color(planes, at, -found.normal))
    torch.testing.assert_close(found.normal, torch.nn.functional.normalize(found.gradient, dim=-1))


def test_the_gradient_is_that_of_the_distance(planes):
    field, at = trained(), points(60)
    field.step = 1e-3
    step = torch.eye(3) * field.step
    central = torch.stack(
        [(field.distance(planes, at + s) - field.distance(planes, at - s)) / (2 * field.step) for s in step], dim=-1
    )
    error = (field(planes, at).gradient - central).norm(dim=-1) / central.norm(dim=-1)
    assert error.median() < 0.05


@pytest.mark.parametrize(("plane", "axes"), [("xy", (0, 1)), ("zy", (2, 1)), ("xz", (0, 2))])
def test_planes_are_read_orthographically(planes, plane, axes):
    """A point moved along a plane's normal reads the same there; moved otherwise, it does not."""
    only = {name: torch.zeros(2, 8, 16, 16) for name in ("xy", "zy", "xz")} | {plane: getattr(planes, plane)}
    field, at, reading = trained(), points(), Triplane(**only, inputs=planes.inputs)
    for axis in range(3):
        moved = at.clone()
        moved[..., axis] += 0.2
        features, also = (field.sample_features(reading, points).features for points in (at, moved))
        assert torch.allclose(features, also) == (axis not in axes)


@pytest.mark.parametrize(
    ("flag", "part"), [("pixel_features", "features"), ("depth_prior", "depth"), ("landmarks", "landmarks")]
)
def test_what_a_flag_brings_is_read_with_it_and_only_with_it(planes, flag, part):
    at = points()
    changed = vars(planes.inputs) | {part: getattr(planes.inputs, part) + 0.1}
    other = Triplane(planes.xy, planes.zy, planes.xz, InputView(**changed))
    without = Triplane(planes.xy, planes.zy, planes.xz, InputView(**(vars(planes.inputs) | {part: None})))
    on, off = trained(**{flag: True}), trained()
    assert not torch.allclose(on.distance(planes, at), on.distance(other, at))
    torch.testing.assert_close(off.distance(planes, at), off.distance(without, at), rtol=0, atol=0)


def test_ten_layers_let_the_planes_through(planes):
    """With the framework's default initial weights nothing arrives at the end of the MLP."""
    at, field = points(), PaperField(tiny_paper(field_depth=10, field_width=64))
    sampled = field.sample_features(planes, at)
    hidden = field.trunk(torch.cat([sampled.features, sampled.geometry], dim=-1))
    assert hidden.std(1).mean() > 0.02


@pytest.mark.parametrize("pixel", [False, True])
def test_a_density_field_answers_the_same_questions_but_knows_no_normal(planes, pixel):
    field, at = DensityField(tiny_paper(field="density", pixel_features=pixel)), points()
    found = field(planes, at)
    torch.testing.assert_close(found.sdf, field.distance(planes, at), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.rgb, field.color(planes, at, found.normal), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.rgb, field.color(planes, at, -found.normal), rtol=1e-4, atol=1e-5)
    assert found.gradient.abs().max() > 0
    assert found.sdf.median() > 1  # a new one is mostly empty
