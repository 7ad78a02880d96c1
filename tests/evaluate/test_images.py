import numpy as np
import pytest
import trimesh

from humanlrm.evaluate.case import IMAGE_PX, ColoredSurface
from humanlrm.evaluate.images import FeatureDistance, iou, person_box, psnr_db, render, ssim
from humanlrm.evaluate.renderer import BACKGROUND, Picture
from humanlrm.frame import CAMERA_DISTANCE, VIEW_SPAN
from humanlrm.mesh.preview import orbit_camera
from humanlrm.mesh.surface import TriangleSurface

RNG = np.random.default_rng(0)


def ball(radius: float = 0.5, colors=None) -> ColoredSurface:
    mesh = trimesh.creation.icosphere(4, radius)
    vertices = np.asarray(mesh.vertices, np.float32)
    colors = np.full_like(vertices, 0.8) if colors is None else colors(vertices)
    return ColoredSurface(TriangleSurface(vertices, np.asarray(mesh.faces, np.int32)), colors)


def test_psnr_of_a_constant_error_is_known():
    image = np.full((8, 8, 3), 0.5, np.float32)
    assert psnr_db(image, image + 0.1) == pytest.approx(20, abs=1e-3)
    assert psnr_db(image, image + 0.01) == pytest.approx(40, abs=1e-2)
    assert psnr_db(image, image) == 60


def test_psnr_of_noise_is_known():
    image = np.full((200, 200, 3), 0.5)
    assert psnr_db(image, image + RNG.normal(0, 0.05, image.shape)) == pytest.approx(-20 * np.log10(0.05), abs=0.05)


def test_ssim_is_one_for_equal_pictures_and_falls_with_noise():
    image = RNG.uniform(size=(40, 40, 3))
    noisy = [ssim(image, image + RNG.normal(0, sigma, image.shape)) for sigma in (0.02, 0.2)]
    assert ssim(image, image) == pytest.approx(1)
    assert 1 > noisy[0] > noisy[1] > 0


def test_iou_of_overlapping_squares_is_known():
    a, b = np.zeros((2, 10, 10), bool)
    a[:4, :4], b[2:6, :4] = True, True
    assert iou(a, b) == pytest.approx(8 / 24)
    assert iou(a, a) == iou(~a & a, ~a & a) == 1


def test_a_rendered_ball_has_the_silhouette_of_a_ball():
    picture = render(ball(), [orbit_camera(0, IMAGE_PX)])[0]
    radius = 0.5 * CAMERA_DISTANCE / np.sqrt(CAMERA_DISTANCE**2 - 0.5**2)  # its outline is nearer than its middle
    assert picture.mask.mean() == pytest.approx(np.pi * radius**2 / VIEW_SPAN**2, rel=0.02)
    np.testing.assert_allclose(picture.rgb[~picture.mask], BACKGROUND)
    np.testing.assert_allclose(picture.rgb[picture.mask], 0.8, atol=1e-5)


def test_each_side_shows_its_own_color():
    red_left = ball(colors=lambda v: np.where(v[:, :1] > 0, [1.0, 0, 0], [0, 0, 1.0]).astype(np.float32))
    left, right = render(red_left, [orbit_camera(yaw, 64) for yaw in (90, 270)])
    assert left.rgb[32, 32, 0] > 0.9
    assert right.rgb[32, 32, 2] > 0.9


def test_the_person_box_holds_the_silhouette_and_little_else():
    mask = np.zeros((100, 100), bool)
    mask[20:60, 40:50] = True
    rows, columns = person_box(mask)
    assert (rows.start, rows.stop, columns.start, columns.stop) == (17, 63, 37, 53)
    assert person_box(np.zeros((5, 5), bool)) == (slice(None), slice(None))


def test_feature_distance_is_zero_for_equal_pictures_and_grows_with_difference():
    distance = FeatureDistance()
    mask = np.zeros((64, 64), bool)
    mask[16:48, 16:48] = True
    image = RNG.uniform(size=(64, 64, 3)).astype(np.float32)
    pictures = [image, np.clip(image + 0.03 * RNG.normal(size=image.shape), 0, 1), 1 - image]
    first = distance.features([Picture(image, mask)] * 3)
    others = distance.features([Picture(p.astype(np.float32), mask) for p in pictures])
    same, near, far = distance.between(first, others, [mask] * 3)
    assert same == pytest.approx(0, abs=1e-5)
    assert 0.001 < near < far
