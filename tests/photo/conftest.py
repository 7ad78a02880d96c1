from pathlib import Path

import pytest

from humanlrm.photo.blazepose import PoseDetector
from humanlrm.photo.load import Photo, load_photo
from humanlrm.photo.segment import Segmentation, segment

AVATAR = Path(__file__).parents[2] / "examples" / "avatar.jpg"


@pytest.fixture(scope="module")
def avatar() -> Photo:
    return load_photo(AVATAR)


@pytest.fixture(scope="module")
def found(avatar, detector: PoseDetector) -> Segmentation:
    return segment(avatar, detector)
