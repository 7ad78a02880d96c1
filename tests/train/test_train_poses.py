import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from humanlrm.body.landmarks import COUNT
from humanlrm.people.procedural.bodies import landmarks, sample_body, skin
from humanlrm.people.procedural.limbs import bone_turns
from humanlrm.people.procedural.poses import PHOTO_POSES, BodyPose
from humanlrm.train.poses import collect_examples, legs_are_straight, training_share
from humanlrm.views import Inputs


@pytest.fixture(scope="module")
def people() -> dict[str, torch.Tensor]:
    """Landmarks in box units, feet at -0.9."""
    body = sample_body(np.random.default_rng(1))
    sitting = next(pose for _, pose in PHOTO_POSES if pose.family == "sitting")
    found = {}
    for name, pose in (("standing", BodyPose("standing")), ("sitting", sitting)):
        turns = bone_turns(body, pose)
        marks = landmarks(body, turns, skin(body, turns))
        marks = marks - [0, (marks[:, 1].min() + marks[:, 1].max()) / 2, 0]
        found[name] = torch.from_numpy(marks / np.ptp(marks[:, 1]) * 1.8).float()
    return found


def truncated(rows: int) -> Inputs:
    """A photo that ends ``rows`` of 64 pixels above the frame's lower end."""
    image = torch.ones(1, 5, 64, 64)
    image[:, :, 64 - rows :] = 0
    return Inputs(image, torch.zeros(1, COUNT, 4), torch.zeros(1, COUNT, 2, 1))


def test_who_stands_and_who_does_not(people):
    assert legs_are_straight(torch.stack([people["standing"], people["sitting"]])).tolist() == [True, False]
    assert not legs_are_straight(torch.full((COUNT, 3), torch.nan))


def test_only_those_whose_hidden_legs_do_not_stand_are_seen_less_often(people):
    cases = [(name, marks, rows) for name, marks in people.items() for rows in (1, 34)]
    share = {(name, rows): float(training_share(truncated(rows), marks[None])) for name, marks, rows in cases}
    assert share[("standing", 1)] == share[("standing", 34)] == share[("sitting", 1)] == 1
    assert 0 < share[("sitting", 34)] < 0.5


def test_examples_of_an_older_version_are_named(tmp_path, shards):
    save_file(
        {name: torch.zeros(1) for name in ("tokens", "estimate", "truth")}, tmp_path / "examples-0000000.safetensors"
    )
    with pytest.raises(ValueError, match="without share"):
        collect_examples(tmp_path, [shards], tmp_path, 1)
