"""Between the network and the mesh: where the field is asked, and in which frame."""

import numpy as np
import pytest
import torch

from humanlrm import encoding
from humanlrm.body.landmarks import INDEX
from humanlrm.encoding import encode_reframed
from humanlrm.extraction import distance_of
from humanlrm.model.config import tiny
from humanlrm.model.lrm import HumanLRM, build
from humanlrm.model.triplane import InputView, Triplane
from humanlrm.photo.crop import SubjectCrop, assemble_crop
from humanlrm.views import Inputs


def test_far_from_all_bones_the_field_is_not_asked(standing):
    model, asked = build(tiny()), []

    def everywhere_inside(planes, points):
        asked.append(points.shape[1])
        return -torch.ones(points.shape[:2])

    model.field.distance = everywhere_inside  # pyright: ignore[reportAttributeAccessIssue]
    image = torch.zeros(1, 5, 64, 64)
    planes = Triplane(image, image, image, InputView(image, None, None, torch.from_numpy(standing)[None]))
    found = distance_of(model, planes)(torch.tensor([[0.0, 0.3, 0.0], [0.35, 0.0, 0.2], [0.95, -0.9, 0.9]]))
    assert asked == [2]
    assert found[:2].tolist() == [-1, -1]
    assert found[2] > 0.5


def _looking(below: float, monkeypatch) -> tuple[HumanLRM, list[Inputs]]:
    """A model that puts the feet so many units below the middle of the first frame and three less in each further one,
    and what it has been shown."""
    model, shown = build(tiny()), []
    assert isinstance(model, HumanLRM)

    def encode(_: HumanLRM, given: Inputs) -> Triplane:
        points, nothing = torch.zeros(1, len(INDEX), 3), torch.zeros(1, 1, 1, 1)
        points[:, INDEX["left_ankle"], 1] = -max(0.9, below - 3 * len(shown))
        shown.append(given)
        return Triplane(nothing, nothing, nothing, InputView(torch.zeros(1, 5, 1, 1), None, None, points, points))

    monkeypatch.setattr(encoding, "encode", encode)
    return model, shown


def _somebody(top: int, bottom: int) -> SubjectCrop:
    alpha = np.zeros((200, 200), np.float32)
    alpha[top:bottom, 80:120] = 1
    return assemble_crop(np.zeros((200, 200, 3), np.uint8), alpha, None, 32)


@pytest.mark.parametrize(("below", "looks"), [(0.9, 1), (3.0, 2), (100.0, 3)])
def test_a_frame_grows_until_it_has_room_but_not_for_ever(below, looks, monkeypatch):
    (model, shown), subject = _looking(below, monkeypatch), _somebody(100, 200)
    grown, _ = encode_reframed(model, subject)
    assert len(shown) == looks
    assert (grown is subject) == (looks == 1)
    assert grown.crop.side_px <= 12 * subject.crop.side_px


def test_a_frame_does_not_grow_for_people_who_are_seen_whole(monkeypatch):
    (model, shown), subject = _looking(3.0, monkeypatch), _somebody(50, 150)
    assert encode_reframed(model, subject)[0] is subject
    assert len(shown) == 1
