"""Input errors stay pictures: in range, where they belong, and really there."""

import numpy as np
import pytest

from humanlrm.data.augment.image_errors import camera_errors, mask_errors, random_tone


def picture(seed: int = 0) -> np.ndarray:
    """A noisy square of 96 px with a bright person-like disk."""
    y, x = np.mgrid[:96, :96]
    inside = (y - 48) ** 2 + (x - 48) ** 2 < 30**2
    image = np.random.default_rng(seed).uniform(0.2, 0.8, size=(96, 96, 5)).astype(np.float32)
    image[..., 3] = inside
    image[..., 4] = 1
    image[:, :8, 4] = image[:, :8, 3] = 0
    return image


def test_tones_are_one_function_for_pictures_and_colors():
    for seed in range(20):
        tone, image = random_tone(np.random.default_rng(seed)), picture()[..., :3]
        whole = tone(image)
        np.testing.assert_allclose(tone(image[10, 20:25]), whole[10, 20:25], atol=1e-6)
        assert whole.min() >= 0
        assert whole.max() <= 1


def test_tones_keep_their_order_in_brightness():
    grey = np.repeat(np.linspace(0, 1, 30)[:, None], 3, axis=1).astype(np.float32)
    for seed in range(20):
        assert (np.diff(random_tone(np.random.default_rng(seed))(grey).mean(-1)) >= -1e-6).all()


def test_camera_errors_touch_the_colors_only_and_often():
    changed = 0
    for seed in range(40):
        out = camera_errors(picture(), np.random.default_rng(seed))
        np.testing.assert_array_equal(out[..., 3:], picture()[..., 3:])
        assert out.min() >= 0
        assert out.max() <= 1
        assert abs(out[..., :3].mean() - picture()[..., :3].mean()) < 0.03
        changed += not np.array_equal(out, picture())
    assert 20 < changed < 40


def test_mask_errors_touch_the_mask_only_and_never_what_is_not_shown():
    changes = []
    for seed in range(60):
        out = mask_errors(picture(), np.random.default_rng(seed))
        np.testing.assert_array_equal(out[..., [0, 1, 2, 4]], picture()[..., [0, 1, 2, 4]])
        assert out[..., 3].min() >= 0
        assert out[..., 3].max() <= 1
        assert (out[:, :8, 3] == 0).all()
        changes.append(np.abs(out[..., 3] - picture()[..., 3]).sum() / picture()[..., 3].sum())
    assert 0.25 < np.mean(np.array(changes) > 0) < 0.75
    assert np.max(changes) < 0.6


@pytest.mark.parametrize("errors", [camera_errors, mask_errors])
def test_the_seed_decides_the_errors(errors):
    a, b = (errors(picture(), np.random.default_rng(9)) for _ in range(2))
    np.testing.assert_array_equal(a, b)
