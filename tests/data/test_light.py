import numpy as np
import pytest

from humanlrm.data.render.light import Light, random_light

ABOVE = np.array([[0.0, 1.0, 0.0]], np.float32)
WHITE = np.ones((1, 3), np.float32)


def lamp(ambient=0.2, strength=0.5) -> Light:
    return Light(np.full(3, ambient, np.float32), ABOVE, np.full((1, 3), strength, np.float32))


def test_a_white_surface_shows_its_irradiance_in_srgb():
    seen = lamp().render(WHITE, ABOVE)
    np.testing.assert_allclose(seen**2.2, lamp().shade(ABOVE), rtol=1e-4)
    np.testing.assert_allclose(lamp().shade(ABOVE), 0.7, rtol=1e-5)


def test_a_surface_that_faces_away_gets_ambient_light_only():
    np.testing.assert_allclose(lamp().shade(-ABOVE), 0.2, rtol=1e-5)


def test_a_lamp_from_the_side_still_gives_a_little():
    side = np.array([[1.0, 0.0, 0.0]], np.float32)
    np.testing.assert_allclose(lamp().shade(side), 0.2 + 0.5 * 0.3 / 1.3, rtol=1e-5)


def test_turning_surface_and_lamp_together_changes_nothing():
    light, turn = random_light(np.random.default_rng(1)), np.diag([1.0, -1.0, -1.0]).astype(np.float32)
    turned = Light(light.ambient, light.directions @ turn.T, light.colors)
    normals = np.random.default_rng(2).normal(size=(20, 3)).astype(np.float32)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    np.testing.assert_allclose(turned.shade(normals @ turn.T), light.shade(normals), rtol=1e-4)


def test_flipping_a_normal_away_from_the_lamp_never_makes_it_brighter():
    normals = np.random.default_rng(3).normal(size=(50, 3)).astype(np.float32)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    toward = normals * np.where(normals[:, 1:2] < 0, -1, 1)
    assert (lamp().shade(toward) >= lamp().shade(-toward) - 1e-6).all()
    assert (lamp().shade(toward) > lamp().shade(-toward)).mean() > 0.9


def test_colors_stay_in_range_under_any_light_and_black_stays_black():
    normals = np.random.default_rng(4).normal(size=(50, 3)).astype(np.float32)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    for seed in range(10):
        seen = random_light(np.random.default_rng(seed)).render(np.ones((50, 3), np.float32), normals)
        assert seen.min() > 0
        assert seen.max() <= 1
    np.testing.assert_array_equal(lamp().render(0 * WHITE, ABOVE), 0)


def test_random_lamps_are_unit_vectors_and_the_seed_decides_the_light():
    a, b = (random_light(np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_allclose(np.linalg.norm(a.directions, axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(a.colors, b.colors)
    assert not np.allclose(a.colors, random_light(np.random.default_rng(6)).colors)


def test_a_white_surface_that_faces_the_light_is_bright():
    brightest = []
    for seed in range(20):
        light = random_light(np.random.default_rng(seed))
        brightest.append(light.render(np.ones((3, 3), np.float32), light.directions).max())
    assert np.median(brightest) == pytest.approx(1, abs=0.12)
