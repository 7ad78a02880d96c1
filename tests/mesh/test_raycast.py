import numpy as np
import pytest
import torch
import trimesh

from humanlrm.camera import Cameras, look_at
from humanlrm.frame import CAMERA_DISTANCE, canonical_camera
from humanlrm.mesh.raycast import RayScene, pixel_rays


def sphere(radius: float = 0.5) -> RayScene:
    ball = trimesh.creation.icosphere(5, radius)
    return RayScene(ball.vertices, ball.faces)


def test_sphere_has_analytic_front_and_back_depth():
    origin, directions = pixel_rays(canonical_camera(64))
    front, back = (cast(origin, directions).distance for cast in (sphere().first_hit, sphere().last_hit))
    a = (directions**2).sum(-1)
    b = directions @ origin
    root = b**2 - a * (CAMERA_DISTANCE**2 - 0.25)
    inside = root > 0.05
    assert inside.sum() > 300
    np.testing.assert_allclose(front[inside], ((-b - np.sqrt(np.abs(root))) / a)[inside], atol=2e-3)
    np.testing.assert_allclose(back[inside], ((-b + np.sqrt(np.abs(root))) / a)[inside], atol=2e-3)
    assert np.isinf(front[root < -0.05]).all()
    assert np.isinf(back[root < -0.05]).all()


def test_barycentrics_and_distance_name_the_same_point():
    scene, generator = sphere(), np.random.default_rng(0)
    origins = generator.normal(size=(7, 50, 3)) * 0.1 + [0, 0, 3]
    directions = generator.normal(size=(7, 50, 3)) * 0.1 + [0, 0, -2]
    hits = scene.first_hit(origins, directions)
    assert hits.hit.mean() > 0.9
    along = origins + np.where(hits.hit, hits.distance, 0)[..., None] * directions
    np.testing.assert_allclose(scene.interpolate(hits, scene.vertices)[hits.hit], along[hits.hit], atol=1e-5)


def test_misses_are_minus_one_and_infinite():
    face, barycentric, distance = sphere().first_hit(np.array([[0.0, 2, 4]]), np.array([[0.0, 0, -1]]))
    assert face[0] == -1
    assert np.isinf(distance[0])
    assert (barycentric == 0).all()


def test_the_last_hit_is_never_behind_the_origin():
    directions = np.array([[0.0, 0, 1]])
    assert not sphere().last_hit(np.array([0.0, 0, 2]), directions).hit[0]
    assert sphere().last_hit(np.zeros(3), directions).distance[0] == pytest.approx(0.5, abs=1e-3)


def test_half_of_a_sphere_hides_itself_from_a_far_point():
    scene = sphere()
    far = np.array([0.0, 0, 100])
    hidden = scene.occluded(scene.vertices * 1.0001, far)
    height = scene.vertices[:, 2]
    assert hidden[height < -0.02].all()
    assert not hidden[height > 0.02].any()


def test_what_stands_beyond_the_target_does_not_occlude():
    scene = sphere()
    assert not scene.occluded(np.array([[0.0, 0, 3]]), np.array([0.0, 0, 1]))[0]
    assert scene.occluded(np.array([[0.0, 0, 3]]), np.array([0.0, 0, -1]))[0]


def test_rays_escape_where_they_hit_nothing():
    scene, generator = sphere(), np.random.default_rng(0)
    origins, directions = generator.normal(size=(2, 300, 3)) * [[[0.5]], [[1]]]
    escapes = scene.escapes(origins, directions)
    np.testing.assert_array_equal(escapes, ~scene.first_hit(origins, directions).hit)
    assert 0.1 < escapes.mean() < 0.9


@pytest.mark.parametrize("eye", [(0.0, 0, 3), (1.5, 1, 1.2), (0.2, 0.1, 0.6), (0, 0, 0.3)])
def test_the_window_holds_every_pixel_that_shows_the_mesh(eye: tuple[float, float, float]):
    """Off the picture's middle, cut by its border, and with the mesh around the camera."""
    scene = sphere()
    K = torch.tensor([[70.0, 0, 10], [0, 70, 20], [0, 0, 1]])
    camera = Cameras(K, look_at(torch.tensor(eye), torch.zeros(3)), (48, 64))
    hit, rest = scene.first_hit(*pixel_rays(camera)).hit, np.ones((48, 64), dtype=bool)
    rest[scene.image_window(camera)] = False
    assert hit.any()
    assert not hit[rest].any()
    assert rest.any() == (np.linalg.norm(eye) > 1)


def test_pixel_rays_project_back_to_their_pixel_centres():
    K = torch.tensor([[50.0, 0, 15], [0, 60.0, 11], [0, 0, 1]])
    camera = Cameras(K, look_at(torch.tensor([1.0, 2, 3]), torch.zeros(3)), (20, 30))
    origin, directions = pixel_rays(camera)
    pixels = camera.project(torch.from_numpy(origin + 2.5 * directions).reshape(-1, 3)).reshape(20, 30, 3).numpy()
    np.testing.assert_allclose(pixels[4, 7], [7.5, 4.5, 2.5], atol=1e-3)
    np.testing.assert_allclose(pixels[..., 2], 2.5, atol=1e-4)


@pytest.mark.parametrize("faces", [np.zeros((0, 3), int), np.array([[0, 1, 9]]), np.array([[0, 1]])])
def test_broken_meshes_are_refused(faces: np.ndarray):
    with pytest.raises((ValueError, TypeError), match="RayScene"):
        RayScene(np.zeros((3, 3)), faces)
