"""The surface meets the photo's outline: on a ball whose field is a little too small, or too large."""

import pytest
import torch

from humanlrm.frame import project_ndc
from humanlrm.model.outline import meet_outline, outline_map

RADIUS, SIZE = 0.6, 256


def picture(radius: float = RADIUS) -> torch.Tensor:
    """RGB, alpha and known of a ball's silhouette (as wide as the ball in the plane z = 0)."""
    line = (torch.arange(SIZE) + 0.5) / SIZE * 2 - 1
    y, x = torch.meshgrid(-line, line, indexing="ij")
    edge = project_ndc(torch.tensor([[radius, 0.0, 0.0]]))[0, 0]
    mask = (torch.stack([x, y], -1).norm(dim=-1) < edge).float()
    return torch.stack([mask, mask, mask, mask, torch.ones_like(mask)])[None]


def zero_along(direction: tuple[float, float, float], field_radius: float, image: torch.Tensor) -> float:
    """Where the changed field of a ball is zero on a ray from the middle."""
    t = torch.linspace(0.3, 0.9, 6001)
    points = (torch.tensor(direction) * t[:, None])[None]
    found = meet_outline(points.norm(dim=-1) - field_radius, points, outline_map(image))[0]
    return float(t[(found < 0).nonzero().max()])


def test_the_map_is_the_distance_from_the_outline():
    outline = outline_map(picture())
    at = project_ndc(torch.tensor([[[RADIUS, 0.0, 0.0], [0.4, 0.0, 0.0], [0.0, -0.7, 0.0]]]))
    grid = torch.stack([at[..., 0], -at[..., 1]], -1)[:, None]
    found = torch.nn.functional.grid_sample(outline, grid, align_corners=False)[0, 0, 0]
    torch.testing.assert_close(found, torch.tensor([0.0, -0.2, 0.1]), atol=0.006, rtol=0)


@pytest.mark.parametrize("direction", [(1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (-0.6, 0.8, 0.0)])
def test_a_thin_silhouette_grows_and_a_wide_one_shrinks(direction):
    assert RADIUS - 0.002 < zero_along(direction, RADIUS - 0.005, picture()) < RADIUS + 0.004
    assert RADIUS - 0.002 < zero_along(direction, RADIUS + 0.008, picture()) < RADIUS + 0.006


def test_what_the_camera_sees_frontally_stays():
    for radius in (RADIUS - 0.005, RADIUS + 0.008):
        for z in (1.0, -1.0):
            assert zero_along((0.0, 0.0, z), radius, picture()) == pytest.approx(radius, abs=2e-4)


def test_what_something_in_front_hides_is_not_taken_away():
    image = picture()
    image[:, 3, SIZE // 2 :] = 0  # a table hides the lower half: the photo goes on, the mask does not
    assert zero_along((0.0, -1.0, 0.0), RADIUS, image) == pytest.approx(RADIUS, abs=1e-3)


def test_beyond_the_border_nobody_knows_an_outline():
    image = picture()
    image[:, 3:, SIZE // 2 :] = 0  # the photo ends at the waist
    assert zero_along((0.0, -1.0, 0.0), RADIUS, image) == pytest.approx(RADIUS, abs=1e-3)
    inside = torch.tensor([[[0.0, -0.02, 0.0], [0.1, 0.02, 0.1]]])
    sdf = inside.norm(dim=-1) - RADIUS
    torch.testing.assert_close(meet_outline(sdf, inside, outline_map(image)), sdf, atol=1e-4, rtol=0)


def test_without_a_mask_the_field_is_alone():
    image = torch.zeros(1, 5, 64, 64)
    image[:, 4] = 1
    points = torch.rand(1, 100, 3) - 0.5
    sdf = points.norm(dim=-1) - 0.3
    torch.testing.assert_close(meet_outline(sdf, points, outline_map(image)), sdf, atol=1e-3, rtol=0)
