"""The laws of what is said of people."""

from dataclasses import replace

import numpy as np
import pytest

from humanlrm.body.landmarks import INDEX
from humanlrm.people.facts import POSTURES, SKIN_CLASSES, age_years, angles_deg, skin_ita_deg, with_facts
from humanlrm.people.procedural.person import make_person


@pytest.fixture(scope="module")
def person():
    return make_person(7)


def test_angles_do_not_change_when_a_person_turns_or_grows(person):
    turn = np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0]], np.float32)
    before, after = angles_deg(person.landmarks), angles_deg(1.3 * person.landmarks @ turn.T)
    assert before.keys() == after.keys()
    np.testing.assert_allclose(list(before.values()), list(after.values()), atol=0.1)


def test_a_raised_arm_and_a_bent_knee_are_measured(person):
    marks = person.landmarks.copy()
    shoulder = marks[INDEX["left_shoulder"]]
    hips = marks[[INDEX["left_hip"], INDEX["right_hip"]]].mean(0)
    trunk = (marks[INDEX["neck"]] - hips) / np.linalg.norm(marks[INDEX["neck"]] - hips)
    marks[INDEX["left_elbow"]] = shoulder + 0.3 * trunk
    marks[INDEX["left_knee"]] = marks[INDEX["left_hip"]] + [0, -0.4, 0]
    marks[INDEX["left_ankle"]] = marks[INDEX["left_knee"]] + [0, 0, -0.4]
    angles = angles_deg(marks)
    assert angles["left_arm"] == pytest.approx(180, abs=0.1)
    assert angles["left_knee"] == pytest.approx(90, abs=0.1)


def test_darker_skin_has_a_smaller_angle(person):
    dark = replace(person, texture=(person.texture * 0.5).astype(np.uint8))
    assert skin_ita_deg(dark) < skin_ita_deg(person) - 10


def test_every_person_has_the_tags(person):
    tags = with_facts(person, "procedural").tags
    assert tags["posture"] in POSTURES
    assert tags["skin_tone"] in {name for name, _ in SKIN_CLASSES}
    assert {"height_m", "sex", "age_years", "clothes", "pose", "left_knee_deg", "trunk_deg"} <= tags.keys()
    with pytest.raises(ValueError, match="landmarks"):
        with_facts(replace(person, landmarks=None), "procedural")


def test_years_grow_with_the_age_number():
    assert [age_years(a) for a in (1 / 3, 2 / 3, 1.0)] == pytest.approx([11, 25, 90])
