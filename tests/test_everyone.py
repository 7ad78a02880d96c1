"""Everybody in a photo."""

from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from humanlrm.cli import main
from humanlrm.everyone import count_people, reconstruct_everyone
from humanlrm.photo.blazepose import PoseDetector
from humanlrm.photo.load import PhotoError, load_photo
from humanlrm.photo.segment import segment
from humanlrm.reconstruct import Reconstructor, Selection, Settings

AVATAR = Path(__file__).parents[1] / "examples" / "avatar.jpg"
SMALL = Settings(resolution=64, texture_px=64, faces=1000)


@pytest.fixture(scope="module")
def pair() -> np.ndarray:
    """A photo of two people."""
    person = np.asarray(Image.open(AVATAR).convert("RGB"))
    return np.concatenate([person, person[:, ::-1]], axis=1)


@pytest.fixture(scope="module")
def reconstructor() -> Reconstructor:
    return Reconstructor(threads=1)


class ShyDetector(PoseDetector):
    """A detector that finds only one person in the untouched photo."""

    def __init__(self, photo: np.ndarray) -> None:
        super().__init__(threads=1)
        self.photo = photo

    def survey(self, rgb, windows=None):
        found = super().survey(rgb, windows)
        return found[:1] if np.array_equal(rgb, self.photo) else found


def test_each_person_is_reconstructed_from_left_to_right(pair, reconstructor):
    people = reconstruct_everyone(reconstructor, pair, SMALL)
    middles = [person.subject.crop.center_px[0] for person in people]
    assert len(people) == 2
    assert middles[0] < pair.shape[1] / 2 < middles[1]


def test_a_photo_of_one_person_gives_what_it_gives_without_everyone(reconstructor):
    (person,) = reconstruct_everyone(reconstructor, AVATAR, SMALL)
    assert person.to_bytes() == reconstructor(AVATAR, settings=SMALL).to_bytes()


def test_who_is_seen_only_with_the_main_person_covered_is_counted_and_can_be_chosen(pair):
    """The detector misses the second person until the first is covered, as it does in crowds."""
    photo, detector = load_photo(pair), ShyDetector(pair)
    assert len(detector.survey(photo.seen)) == 1
    assert count_people(pair, detector) == 2
    first, second = (segment(photo, detector, Selection(person=number)) for number in ("1", "2"))
    assert first.pose.landmarks[0, 0] < pair.shape[1] / 2 < second.pose.landmarks[0, 0]
    with pytest.raises(ValueError, match="2 people are seen"):
        segment(photo, detector, Selection(person="3"))


def test_a_photo_of_nobody_is_refused(reconstructor):
    nobody = np.zeros((64, 64, 3), np.uint8)
    assert count_people(nobody, reconstructor.detector) == 0
    with pytest.raises(PhotoError, match="no person found"):
        reconstruct_everyone(reconstructor, nobody, SMALL)


def test_the_command_writes_a_file_per_person(pair, tmp_path):
    Image.fromarray(pair).save(tmp_path / "pair.png")
    sizes = ("--resolution", "64", "--texture-px", "64", "--faces", "1000")
    assert main(["reconstruct", str(tmp_path / "pair.png"), "-o", str(tmp_path / "a.glb"), "--everyone", *sizes]) == 0
    assert sorted(path.name for path in tmp_path.glob("*.glb")) == ["a.0.glb", "a.1.glb"]
    for path in tmp_path.glob("*.glb"):
        assert trimesh.load(path, force="mesh").volume > 0.01
