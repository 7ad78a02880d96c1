from dataclasses import replace

import numpy as np
import pytest
from analytic_bodies import BLUE, ball, blue_field, photo_of
from scipy.spatial.transform import Rotation

from humanlrm.body.mirror import Mirror
from humanlrm.body.parts import Anatomy
from humanlrm.frame import canonical_camera
from humanlrm.mesh.export import vertex_colors
from humanlrm.mesh.raycast import RayScene, pixel_rays
from humanlrm.mesh.surface import vertex_normals
from humanlrm.texture.bake import bake

UP = np.array([0.0, 1.0, 0.0])


def plane(yaw_deg: float, **changes) -> Mirror:
    """Through the middle of the ball; at 0 degrees between left and right."""
    normal = Rotation.from_rotvec(UP * np.deg2rad(yaw_deg)).apply([1.0, 0, 0])
    return replace(Mirror(np.zeros(3), normal, UP, lambda points: np.ones(len(points), np.float32)), **changes)


def pattern(points: np.ndarray, yaw_deg: float) -> np.ndarray:
    """Colours that are their own mirror image in the plane of ``yaw_deg`` alone: an eye on each side, a mouth."""
    x, y, z = Rotation.from_rotvec(UP * np.deg2rad(-yaw_deg)).apply(points).T
    eyes = np.exp(-((np.abs(x) - 0.25) ** 2 + (y - 0.2) ** 2) / 0.01) * (z > 0)
    mouth = np.exp(-(x**2 / 4 + (y + 0.2) ** 2) / 0.008) * (z > 0)
    return np.stack([0.8 - 0.7 * eyes, 0.6 - 0.3 * mouth, 0.5 - 0.3 * eyes], axis=-1)


def seen(points: np.ndarray) -> np.ndarray:
    return points[points[:, 2] > 0.2]


def test_images_lie_as_far_behind_the_plane_and_have_the_surfaces_normals():
    surface, mirror = ball(), plane(30.0)
    normals = vertex_normals(surface)
    points = surface.vertices[::50]
    images = mirror.reflect(points)
    np.testing.assert_allclose((images + points) @ mirror.normal, 0, atol=1e-6)
    np.testing.assert_allclose(mirror.reflect(images), points, atol=1e-6)
    there, outward, trust = mirror.reflect_onto(surface.vertices, normals, points)
    np.testing.assert_allclose(there, images, atol=0.003)
    np.testing.assert_allclose(outward, images / np.linalg.norm(images, axis=1, keepdims=True), atol=0.06)
    assert (trust == 1).all()


def test_an_image_beside_the_surface_is_worth_nothing():
    surface = ball()
    off = plane(0.0, origin=np.array([0.1, 0, 0]))
    _, _, trust = off.reflect_onto(
        surface.vertices, vertex_normals(surface), np.array([[0.6, 0, 0], [0, 0.6, 0]], np.float32)
    )
    assert trust[0] == 0  # 0.2 inside of the ball


@pytest.mark.parametrize("wrong_by_deg", [-25.0, 0.0, 25.0])
def test_a_plane_that_is_out_of_true_is_turned_to_where_both_halves_are_alike(wrong_by_deg):
    points = seen(ball(5).vertices)
    found = plane(10.0 + wrong_by_deg).refined(points, pattern(points, 10.0))
    assert found is not None
    assert np.rad2deg(np.arccos(np.clip(found.normal @ plane(10.0).normal, -1, 1))) < 6.5


def test_halves_that_are_not_alike_have_no_mirror():
    points = seen(ball(5).vertices)
    assert plane(0.0).refined(points, np.random.default_rng(0).random((len(points), 3))) is None


def test_where_one_half_is_seen_the_plane_stays():
    points, mirror = seen(ball(5).vertices), plane(90.0)
    assert mirror.refined(points, pattern(points, 0.0)) is mirror
    assert mirror.refined(points[:5], points[:5]) is mirror


def test_the_half_that_no_photo_shows_looks_like_the_other():
    surface, mirror = ball(5), plane(50.0)
    photo, camera = photo_of(surface, BLUE, 400), canonical_camera(400)
    origin, directions = pixel_rays(camera)
    hits = RayScene(surface.vertices, surface.faces).first_hit(origin, directions)
    places = origin + np.where(hits.hit, hits.distance, 0)[..., None] * directions
    painted = pattern(places.reshape(-1, 3), 50.0).reshape(400, 400, 3)
    photo = replace(photo, rgb=np.where(hits.hit[..., None], painted, photo.rgb).astype(np.float32))
    with_it, without = (
        bake(surface, blue_field, [photo], 256, match_colors=False, anatomy=Anatomy(mirror=m)) for m in (mirror, None)
    )
    image = mirror.reflect(with_it.vertices)
    clear = (image[:, 2] > 0.35) & (with_it.vertices[:, 2] < -0.1)
    assert clear.sum() > 100
    wanted = pattern(with_it.vertices[clear], 50.0)
    assert np.abs(vertex_colors(with_it)[clear] - wanted).mean() < 0.03
    np.testing.assert_allclose(vertex_colors(without)[clear].mean(0), BLUE, atol=0.05)
    shown = with_it.normals[:, 2] > 0.7
    np.testing.assert_allclose(vertex_colors(with_it)[shown], vertex_colors(without)[shown], atol=0.01)
