"""Moving joints between definitions follows the body, whatever its pose, place, size and side."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from humanlrm.body.landmarks import COUNT, INDEX, LANDMARKS, MIRROR
from humanlrm.data.detector_offsets import OFFSETS, correct_offsets, fit_offsets, limb_vectors


@pytest.fixture
def points(person) -> np.ndarray:
    return person.landmarks.astype(np.float64)


def test_it_follows_rotation_size_and_place(points):
    turn = Rotation.from_euler("xyz", [0.3, 2.0, -0.7]).as_matrix()
    expected = correct_offsets(points) @ turn.T * 3 + [1, 2, 3]
    np.testing.assert_allclose(correct_offsets(points @ turn.T * 3 + [1, 2, 3]), expected)


def test_a_mirrored_body_is_moved_like_its_mirror_image(points):
    mirror = np.array([-1.0, 1, 1])
    expected = (correct_offsets(points) * mirror)[MIRROR]
    np.testing.assert_allclose(correct_offsets((points * mirror)[MIRROR]), expected, atol=1e-12)


def test_every_landmark_is_moved_by_centimetres(points):
    moved = np.linalg.norm(correct_offsets(points) - points, axis=1)
    assert (moved > 0.003).all()
    assert (moved < 0.09).all()


def test_a_landmark_whose_neighbours_are_unknown_stays_and_the_unknown_stay_unknown(points):
    points[INDEX["left_hip"]] = np.nan
    moved = correct_offsets(points)
    known = np.arange(COUNT) != INDEX["left_hip"]
    np.testing.assert_array_equal(moved[known], points[known])  # the trunk is unknown
    assert np.isnan(moved[~known]).all()


def test_the_fit_finds_the_offsets_that_were_made():
    rng = np.random.default_rng(0)
    found = np.stack([rng.normal(size=(COUNT, 3)) for _ in range(40)])
    # The neck and the head have no outward side.
    shares = np.array([OFFSETS[name.rpartition("_")[2]] for name in LANDMARKS])
    true = np.stack([points + np.einsum("jk,jkc->jc", shares, limb_vectors(points)) for points in found])
    for part, row in fit_offsets(found, true).items():
        np.testing.assert_allclose(row, OFFSETS[part], atol=0.003)
