"""Environment maps as light: harmonics hold the irradiance, the sun is taken out and put back."""

import numpy as np
import pytest

from humanlrm.data.render.environment import (
    MAPS,
    Surroundings,
    environment_light,
    expose,
    load_environments,
    map_directions,
    random_surroundings,
    split_sun,
)
from humanlrm.data.render.light import Light

COLOR = np.array([0.2, 0.5, 0.8], np.float32)


def sphere(count: int = 40) -> np.ndarray:
    normals = np.random.default_rng(0).normal(size=(count, 3)).astype(np.float32)
    return normals / np.linalg.norm(normals, axis=1, keepdims=True)


def sunny(direction: np.ndarray) -> np.ndarray:
    """A grey map with a small bright disk."""
    directions, _ = map_directions(128, 256)
    disk = directions @ direction > np.cos(0.08)
    return np.where(disk[..., None], np.float32([900, 800, 600]), np.float32(0.3)).astype(np.float32)


def test_a_constant_environment_shines_with_its_own_color_on_every_side():
    light = environment_light(split_sun(np.broadcast_to(COLOR, (64, 128, 3))), 1.0)
    np.testing.assert_allclose(light.shade(sphere()), np.broadcast_to(COLOR, (40, 3)), rtol=0.01)


def test_harmonics_agree_with_the_integral_over_a_smooth_map():
    directions, solid = map_directions(64, 128)
    radiance = (0.4 + 0.3 * directions[..., 1:2] + 0.2 * directions[..., 0:1] ** 2) * COLOR
    light, normals = environment_light(split_sun(radiance.astype(np.float32)), 0.0), sphere()
    cosine = np.clip(np.einsum("hwc,nc->hwn", directions, normals), 0, None) * solid[..., None]
    np.testing.assert_allclose(light.shade(normals), np.einsum("hwn,hwc->nc", cosine, radiance) / np.pi, rtol=0.03)


def test_the_sun_of_a_map_becomes_a_lamp_that_casts_shadows():
    toward = np.array([0.6, 0.64, 0.48], np.float32)
    light = environment_light(split_sun(sunny(toward)), 0.0)
    np.testing.assert_allclose(light.directions[0], toward, atol=0.02)
    assert 0.02 < light.shadows[0] < 0.12
    # Its radiance over its solid angle, over pi.
    expected = np.float32([900, 800, 600]) * 2 * np.pi * (1 - np.cos(0.08)) / np.pi
    np.testing.assert_allclose(light.colors[0], expected, rtol=0.06)
    np.testing.assert_allclose(light.shade(-toward[None]), 0.3, rtol=0.15)


def test_turning_a_map_turns_its_light_and_its_picture():
    toward, yaw = np.array([0, 0.6, 0.8], np.float32), 0.9
    apart = split_sun(sunny(toward))
    turned = environment_light(apart, yaw).directions[0]
    np.testing.assert_allclose(turned, [0.8 * np.sin(yaw), 0.6, 0.8 * np.cos(yaw)], atol=0.02)
    seen = Surroundings(environment_light(apart, yaw), apart.picture, yaw).look_up(np.stack([turned, -turned]))
    assert (seen[0] > seen[1] + 0.05).all()


def test_exposure_puts_the_bright_side_where_it_is_asked_for_and_calms_the_sun():
    light = expose(environment_light(split_sun(sunny(np.array([0, 0.6, 0.8], np.float32))), 0.3), 0.9)
    turn = np.linspace(0, 2 * np.pi, 100)
    upright = np.stack([np.sin(turn), 0.15 + 0 * turn, np.cos(turn)], axis=-1).astype(np.float32)
    upright /= np.linalg.norm(upright, axis=1, keepdims=True)
    brightness = light.shade(upright).mean(1)
    assert np.percentile(brightness, 80) == pytest.approx(0.9, rel=0.1)
    assert brightness.min() > 0.1


def test_lamps_have_no_picture():
    lamps = Light(np.ones(3, np.float32), np.float32([[0, 1, 0]]), np.ones((1, 3), np.float32))
    with pytest.raises(ValueError, match="no picture"):
        Surroundings(lamps).look_up(np.ones((1, 3)))


def test_an_asset_pack_without_maps_means_lamps(tmp_path):
    assert load_environments(tmp_path) == ()
    assert random_surroundings(np.random.default_rng(0)).picture is None


def test_maps_are_read_from_an_asset_pack_and_damaged_ones_are_named(tmp_path):
    for folder, content in (("good", None), ("bad", b"PK no zip")):
        path = tmp_path / folder / MAPS
        path.parent.mkdir(parents=True)
        if content is None:
            np.savez(path, a=np.full((64, 128, 3), 0.5, np.float16))
        else:
            path.write_bytes(content)
    maps = load_environments(tmp_path / "good")
    assert len(maps) == 1
    assert any(random_surroundings(np.random.default_rng(k), maps).picture is not None for k in range(5))
    with pytest.raises(ValueError, match="hdri_256x128"):
        load_environments(tmp_path / "bad")
