"""The laws of what lies under what, on a tube of skin in a tube of cloth, and of hands that meet the body."""

import numpy as np
import pytest

from humanlrm.mesh.raycast import RayScene
from humanlrm.people.makehuman.covering import BoneSegments, covered, pulled_in, rings, uncovered_faces, under_shell
from humanlrm.people.poses.clearance import CLEAR_M, Probes, cleared


def tube(radius: float, low: float, high: float, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and faces of an open tube about the y axis, normals outward; a row of vertices every step."""
    around = 48
    angle = 2 * np.pi * np.arange(around) / around
    ring = np.stack([np.sin(angle), 0 * angle, np.cos(angle)], axis=1) * radius
    points = np.concatenate([ring + np.array([0, y, 0]) for y in np.linspace(low, high, rows)])
    k = np.arange(around)
    a, b = k, (k + 1) % around
    one = np.concatenate([np.stack([a, b, b + around], 1), np.stack([a, b + around, a + around], 1)])
    faces = np.concatenate([one + around * row for row in range(rows - 1)])
    return points.astype(np.float32), faces.astype(np.int32)


@pytest.fixture
def skin():
    points, faces = tube(0.1, 0.0, 1.0, 51)
    return points, faces, points * np.float32([10, 0, 10])


@pytest.mark.parametrize("radius", [0.13, 0.095])
def test_skin_below_cloth_and_skin_that_pierces_it_is_covered(skin, radius):
    points, _, normals = skin
    cloth = RayScene(*tube(radius, 0.3, 0.7, 21))
    inside = covered(points, normals, cloth)
    np.testing.assert_array_equal(inside[np.abs(points[:, 1] - 0.5) < 0.19], True)
    assert not inside[np.abs(points[:, 1] - 0.5) > 0.21].any()


def test_cloth_turned_the_other_way_covers_nothing(skin):
    points, _, normals = skin
    cloth, faces = tube(0.13, 0.3, 0.7, 21)
    assert not covered(points, normals, RayScene(cloth, faces[:, ::-1])).any()


def test_rings_count_from_the_border(skin):
    points, faces, _ = skin
    inside = (points[:, 1] > 0.29) & (points[:, 1] < 0.71)
    depth = rings(inside, faces, 4)
    np.testing.assert_array_equal(depth[~inside], 0)
    np.testing.assert_array_equal(depth[np.isclose(points[:, 1], 0.3)], 1)
    np.testing.assert_array_equal(depth[np.isclose(points[:, 1], 0.32)], 2)
    assert depth.max() == 4


def test_covered_skin_comes_out_below_the_cloth_and_bare_skin_stays(skin):
    points, faces, normals = skin
    cloth = RayScene(*tube(0.095, 0.3, 0.7, 21))
    inside = covered(points, normals, cloth)
    bones = BoneSegments(np.float32([[0, 0, 0]]), np.float32([[0, 1, 0]]), np.array([False]))
    moved = pulled_in(points, faces, inside, np.ones((len(points), 1), np.float32), bones)
    deep = np.abs(points[:, 1] - 0.5) < 0.15
    assert np.hypot(moved[deep, 0], moved[deep, 2]).max() < 0.09
    np.testing.assert_allclose(moved[:, 1], points[:, 1], atol=1e-6)
    np.testing.assert_array_equal(moved[~inside], points[~inside])


def test_covered_cloth_is_taken_away_but_not_at_the_border(skin):
    points, faces, normals = skin
    stay = uncovered_faces(points, normals, faces, RayScene(*tube(0.13, 0.3, 0.7, 21)))
    middle = points[faces].mean(1)[:, 1]
    assert not stay[np.abs(middle - 0.5) < 0.12].any()
    assert stay[np.abs(middle - 0.5) > 0.18].all()


def test_hair_in_and_through_a_hat_is_hidden_and_hair_below_stays():
    shell, faces = tube(0.1, 0.0, 0.2, 11)
    hair = np.float32([[0.08, 0.05, 0], [0.13, 0.07, 0], [0.08, -0.1, 0], [0.3, 0.05, 0]])
    hidden = under_shell(hair, np.float32([0, 0.05, 0]), RayScene(shell, faces))
    np.testing.assert_array_equal(hidden, [True, True, False, True])


def test_a_hand_in_the_body_comes_out_and_one_outside_stays():
    y = np.linspace(-1, 1, 60)
    angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    ring, height = np.meshgrid(angle, y)
    normals = np.stack([np.cos(ring), 0 * ring, np.sin(ring)], -1).reshape(-1, 3)
    trunk = normals * 0.2 + np.stack([0 * height, height, 0 * height], -1).reshape(-1, 3)
    shoulders = {"left": np.array([0.25, 0.5, 0]), "right": np.array([-0.25, 0.5, 0])}
    hands = {"left": np.array([0.17, 0.0, 0.02]), "right": np.array([-0.4, 0.0, 0])}

    def probe(turns: dict[str, np.ndarray]) -> Probes:
        arms = {s: (shoulders[s] + turns[s] @ (hands[s] - shoulders[s]))[None] for s in hands}
        return Probes(trunk, normals, arms, shoulders)

    turns = cleared({s: np.eye(3) for s in hands}, probe)
    hand = probe(turns).arms["left"][0]
    assert np.hypot(hand[0], hand[2]) > 0.2 + CLEAR_M - 0.006
    np.testing.assert_array_equal(turns["right"], np.eye(3))
