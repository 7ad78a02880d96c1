from itertools import pairwise

import numpy as np
import pytest

from humanlrm.body.landmarks import COUNT, INDEX
from humanlrm.people.procedural.person import make_person

SEEDS = tuple(range(12))


@pytest.fixture(scope="module")
def people():
    return [make_person(seed) for seed in SEEDS]


def _volume(scan):
    a, b, c = scan.vertices[scan.faces].transpose(1, 0, 2)
    return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)


def test_same_seed_gives_the_same_person_bit_for_bit_in_any_order(people):
    again = make_person(5)
    for name in ("vertices", "faces", "uv", "uv_faces", "texture", "landmarks"):
        assert np.array_equal(getattr(people[5], name), getattr(again, name)), name
    assert people[5].tags == again.tags


def test_different_seeds_give_different_people(people):
    assert all(
        a.vertices.shape != b.vertices.shape or not np.allclose(a.vertices, b.vertices) for a, b in pairwise(people)
    )
    assert len({scan.texture.tobytes() for scan in people}) == len(people)


def test_negative_seed_is_refused():
    with pytest.raises(ValueError, match="seed"):
        make_person(-1)


def test_every_edge_is_shared_by_two_faces_in_opposite_directions(people):
    for scan in people:
        edges = scan.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2).astype(np.int64)
        code = edges[:, 0] * len(scan.vertices) + edges[:, 1]
        back = edges[:, 1] * len(scan.vertices) + edges[:, 0]
        assert np.array_equal(np.unique(code), np.unique(back))
        assert len(np.unique(code)) == len(code)


def test_people_have_the_volume_and_size_of_people(people):
    for scan in people:
        assert np.isfinite(scan.vertices).all()
        assert 0.01 < _volume(scan) < 0.25, scan.id
        assert 0.7 < scan.tags["height_m"] < 2.15
        assert (np.ptp(scan.vertices, axis=0) < 2.6).all()
        assert scan.vertices[:, 1].min() == pytest.approx(0, abs=1e-6)


def test_landmarks_lie_in_or_on_the_person(people):
    for scan in people:
        assert scan.landmarks.shape == (COUNT, 3)
        gap = np.linalg.norm(scan.vertices[None] - scan.landmarks[:, None], axis=2).min(axis=1)
        assert (gap < 0.16).all(), scan.id
        for name in ("nose", "left_hand", "right_hand", "left_wrist", "right_toe"):
            assert gap[INDEX[name]] < 0.06, name


def test_texture_coordinates_stay_inside_the_picture(people):
    for scan in people:
        assert (scan.uv >= 0).all()
        assert (scan.uv <= 1).all()
        assert scan.uv_faces.shape == scan.faces.shape
        assert scan.uv_faces.max() < len(scan.uv)
        assert scan.texture.dtype == np.uint8
