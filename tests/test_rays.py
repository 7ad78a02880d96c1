import pytest
import torch

from humanlrm.camera import Cameras, look_at
from humanlrm.frame import canonical_camera
from humanlrm.rays import Rays, clip_to_box, image_rays, pixel_centres, pixel_rays


def two_cameras() -> Cameras:
    eyes = torch.tensor([[3.0, 1.0, 2.0], [-2.0, 0.5, 3.0]])
    K = torch.tensor([[90.0, 0, 31], [0, 80.0, 33], [0, 0, 1]]).expand(2, 3, 3)
    return Cameras(K, look_at(eyes, torch.zeros(2, 3)), (64, 64))


def test_points_on_a_ray_project_to_its_pixel_at_its_depth():
    cameras, pixels = two_cameras(), torch.rand(2, 7, 2) * 64
    rays = pixel_rays(cameras, pixels)
    t = torch.rand(2, 7) * 3 + 1
    seen = cameras.project(rays.at(t[..., None])[:, :, 0])
    torch.testing.assert_close(seen[..., :2], pixels, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(seen[..., 2], t * rays.cosine)


def test_directions_are_unit_vectors():
    lengths = image_rays(canonical_camera(8)).directions.norm(dim=-1)
    torch.testing.assert_close(lengths, torch.ones_like(lengths))


def test_the_middle_ray_passes_the_box_between_its_front_and_back():
    rays = pixel_rays(canonical_camera(8), torch.tensor([[[4.0, 4.0]]]))
    torch.testing.assert_close(rays.at(torch.stack([rays.near, rays.far], -1))[0, 0, :, 2], torch.tensor([1.0, -1.0]))


@pytest.mark.parametrize("where", ["inside", "outside"])
def test_spans_agree_with_dense_sampling(where):
    origins = torch.rand(1, 200, 3) * 1.8 - 0.9 if where == "inside" else torch.randn(1, 200, 3) * 2
    directions = torch.nn.functional.normalize(torch.randn(1, 200, 3), dim=-1)
    near, far = clip_to_box(origins, directions)
    t = torch.linspace(0, 12, 6001)
    inside = ((origins[:, :, None] + t[:, None] * directions[:, :, None]).abs() < 1).all(-1)
    length = inside.sum(-1) * float(t[1])
    torch.testing.assert_close(far - near, length, rtol=0, atol=0.006)
    hits = length > 0.02
    torch.testing.assert_close(near[hits], t[inside.int().argmax(-1)][hits], rtol=0, atol=0.003)
    assert bool((near >= 0).all())


def test_rays_parallel_to_a_face_are_clipped_too():
    origins = torch.tensor([[[0.5, 0.0, 3.0], [1.5, 0.0, 3.0]]])
    near, far = clip_to_box(origins, torch.tensor([0.0, 0.0, -1.0]).expand(1, 2, 3))
    torch.testing.assert_close(torch.stack([near[0, 0], far[0, 0]]), torch.tensor([2.0, 4.0]))
    assert near[0, 1] == far[0, 1]


def test_a_moved_ray_meets_the_moved_point():
    turn = look_at(torch.tensor([1.0, 2.0, 2.0]), torch.zeros(3))
    scale, shift = 0.7, torch.tensor([0.1, -0.2, 0.3])
    similarity = torch.eye(4)
    similarity[:3, :3], similarity[:3, 3] = scale * turn[:3, :3], shift
    rays = pixel_rays(canonical_camera(8), torch.tensor([[[2.0, 5.0]]]))
    moved = rays.moved(similarity[None])
    t = torch.tensor([[[3.7]]])
    expected = rays.at(t) @ similarity[:3, :3].T + shift
    torch.testing.assert_close(moved.at(t * scale), expected)
    assert moved.directions.norm(dim=-1) == pytest.approx(1)
    torch.testing.assert_close(t * scale * moved.cosine[..., None], t * rays.cosine[..., None] * scale)
    torch.testing.assert_close(moved.near, clip_to_box(moved.origins, moved.directions)[0])


def test_images_are_walked_row_after_row():
    torch.testing.assert_close(
        pixel_centres((2, 3)), torch.tensor([[0.5, 0.5], [1.5, 0.5], [2.5, 0.5], [0.5, 1.5], [1.5, 1.5], [2.5, 1.5]])
    )
    assert image_rays(two_cameras()).near.shape == (2, 64 * 64)


def test_grouping_puts_views_behind_each_other():
    numbers = torch.arange(6.0)
    vectors = numbers[:, None, None].expand(6, 2, 3)
    rays = Rays(vectors, vectors, vectors[..., 0], vectors[..., 0], vectors[..., 0]).grouped(2)
    torch.testing.assert_close(rays.near, torch.tensor([[0, 0, 1, 1, 2, 2], [3, 3, 4, 4, 5, 5.0]]))


def test_parts_are_the_same_rays():
    rays = image_rays(two_cameras())
    torch.testing.assert_close(rays.part(5, 9).directions, rays.directions[:, 5:9])
