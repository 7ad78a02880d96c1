"""Laws of prints: they are on the front of the trunk and nowhere else, and shared texels get none."""

import numpy as np
import pytest

from humanlrm.mesh.surface import TriangleSurface
from humanlrm.people import chest_print
from humanlrm.people.chest_print import find_chest, with_print

SIZE = (64, 64)
SHOULDERS = np.array([[0.2, 1.4, 0.0], [-0.2, 1.4, 0.0]])


def board(back_apart: bool) -> tuple[TriangleSurface, np.ndarray, np.ndarray]:
    """A board 0.4 m wide and 0.5 m high: its front on the left half of the texture, its back on the right half, or on
    the same."""
    x, y = np.array([-0.2, 0.2, 0.2, -0.2]), np.array([0.9, 0.9, 1.4, 1.4])
    vertices = np.concatenate([np.stack([x, y, np.full(4, z)], axis=1) for z in (0.1, -0.1)]).astype(np.float32)
    faces = np.array([[0, 1, 2], [0, 2, 3], [4, 6, 5], [4, 7, 6]], np.int32)
    square = np.array([[0, 0], [0.5, 0], [0.5, 1], [0, 1]], np.float32)
    uv = np.concatenate([square, square + ([0.5, 0] if back_apart else [0, 0])]).astype(np.float32)
    return TriangleSurface(vertices, faces), uv, faces


def test_the_front_of_the_trunk_is_found_with_places_in_distances_of_the_shoulders():
    surface, uv, uv_faces = board(back_apart=True)
    chest = find_chest(SIZE, surface, uv, uv_faces, SHOULDERS, np.ones(4, bool))
    column, row = chest.texels % 64, chest.texels // 64
    assert column.max() < 33  # a texel of margin
    assert len(chest.texels) > 0.9 * 32 * 64
    np.testing.assert_allclose(chest.x, np.clip((column + 0.5) / 32 - 0.5, -0.5, 0.5), atol=0.02)
    np.testing.assert_allclose(chest.y, -1.25 * (row + 0.5) / 64, atol=0.02)


def test_limbs_and_texels_that_the_back_shares_get_no_print():
    surface, uv, uv_faces = board(back_apart=True)
    assert not len(find_chest(SIZE, surface, uv, uv_faces, SHOULDERS, np.zeros(4, bool)).texels)
    surface, uv, uv_faces = board(back_apart=False)
    assert not len(find_chest(SIZE, surface, uv, uv_faces, SHOULDERS, np.ones(4, bool)).texels)


@pytest.mark.parametrize("kind", list(chest_print._KINDS))
def test_a_print_changes_some_of_the_chest_and_nothing_else(kind, monkeypatch):
    monkeypatch.setattr(chest_print, "_SHARE", 1.0)
    monkeypatch.setattr(chest_print, "_KINDS", {kind: chest_print._KINDS[kind]})
    monkeypatch.setattr(chest_print, "_SHARES", (1.0,))
    surface, uv, uv_faces = board(back_apart=True)
    chest = find_chest(SIZE, surface, uv, uv_faces, SHOULDERS, np.ones(4, bool))
    plain = np.full((*SIZE, 3), 90, np.uint8)
    shares = []
    for seed in range(20):
        printed = with_print(plain, chest, np.random.default_rng(seed))
        changed = np.flatnonzero((printed != plain).any(-1))
        assert np.isin(changed, chest.texels).all()
        shares.append(len(changed) / len(chest.texels))
        again = with_print(plain, chest, np.random.default_rng(seed))
        np.testing.assert_array_equal(again, printed)
    assert 0.005 < np.median(shares) < 0.6


def test_most_people_have_no_print():
    surface, uv, uv_faces = board(back_apart=True)
    chest = find_chest(SIZE, surface, uv, uv_faces, SHOULDERS, np.ones(4, bool))
    plain = np.full((*SIZE, 3), 90, np.uint8)
    bare = [with_print(plain, chest, np.random.default_rng(seed)) is plain for seed in range(200)]
    assert 0.5 < np.mean(bare) < 0.7
