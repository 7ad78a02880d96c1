import numpy as np

from humanlrm.texture.palette import pull_to_palette, pull_to_twin

WHITE, BLUE, RED = np.ones(3, np.float32), np.array([0.1, 0.2, 0.7], np.float32), np.array([0.9, 0.1, 0.1], np.float32)


def clothed(count: int = 4000):
    """A limb whose front is white above 0.5 and blue below; half of the places are seen."""
    height = np.linspace(0, 1, count).astype(np.float32)
    seen = np.arange(count) % 2 == 0
    shown = np.where(height[:, None] > 0.5, WHITE, BLUE)
    return height, seen, shown


def test_between_two_clothes_a_guess_becomes_the_one_that_it_is_more_like():
    height, seen, shown = clothed()
    limb = np.zeros(len(height), int)
    guess = (shown + 0.35 * (WHITE + BLUE - 2 * shown)).astype(np.float32)  # a third of the way to the other
    found = pull_to_palette(guess, shown, seen, limb, height)
    np.testing.assert_array_equal(found[seen], guess[seen])
    before, after = (np.abs(colors - shown)[~seen].mean() for colors in (guess, found))
    assert after < 0.4 * before


def test_prints_and_other_limbs_are_no_palette():
    height, seen, _ = clothed()
    limb = (np.arange(len(height)) % 4 > 1).astype(int)
    shown = np.where(limb[:, None] == 1, RED, WHITE)
    printed = seen & (np.arange(len(height)) % 40 == 0)
    shown = np.where(printed[:, None], RED, shown)
    guess = np.tile(np.array([0.9, 0.5, 0.5], np.float32), (len(height), 1))
    found = pull_to_palette(guess, shown, seen, limb, height)
    here = ~seen & (limb == 0)
    assert np.abs(found[here] - WHITE).mean() < 0.4 * np.abs(guess[here] - WHITE).mean()


def test_where_too_little_is_seen_a_guess_stays():
    height, seen, shown = clothed()
    limb, guess = np.zeros(len(height), int), np.full((len(height), 3), 0.5, np.float32)
    few = seen & (np.cumsum(seen) < 30)
    np.testing.assert_array_equal(pull_to_palette(guess, shown, few, limb, height), guess)
    low = seen & (height < 0.5)
    found = pull_to_palette(guess, shown, low, limb, height)
    np.testing.assert_array_equal(found[height > 0.6], guess[height > 0.6])
    assert (found[~seen & (height < 0.4)] != 0.5).all()


def twins(count: int = 4000):
    """Two limbs as long as each other; every other place of the second is seen, of the first only what is above 0.8."""
    limb = np.arange(count) % 2
    height = np.repeat(np.linspace(0, 1, count // 2), 2).astype(np.float32)
    seen = (np.arange(count) % 4 == 1) | ((limb == 0) & (height > 0.8) & (np.arange(count) % 4 == 0))
    shown = np.where(height[:, None] > 0.5, WHITE, BLUE)
    return limb, height, seen, shown, np.full((count, 3), 0.4, np.float32)


def test_what_is_not_seen_of_a_limb_wears_what_its_twin_wears_there():
    limb, height, seen, shown, guess = twins()
    found = pull_to_twin(guess, shown, seen, limb, height, np.array([1, 0]))
    here = (limb == 0) & (height < 0.6) & (np.abs(height - 0.5) > 0.06)
    assert np.abs(found[here] - shown[here]).mean() < 0.4 * np.abs(guess[here] - shown[here]).mean()
    np.testing.assert_array_equal(found[limb == 1], guess[limb == 1])


def test_where_a_limb_is_seen_or_nothing_is_its_twin_a_guess_stays():
    limb, height, seen, shown, guess = twins()
    found = pull_to_twin(guess, shown, seen, limb, height, np.array([1, 0]))
    near = (limb == 0) & (height > 0.75)
    np.testing.assert_array_equal(found[near], guess[near])
    # It begins softly.
    steps = np.abs(np.diff(found[(limb == 0) & (height > 0.55)], axis=0))
    assert steps.max() < 0.05
    alone = pull_to_twin(guess, shown, seen, limb, height, np.array([0, 1]))
    np.testing.assert_array_equal(alone, guess)
    nobody = pull_to_twin(guess, shown, seen & (limb == 0), limb, height, np.array([1, 0]))
    np.testing.assert_array_equal(nobody[limb == 0], guess[limb == 0])
