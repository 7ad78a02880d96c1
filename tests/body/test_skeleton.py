import pytest
import torch

from humanlrm.body.landmarks import BONE_RADII, BONES, COUNT, INDEX
from humanlrm.body.skeleton import SkeletonCapsules


def naive(points: torch.Tensor, landmarks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Distance to each segment as one would write it on paper."""
    a, b = landmarks[:, BONES[:, 0]], landmarks[:, BONES[:, 1]]
    ab, ap = (b - a)[:, None], points[:, :, None] - a[:, None]
    t = ((ap * ab).sum(-1) / (ab * ab).sum(-1)).clamp(0, 1)
    return (ap - t[..., None] * ab).norm(dim=-1) - torch.from_numpy(BONE_RADII), t


@pytest.mark.parametrize("dimensions", [2, 3])
def test_distances_equal_the_naive_ones(dimensions):
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(2, 40, dimensions, generator=generator) * 2 - 1
    landmarks = torch.rand(2, COUNT, dimensions, generator=generator) * 2 - 1
    distance, t = SkeletonCapsules().distances(points, landmarks)
    expected, expected_t = naive(points, landmarks)
    torch.testing.assert_close(distance, expected, rtol=1e-3, atol=2e-3)
    torch.testing.assert_close(t, expected_t, rtol=1e-3, atol=1e-3)


def test_a_point_on_a_bone_is_one_radius_inside():
    landmarks = torch.rand(1, COUNT, 3)
    middle = (landmarks[:, BONES[:, 0]] + landmarks[:, BONES[:, 1]]) / 2
    distance, t = SkeletonCapsules().distances(middle, landmarks)
    own = torch.diagonal(distance[0])
    torch.testing.assert_close(own, -torch.from_numpy(BONE_RADII), rtol=0, atol=3e-3)
    torch.testing.assert_close(torch.diagonal(t[0]), torch.full((len(BONES),), 0.5), rtol=0, atol=1e-3)


def test_a_bone_without_length_is_a_ball():
    distance, _ = SkeletonCapsules().distances(torch.tensor([[[0.5, 0.0, 0.0]]]), torch.zeros(1, COUNT, 3))
    torch.testing.assert_close(distance[0, 0], 0.5 - torch.from_numpy(BONE_RADII), rtol=0, atol=1e-4)


def standing() -> torch.Tensor:
    """Everything at the origin but the right lower arm, which lies to the upper right (viewer's) at z = 0.3."""
    landmarks = torch.zeros(1, COUNT, 3)
    landmarks[:, INDEX["right_elbow"]] = torch.tensor([0.6, 0.5, 0.3])
    landmarks[:, INDEX["right_wrist"]] = torch.tensor([0.6, 0.7, 0.3])
    landmarks[:, INDEX["right_hand"]] = torch.tensor([0.6, 0.8, 0.3])
    return landmarks


def test_a_picture_shows_bones_where_they_are_with_their_depth():
    picture = SkeletonCapsules().rasterize(standing(), (0, 1, 2), 40)
    row, column = int((1 - 0.6) / 2 * 40), int((1 + 0.6) / 2 * 40)
    mean, _, distance, nearest = picture[0, :, row, column]
    assert float(mean) == pytest.approx(0.3, abs=0.03)
    assert float(nearest) == pytest.approx(0.3, abs=0.03)
    assert distance < 0
    assert picture[0, 2, 39 - row, column] > 0.1  # nothing below


def test_the_side_picture_has_z_to_the_right():
    picture = SkeletonCapsules().rasterize(standing(), (2, 1, 0), 40)
    row, column = int((1 - 0.6) / 2 * 40), int((1 + 0.3) / 2 * 40)
    assert picture[0, 2, row, column] < 0
    assert float(picture[0, 0, row, column]) == pytest.approx(0.6, abs=0.05)


def test_in_the_view_of_the_camera_near_bones_are_further_from_the_middle():
    flat = SkeletonCapsules().rasterize(standing(), (0, 1, 2), 64)[0, 2]
    seen = SkeletonCapsules().rasterize(standing(), (0, 1, 2), 64, perspective=True)[0, 2]

    def top(inside: torch.Tensor) -> int:
        return int(inside.any(1).nonzero()[0])

    # One image width is 2.1 units at z = 0, and 0.3 nearer things look 8% larger; together 3% larger.
    assert top(seen < 0) <= top(flat < 0)
    landmarks = standing()
    landmarks[..., 2] += 0.5 * (landmarks[..., 2] > 0)
    assert top(SkeletonCapsules().rasterize(landmarks, (0, 1, 2), 64, perspective=True)[0, 2] < 0) < top(seen < 0)


def test_a_head_that_the_field_detached_is_held_by_the_neck_and_the_rest_stays():
    marks = torch.zeros(1, COUNT, 3)
    marks[0, INDEX["neck"]], marks[0, INDEX["head"]] = torch.tensor([0.0, 0.3, 0.0]), torch.tensor([0.0, 0.6, 0.0])
    far = [i for i in range(COUNT) if i not in (INDEX["neck"], INDEX["head"])]
    marks[0, far] = torch.tensor([0.0, 0.0, 0.0])
    line = torch.linspace(0, 0.6, 121)
    axis = torch.stack([torch.zeros_like(line), line, torch.zeros_like(line)], -1)[None]

    def sdf(points):  # a trunk and a head, 4 cm apart
        trunk = (points - torch.tensor([0.0, 0.1, 0.0])).norm(dim=-1) - 0.25
        return torch.minimum(trunk, (points - torch.tensor([0.0, 0.55, 0.0])).norm(dim=-1) - 0.16)

    assert (sdf(axis) > 0).any()
    assert (SkeletonCapsules().bridge_gaps(sdf(axis), axis, marks) < 0).all()
    around = torch.rand(1, 500, 3) * 2 - 1
    beside = around[:, around[0, :, 0].abs() > 0.15]
    torch.testing.assert_close(SkeletonCapsules().bridge_gaps(sdf(beside), beside, marks), sdf(beside))


def test_bones_far_outside_of_the_body_are_not_drawn():
    marks = torch.rand(1, COUNT, 3) - 0.5
    points = torch.rand(1, 500, 3) - 0.5
    nothing = torch.full((1, 500), 0.2)
    assert (SkeletonCapsules().bridge_gaps(nothing, points, marks) > 0.1).all()


def test_an_arm_that_the_field_lost_is_there_and_what_is_there_stays():
    marks = torch.zeros(1, COUNT, 3)
    elbow, wrist = torch.tensor([0.3, 0.2, 0.0]), torch.tensor([0.3, -0.1, 0.0])
    marks[0, INDEX["left_elbow"]], marks[0, INDEX["left_wrist"]] = elbow, wrist
    axis = (elbow + torch.linspace(0.2, 0.8, 7)[:, None] * (wrist - elbow))[None]
    capsules, _ = SkeletonCapsules().distances(axis, marks)
    lost, nowhere, there = torch.full((1, 7), 0.02), torch.full((1, 7), 0.2), capsules.amin(-1)
    assert (SkeletonCapsules().enforce_limbs(lost, capsules) < -0.015).all()
    assert (SkeletonCapsules().enforce_limbs(nowhere, capsules) > 0.1).all()
    torch.testing.assert_close(SkeletonCapsules().enforce_limbs(there, capsules), there)
