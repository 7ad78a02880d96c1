"""A scan as a solid: what lies inside of it does not count as surface."""

from dataclasses import replace

import numpy as np
import trimesh

from humanlrm.body.landmarks import INDEX
from humanlrm.data.render.solid import SolidScan
from humanlrm.data.scan import Scan


def two_balls(inside: float = 0.1) -> Scan:
    """A ball of 30 cm with a ball of 10 cm inside, both facing outward."""
    outer, inner = trimesh.creation.icosphere(3, 0.3), trimesh.creation.icosphere(3, inside)
    both = trimesh.util.concatenate([outer, inner])
    faces = both.faces
    uv = np.zeros((1, 2), np.float32)
    return Scan(
        "balls", "test", "CC0-1.0", both.vertices.astype(np.float32), faces, uv, np.zeros_like(faces),
        np.zeros((1, 1, 3), np.uint8),
    )  # fmt: skip


def test_faces_inside_the_solid_are_not_outer():
    scan = two_balls()
    radius = np.linalg.norm(scan.vertices[scan.faces].mean(1), axis=1)
    np.testing.assert_array_equal(SolidScan(scan).outer, radius > 0.2)


def test_distance_ignores_what_lies_inside():
    points = np.array([[0.0, 0, 0], [0.09, 0, 0], [0.11, 0, 0], [0.4, 0, 0]])
    np.testing.assert_allclose(SolidScan(two_balls()).signed_distance(points), [-0.3, -0.21, -0.19, 0.1], atol=5e-3)


def test_winding_number_is_zero_outside():
    outside, inside = SolidScan(two_balls()).winding_number(np.array([[0.5, 0, 0], [0.2, 0, 0]]))
    assert abs(outside) < 0.02
    assert abs(inside - 1) < 0.02


def test_rays_and_nearest_faces_agree_with_winding_numbers(person):
    points = person.vertices[::7] + np.random.default_rng(0).normal(0, 0.03, size=person.vertices[::7].shape)
    solid = SolidScan(person)
    distance, inside = solid.signed_distance(points).astype(np.float64), solid.winding_number(points) > 0.5
    clear = np.abs(distance) > 0.003
    assert (distance[clear & inside] < 0).all()
    assert (distance[clear & ~inside] < 0).mean() < 0.05  # the mouth
    assert 0.1 < inside.mean() < 0.9


def hollow(radius: float) -> Scan:
    """A ball with a concentric ball that faces inward, so that the middle is empty."""
    shell = two_balls(radius)
    faces = shell.faces.copy()
    inner = np.linalg.norm(shell.vertices[faces].mean(1), axis=1) < 0.2
    faces[inner] = faces[inner][:, ::-1]
    return replace(shell, faces=faces, uv_faces=np.zeros_like(faces))


def test_a_cavity_that_no_ray_enters_is_outside():
    distance = SolidScan(hollow(0.15)).signed_distance(np.array([[0.0, 0, 0], [0.2, 0, 0]]))
    np.testing.assert_allclose(distance, [0.15, -0.05], atol=5e-3)


def test_a_pocket_that_no_ray_enters_is_inside():
    scan = hollow(0.04)
    solid = SolidScan(scan)
    radius = np.linalg.norm(scan.vertices[scan.faces].mean(1), axis=1)
    np.testing.assert_array_equal(solid.outer, radius > 0.2)
    np.testing.assert_allclose(solid.signed_distance(np.array([[0.0, 0, 0], [0.2, 0, 0]])), [-0.3, -0.1], atol=5e-3)


def test_the_mouth_of_a_person_is_inside(person):
    head, nose, neck = (person.landmarks[INDEX[name]].astype(np.float64) for name in ("head", "nose", "neck"))
    down = (neck - head) / np.linalg.norm(neck - head)
    mouth = nose + 0.25 * (head - nose) + 0.03 * down + np.random.default_rng(0).normal(0, 0.004, (20, 3))
    solid = SolidScan(person)
    assert (solid.signed_distance(mouth) < 0).all()
