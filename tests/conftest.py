"""Shapes are checked while the tests run; what is slow to make is made once per worker."""

from jaxtyping import install_import_hook

# humanlrm.people is left out: its scalars are numpy's where ``float`` is written.
_CHECKED = "camera rays frame views body photo mesh texture render model data diffusion train evaluate"
_CHECKED += " rig output reconstruct reconstruction encoding extraction multiview completion cli rivals"
install_import_hook([f"humanlrm.{room}" for room in _CHECKED.split()], "type_checker.checked")

from dataclasses import replace  # noqa: E402
from pathlib import Path  # noqa: E402

import numpy as np  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402

from humanlrm.body.landmarks import INDEX  # noqa: E402
from humanlrm.data.dataset import SampleSettings, TrainingDataset  # noqa: E402
from humanlrm.data.render.shoot import RenderSettings, render_subject  # noqa: E402
from humanlrm.data.scan import Scan  # noqa: E402
from humanlrm.data.shards import ShardFolder, write_shard  # noqa: E402
from humanlrm.data.subject import Subject  # noqa: E402
from humanlrm.model.config import tiny  # noqa: E402
from humanlrm.model.lrm import build  # noqa: E402
from humanlrm.model.pretrained import save_pretrained  # noqa: E402
from humanlrm.people.procedural.person import make_person  # noqa: E402
from humanlrm.photo.blazepose import PoseDetector  # noqa: E402
from humanlrm.train.checkpoint import trained_parameters  # noqa: E402
from humanlrm.views import Batch, collate  # noqa: E402

torch.set_num_threads(1)

SETTINGS = RenderSettings(views=2, points=3000)
PLAIN = replace(SETTINGS, cropped=0, own_mask=1, occluded=0, holding=0, fov_deg=(28.0, 31.0))
#: Somebody who stands upright: x, y, z of each landmark on the person's left (the viewer's right); the middle.
_SIDE = {
    "shoulder": (0.18, 0.5, 0),
    "elbow": (0.22, 0.2, 0),
    "wrist": (0.24, -0.05, 0),
    "hand": (0.24, -0.14, 0),
    "hip": (0.1, 0, 0),
    "knee": (0.11, -0.4, 0),
    "ankle": (0.11, -0.8, 0),
    "toe": (0.11, -0.84, 0.12),
}
_MIDDLE = {"neck": (0, 0.55, 0), "head": (0, 0.72, 0), "nose": (0, 0.7, 0.1)}


@pytest.fixture(autouse=True)
def _same_start():
    """Tests do not depend on their order: torch's numbers start anew."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def standing() -> np.ndarray:
    """Landmarks of somebody who stands upright, box units."""
    marks = np.zeros((len(INDEX), 3), np.float32)
    for name, (x, y, z) in _SIDE.items():
        marks[INDEX[f"left_{name}"]], marks[INDEX[f"right_{name}"]] = (x, y, z), (-x, y, z)
    for name, place in _MIDDLE.items():
        marks[INDEX[name]] = place
    return marks


@pytest.fixture(scope="session")
def detector() -> PoseDetector:
    return PoseDetector(threads=1)


@pytest.fixture(scope="session")
def person() -> Scan:
    return make_person(3)


@pytest.fixture(scope="session")
def rendered(person, detector) -> Subject:
    """One subject, two photographs: uncropped, nothing in front, with the exact mask, from the canonical distance."""
    return render_subject(person, detector, PLAIN, seed=3)


@pytest.fixture(scope="session")
def shards(tmp_path_factory, rendered, detector) -> Path:
    """A folder with one shard of two subjects, two views each."""
    folder = tmp_path_factory.mktemp("shards")
    other = render_subject(make_person(4), detector, SETTINGS, seed=4)
    write_shard(folder / "people-00000003.tar", [("00000003", rendered), ("00000004", other)])
    return folder


@pytest.fixture(scope="session")
def batch(shards) -> Batch:
    """Two samples without augmentation, at the size of the tiny preset."""
    data = TrainingDataset(ShardFolder(shards), SampleSettings(48, 24, augment=False, image_px=64), seed=0)
    return collate([data[0], data[1]])


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """An untrained tiny model: solid, because its field starts as a prior."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("weights")
    save_pretrained(folder, tiny(), dict(trained_parameters(build(tiny()))))
    return folder
