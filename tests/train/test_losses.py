import math

import pytest
import torch

from humanlrm.body.landmarks import COUNT, INDEX
from humanlrm.frame import project_ndc
from humanlrm.train.losses import (
    bone_loss,
    eikonal_loss,
    heat_loss,
    inside_box,
    landmark_loss,
    masked_l1,
    normal_loss,
    sdf_loss,
    slope_loss,
)

ORIGIN = torch.zeros(1, 1, 3)


def scalar(value: float) -> torch.Tensor:
    return torch.tensor([[value]])


def test_a_far_wrong_distance_still_has_a_gradient():
    predicted = scalar(2.0).requires_grad_()
    sdf_loss(predicted, scalar(-0.5), ORIGIN).backward()
    assert predicted.grad.item() > 0.9


def test_distances_beyond_the_limit_are_only_asked_to_reach_it():
    assert sdf_loss(scalar(0.15), scalar(3.0), ORIGIN) == pytest.approx(0)
    assert sdf_loss(scalar(-0.15), scalar(-3.0), ORIGIN) == pytest.approx(0)
    assert sdf_loss(scalar(0.05), scalar(3.0), ORIGIN) == pytest.approx(0.1)


def test_near_the_surface_an_error_weighs_three_times_as_much():
    near, far = sdf_loss(scalar(0.12), scalar(0.02), ORIGIN), sdf_loss(scalar(0.2), scalar(0.1), ORIGIN)
    assert near == pytest.approx(3 * far)


def test_points_outside_the_box_do_not_count():
    outside = torch.tensor([[[0.0, -1.2, 0.0]]])
    assert sdf_loss(scalar(1.0), scalar(0.0), outside) == 0
    torch.testing.assert_close(inside_box(torch.cat([ORIGIN, outside], 1)), torch.tensor([[1.0, 0.0]]))


def test_what_is_not_known_does_not_count_and_gets_no_gradient():
    predicted = torch.tensor([[1.0, 5.0, 3.0], [7.0, 8.0, 9.0]], requires_grad=True)
    loss = masked_l1(predicted, torch.tensor([[0.5, math.nan, 3.5], [math.nan] * 3]))
    loss.backward()
    assert float(loss) == pytest.approx(0.25)  # half of the samples know something, and are off by 0.5
    torch.testing.assert_close(predicted.grad, torch.tensor([[0.25, 0.0, -0.25], [0.0, 0.0, 0.0]]))


def test_nothing_known_is_no_loss():
    predicted = torch.ones(1, 3, requires_grad=True)
    loss = masked_l1(predicted, torch.full((1, 3), math.nan))
    loss.backward()
    assert loss == 0
    assert not predicted.grad.any()


def test_the_landmark_loss_is_the_distance_and_saturates():
    def at(distance: float) -> tuple[float, float]:
        predicted = torch.tensor([[[distance, 0.0, 0.0]]], requires_grad=True)
        loss = landmark_loss(predicted, ORIGIN)
        loss.backward()
        return float(loss), float(predicted.grad[0, 0, 0])

    assert at(0.1) == (pytest.approx(0.1, abs=1e-4), pytest.approx(1, abs=1e-3))
    assert at(0.8) == (pytest.approx(0.35, abs=1e-4), pytest.approx(0.1, abs=1e-3))
    assert at(0.3)[0] == pytest.approx(at(0.3001)[0], abs=1e-3)


def test_a_perfect_landmark_has_a_finite_gradient():
    predicted = torch.zeros(1, 1, 3, requires_grad=True)
    landmark_loss(predicted, ORIGIN).backward()
    assert predicted.grad.isfinite().all()


def test_an_unknown_landmark_neither_counts_nor_pulls():
    predicted = torch.tensor([[[0.1, 0.0, 0.0], [5.0, 0.0, 0.0]]], requires_grad=True)
    target = torch.tensor([[[0.0, 0.0, 0.0], [float("nan")] * 3]])
    loss = landmark_loss(predicted, target)
    loss.backward()
    assert loss.item() == pytest.approx(0.1, abs=1e-4)
    assert predicted.grad[0, 0, 0] == pytest.approx(1, abs=1e-3)
    assert (predicted.grad[0, 1] == 0).all()


def test_landmarks_that_are_all_unknown_cost_nothing():
    predicted = torch.zeros(1, 2, 3, requires_grad=True)
    loss = landmark_loss(predicted, torch.full((1, 2, 3), float("nan")))
    loss.backward()
    assert loss == 0
    assert (predicted.grad == 0).all()


def test_opposite_normals_are_four_apart_and_only_inside_the_box():
    up = torch.tensor([[[0.0, 1.0, 0.0]]])
    assert normal_loss(up, -up, scalar(1.0)) == 4
    assert normal_loss(up, up, scalar(1.0)) == 0
    assert normal_loss(up, -up, scalar(0.0)) == 0


def test_a_distance_has_a_gradient_of_length_one():
    unit = torch.nn.functional.normalize(torch.randn(1, 5, 3), dim=-1)
    inside = torch.ones(1, 5)
    assert eikonal_loss(unit, inside) == pytest.approx(0, abs=1e-6)
    assert eikonal_loss(3 * unit, inside) == pytest.approx(4, rel=1e-5)


def test_a_shifted_depth_map_has_the_right_slopes_and_a_tilted_one_does_not():
    y, x = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
    x, y = x.expand(1, 1, 8, 8), y.expand(1, 1, 8, 8)
    truth = 0.01 * x + 0.002 * y
    assert slope_loss(truth + 0.3, truth) == pytest.approx(0, abs=1e-6)
    assert slope_loss(truth + 0.01 * x, truth) == pytest.approx(0.005)  # along x wrong by 0.01, along y right


def test_slopes_across_a_gap_or_an_unknown_pixel_do_not_count():
    truth = torch.zeros(1, 2, 4, 6)
    truth[..., 3:] = 0.5
    truth[..., 0, 0] = torch.nan
    predicted = torch.zeros(1, 2, 4, 6, requires_grad=True)
    loss = slope_loss(predicted, truth)
    loss.backward()
    assert loss == 0
    assert predicted.grad.isfinite().all()


def test_a_heat_map_is_right_where_its_bell_is():
    target = torch.tensor([[[0.2, -0.3, 0.1], [0.0, 0.0, 0.0], [torch.nan] * 3, [3.0, 0.0, 0.0]]])
    side, ndc = 16, project_ndc(target[0, 0])
    centres = (torch.arange(side) + 0.5) / side * 2 - 1
    squared = (centres - ndc[0]) ** 2 + (-centres - ndc[1])[:, None] ** 2
    logits = torch.zeros(1, 4, side, side)
    logits[0, 0] = -squared / (2 * (1.2 * 2 / side) ** 2)
    logits.requires_grad_()
    loss = heat_loss(logits, target)
    loss.backward()
    right, flat, unknown, outside = logits.grad[0].abs().amax((1, 2))
    assert right < 1e-6
    assert flat > 1e-3
    assert unknown == outside == 0
    assert loss > 0.5
    torch.testing.assert_close(heat_loss(logits[:, :1], target[:, :1]), torch.tensor(0.0), rtol=0, atol=1e-5)


def test_bones_care_for_how_landmarks_lie_to_each_other():
    target = torch.randn(1, COUNT, 3, generator=torch.Generator().manual_seed(0))
    assert bone_loss(target + 0.1, target) < 2e-4  # all err together
    bent, turned = target.clone(), target.clone()
    bent[:, INDEX["left_hand"], 2] += 0.02
    turned[:, INDEX["nose"], 2] += 0.02
    assert float(bone_loss(turned, target)) == pytest.approx(3 * float(bone_loss(bent, target)), rel=0.1)


def test_bones_of_unknown_landmarks_do_not_count():
    target = torch.zeros(1, COUNT, 3)
    target[:, INDEX["left_knee"]] = torch.nan
    predicted = torch.zeros(1, COUNT, 3)
    predicted[:, INDEX["left_knee"]] = 1.0
    predicted.requires_grad_()
    loss = bone_loss(predicted, target)
    loss.backward()
    assert loss < 2e-4
    assert predicted.grad.isfinite().all()
