import torch

from humanlrm.body.landmarks import COUNT, INDEX
from humanlrm.model.head import Head, head_places


def _marks(turn: torch.Tensor | None = None) -> torch.Tensor:
    marks = torch.zeros(1, COUNT, 3)
    for name, place in (("neck", (0.0, 0.6, 0.0)), ("head", (0.0, 0.8, 0.0)), ("nose", (0.0, 0.8, 0.1))):
        marks[0, INDEX[name]] = torch.tensor(place)
    return marks if turn is None else marks @ turn.T


def _turn() -> torch.Tensor:
    return torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(1)))[0] * torch.tensor([1, 1, -1])


def test_the_nose_is_in_front_and_the_neck_below():
    marks = _marks()
    points = torch.stack([marks[0, INDEX["nose"]], torch.tensor([0.02, 0.8, 0.0]), torch.tensor([0.0, 0.7, 0.0])])[None]
    found = head_places(points, marks)
    torch.testing.assert_close(found.places, torch.tensor([[0.0, 0, 1], [0.2, 0, 0], [0.0, -1, 0]]))


def test_places_turn_and_grow_with_the_head():
    turn = _turn()
    turn = turn * torch.linalg.det(turn)
    points = torch.tensor([[[0.03, 0.85, 0.02], [-0.05, 0.75, 0.07]]])
    here = head_places(points, _marks()).places
    there = head_places(1.5 * points @ turn.T, 1.5 * _marks(turn)).places
    torch.testing.assert_close(here, there, atol=1e-5, rtol=0)


def test_far_points_are_not_asked_and_the_share_fades():
    points = torch.tensor([[[0.0, 0.8, 0.0], [0.0, 0.8, 0.2], [0.0, 0.8, 0.4], [0.0, -0.5, 0.0]]])
    found = head_places(points, _marks())
    assert found.inside.tolist() == [[True, True, False, False]]
    assert found.share[0] == 1
    assert 0 < found.share[1] < 1


def test_a_new_head_changes_nothing_and_learns_only_near_heads():
    head, features = Head(4), torch.randn(1, 3, 4)
    points = torch.tensor([[[0.0, 0.8, 0.1], [0.05, 0.8, 0.0], [0.0, 0.0, 0.0]]])
    sdf = torch.tensor([[0.1, -0.05, 0.2]], requires_grad=True)
    places = head_places(points, _marks())
    torch.testing.assert_close(head(places, features, sdf), sdf)
    torch.nn.init.ones_(head.trunk[-1].bias)
    found = head(places, features, sdf)
    torch.testing.assert_close(found - sdf, torch.tensor([[1.0, 1, 0]]))
    distance, bias = torch.autograd.grad(found.sum(), [sdf, head.trunk[-1].bias])
    assert distance[0, 2] == 1
    assert bias.item() == 2


def test_nobody_with_a_nose_in_the_middle_of_the_skull_breaks_it():
    marks = _marks()
    marks[0, INDEX["nose"]] = marks[0, INDEX["head"]]
    places = head_places(torch.tensor([[[0.0, 0.81, 0.02]]]), marks)
    assert places.places.isfinite().all()
