import numpy as np
import pytest
import torch

from humanlrm.camera import Cameras, from_opengl, look_at, to_opengl


def camera(eye=(0.5, 0.8, 3.0), target=(0.1, 0.0, -0.2), focal_px=300.0) -> Cameras:
    K = torch.tensor([[focal_px, 0, 90], [0, focal_px * 1.1, 70], [0, 0, 1]], dtype=torch.float64)
    return Cameras(
        K, look_at(torch.tensor(eye, dtype=torch.float64), torch.tensor(target, dtype=torch.float64)), (140, 180)
    )


def test_a_batch_of_cameras_projects_like_its_members():
    a, b = camera(), camera(eye=(-2.0, 0.3, 2.0))
    both = Cameras(torch.stack([a.K, b.K]), torch.stack([a.w2c, b.w2c]), a.size_px)
    points = torch.rand(2, 7, 3, dtype=torch.float64)
    torch.testing.assert_close(both.project(points), torch.stack([a.project(points[0]), b.project(points[1])]))


def test_c2w_is_the_inverse_of_w2c():
    here = camera()
    torch.testing.assert_close(here.c2w @ here.w2c, torch.eye(4, dtype=torch.float64))


def test_the_target_is_seen_at_the_principal_point_at_its_distance():
    here = camera()
    x, y, z = here.project(torch.tensor([[0.1, 0.0, -0.2]], dtype=torch.float64))[0]
    assert (x, y) == (pytest.approx(90), pytest.approx(70))
    assert z == pytest.approx(np.linalg.norm([0.4, 0.8, 3.2]))


def test_up_in_the_world_is_up_in_the_image_and_points_behind_have_negative_z():
    here = camera(eye=(0.0, 0.0, 4.0), target=(0.0, 0.0, 0.0))
    points = torch.tensor([[0, 0.5, 0], [0, -0.5, 0], [0.5, 0, 0], [0, 0.1, 5]], dtype=torch.float64)
    above, below, right, behind = here.project(points)
    assert above[1] < 70 < below[1]
    assert right[0] > 90
    assert behind[2] == pytest.approx(-1)


def test_converting_to_opengl_and_back_changes_nothing():
    w2c = camera().w2c
    torch.testing.assert_close(from_opengl(to_opengl(w2c)), w2c, rtol=0, atol=0)


def test_an_opengl_camera_looks_along_negative_z_with_y_up():
    w2c = to_opengl(camera(eye=(0.0, 0.0, 4.0), target=(0.0, 0.0, 0.0)).w2c)
    torch.testing.assert_close(w2c[:3, :3], torch.eye(3, dtype=torch.float64))
    assert w2c[2, 3] == -4


def test_looking_along_up_is_refused():
    with pytest.raises(ValueError, match="parallel to up"):
        look_at(torch.tensor([0.0, 3.0, 0.0]), torch.zeros(3))
