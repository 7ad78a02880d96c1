import numpy as np

from humanlrm.body.landmarks import BONE_RADII, BONES, COUNT, INDEX, LANDMARKS, MIRROR


def test_mirroring_twice_gives_the_landmarks_back():
    np.testing.assert_array_equal(MIRROR[MIRROR], np.arange(COUNT))


def test_mirroring_swaps_sides_and_keeps_the_middle():
    for name, image in zip(LANDMARKS, MIRROR, strict=True):
        other = LANDMARKS[image]
        if name.startswith(("left_", "right_")):
            assert name.split("_")[1] == other.split("_")[1]
            assert name != other
        else:
            assert name == other


def test_names_are_unique_and_indexed():
    assert len(set(LANDMARKS)) == COUNT
    assert all(LANDMARKS[index] == name for name, index in INDEX.items())


def test_every_bone_joins_two_real_landmarks_and_has_a_radius():
    assert BONES.min() >= 0
    assert BONES.max() < COUNT
    assert (BONES[:, 0] != BONES[:, 1]).all()
    assert BONE_RADII.shape == (len(BONES),)
    assert (BONE_RADII > 0).all()


def test_the_mirror_image_of_every_bone_is_a_bone_of_the_same_radius():
    radius = {frozenset(bone): r for bone, r in zip(BONES.tolist(), BONE_RADII, strict=True)}
    assert len(radius) == len(BONES)
    for bone, r in radius.items():
        assert radius[frozenset(int(MIRROR[end]) for end in bone)] == r
