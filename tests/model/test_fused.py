"""Several views as one field: an analytic sphere that each view knows on its own side only."""

import torch

from humanlrm.frame import project_ndc
from humanlrm.model.field import Field
from humanlrm.model.fused import FusedField
from humanlrm.model.triplane import InputView, Triplane

RADIUS, WRONG = 0.6, 0.3


class HalfKnown(Field):
    """A sphere that is right on the viewer's side and too large by ``WRONG`` behind; white before, black behind."""

    def __init__(self) -> None:
        torch.nn.Module.__init__(self)

    def distance(self, planes, points):
        return points.norm(dim=-1) - RADIUS - WRONG * (points[..., 2] < 0)

    def color(self, planes, points, normals):
        return (points[..., 2:] > 0).float().expand(-1, -1, 3)


def turned(yaw: float, scale: float = 1.0) -> torch.Tensor:
    """Common frame to the frame of a view from ``yaw``."""
    c, s = torch.tensor(yaw).cos(), torch.tensor(yaw).sin()
    out = torch.eye(4)
    out[:3, :3] = scale * torch.tensor([[c, 0, -s], [0, 1, 0], [s, 0, c]])
    return out


def view(count: int, size: int = 128, known: float = 1.0) -> Triplane:
    """What views of the sphere read: silhouette and front depth."""
    line = (torch.arange(size) + 0.5) / size * 2 - 1
    y, x = torch.meshgrid(-line, line, indexing="ij")
    away = torch.stack([x, y], -1).norm(dim=-1)
    edge = project_ndc(torch.tensor([[RADIUS, 0.0, 0.0]]))[0, 0]
    mask = (away < edge).float()
    front = (1 - (away / edge).clamp(max=1) ** 2).sqrt() * RADIUS
    image = torch.stack([mask, mask, mask, mask, torch.full_like(mask, known)]).expand(count, 5, size, size)
    depth = torch.stack([front, -front]).expand(count, 2, size, size)
    return Triplane(image, image, image, InputView(image, None, depth, None))


def one_of(planes: Triplane, to_views: torch.Tensor, field: Field | None = None) -> FusedField:
    return FusedField(field or HalfKnown(), planes, to_views)


def test_each_view_decides_on_its_own_side():
    both = one_of(view(2), torch.stack([turned(0.0), turned(torch.pi)]))
    on = torch.tensor([[0.0, 0.0, RADIUS], [0.0, 0.0, -RADIUS], [0.2, 0.1, RADIUS], [0.2, 0.1, -RADIUS]])
    truth = on.norm(dim=-1) - RADIUS
    # 0.1 of 1.2: what a blind view may say.
    assert (both.distance(on) - truth).abs().max() < WRONG / 9
    alone = one_of(view(1), turned(0.0)[None])
    assert (alone.distance(on) - truth).abs().max() > 0.9 * WRONG


def test_distances_are_in_units_of_the_common_frame():
    class Sphere(HalfKnown):
        def distance(self, planes, points):
            return points.norm(dim=-1) - RADIUS

    half = one_of(view(2), torch.stack([turned(0.0, 0.5), turned(1.0, 0.5)]), Sphere())
    at = torch.tensor([[0.0, 0.0, 2 * RADIUS + 0.2], [0.0, 0.0, 2 * RADIUS - 0.2]])
    torch.testing.assert_close(half.distance(at), torch.tensor([0.2, -0.2]), atol=1e-3, rtol=0)


def test_colors_come_from_the_view_that_the_surface_faces():
    both = one_of(view(2), torch.stack([turned(0.0), turned(torch.pi)]))
    on = torch.tensor([[0.0, 0.0, RADIUS], [0.0, 0.0, -RADIUS]])
    found = both.color(on, torch.nn.functional.normalize(on, dim=-1))
    assert found.min() > 0.98


def test_what_a_view_does_not_show_it_has_little_say_in():
    first = view(1)
    unknown = view(1, known=0.0)
    image = torch.cat([first.inputs.image, unknown.inputs.image])
    depth = torch.cat([first.inputs.depth, unknown.inputs.depth])
    mixed = Triplane(image, image, image, InputView(image, None, depth, None))
    both = one_of(mixed, torch.stack([turned(0.0), turned(torch.pi)]))
    front, back = both.distance(torch.tensor([[0.0, 0.0, RADIUS], [0.0, 0.0, -RADIUS]]))
    assert front < WRONG / 9  # the first view sees it, the other one guesses
    assert 0.4 * WRONG < -back < 0.6 * WRONG  # nobody sees it: both guesses count alike
