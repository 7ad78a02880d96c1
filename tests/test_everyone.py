"""Everybody in a photo."""

from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from humanlrm.cli import main
from humanlrm.everyone import cut_out_everyone, reconstruct_everyone
from humanlrm.photo.load import PhotoError, load_photo
from humanlrm.reconstruct import Reconstructor, Settings

AVATAR = Path(__file__).parents[1] / "examples" / "avatar.jpg"
SMALL = Settings(resolution=64, texture_px=64, faces=1000)


@pytest.fixture(scope="module")
def pair() -> np.ndarray:
    """A photo of two people."""
    person = np.asarray(Image.open(AVATAR).convert("RGB"))
    return np.concatenate([person, person[:, ::-1]], axis=1)


def test_each_person_is_cut_out_once_and_no_pixel_belongs_to_two(pair, detector):
    cutouts = cut_out_everyone(load_photo(pair), detector)
    assert len(cutouts) == 2
    sides = {bool(cutout[..., 3].sum(axis=0).argmax() > pair.shape[1] / 2) for cutout in cutouts}
    assert sides == {False, True}
    assert not ((cutouts[0][..., 3] > 127) & (cutouts[1][..., 3] > 127)).any()


def test_a_photo_of_one_person_gives_what_it_gives_without_everyone():
    reconstructor = Reconstructor(threads=1)
    (person,) = reconstruct_everyone(reconstructor, AVATAR, SMALL)
    assert person.to_bytes() == reconstructor(AVATAR, settings=SMALL).to_bytes()


def test_a_photo_of_nobody_is_refused(detector):
    with pytest.raises(PhotoError, match="no person found"):
        cut_out_everyone(load_photo(np.zeros((64, 64, 3), np.uint8)), detector)


def test_the_command_writes_a_file_per_person(pair, tmp_path):
    Image.fromarray(pair).save(tmp_path / "pair.png")
    sizes = ("--resolution", "64", "--texture-px", "64", "--faces", "1000")
    assert main(["reconstruct", str(tmp_path / "pair.png"), "-o", str(tmp_path / "a.glb"), "--everyone", *sizes]) == 0
    assert sorted(path.name for path in tmp_path.glob("*.glb")) == ["a.0.glb", "a.1.glb"]
    for path in tmp_path.glob("*.glb"):
        assert trimesh.load(path, force="mesh").volume > 0.01
