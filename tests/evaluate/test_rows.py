from dataclasses import asdict

import numpy as np
import pytest

from humanlrm.evaluate.plan import Corruption
from humanlrm.evaluate.report.rows import Row, bootstrap, grouped, paired_difference, summarize


def row(person: str, value: float | None, method="a", yaw=0.0, condition=None, **about) -> Row:
    values = {} if value is None else {"chamfer_cm": value}
    return Row(
        "set", person, person, yaw, condition or Corruption(), about.pop("front", False), method, values, **about
    )


def test_the_interval_is_that_of_the_mean_of_independent_people():
    values = np.random.default_rng(1).normal(3, 1, 400)
    found = bootstrap((str(i), float(v)) for i, v in enumerate(values))
    assert found is not None
    assert found.mean == pytest.approx(values.mean())
    half = 1.96 * values.std() / 20
    assert found.low == pytest.approx(values.mean() - half, abs=0.15 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.15 * half)


def test_more_views_of_the_same_people_do_not_make_the_interval_narrower():
    values = np.random.default_rng(2).normal(3, 1, 30)
    once = bootstrap((str(i), float(v)) for i, v in enumerate(values))
    thrice = bootstrap((str(i), float(v)) for i, v in enumerate(values) for _ in range(3))
    assert once is not None
    assert thrice is not None
    assert (once.low, once.high) == (pytest.approx(thrice.low), pytest.approx(thrice.high))
    assert (once.cases, thrice.cases, once.persons, thrice.persons) == (30, 90, 30, 30)


def test_nothing_has_no_interval_and_one_person_has_no_width():
    assert bootstrap([]) is None
    found = bootstrap([("a", 2.0)])
    assert found is not None
    assert (found.mean, found.low, found.high) == (2, 2, 2)


def test_a_failure_counts_as_not_sound_but_not_as_a_distance():
    rows = [
        Row("s", "1", "1", 0, Corruption(), False, "a", {"sound": 1.0, "chamfer_cm": 2.0}),
        row("2", None, failure="no"),
    ]
    sound, distance = summarize(rows, "sound"), summarize(rows, "chamfer_cm")
    assert sound is not None
    assert distance is not None
    assert (sound.mean, sound.cases, distance.mean, distance.cases) == (0.5, 2, 2.0, 1)


def test_paired_differences_are_narrow_where_people_differ_more_than_methods():
    hardness = np.random.default_rng(3).normal(5, 2, 50)
    before = [row(str(i), float(v)) for i, v in enumerate(hardness)]
    after = [row(str(i), float(v) - 0.1) for i, v in enumerate(hardness)]
    found = paired_difference(before, after[:40], "chamfer_cm")
    assert found is not None
    assert found.mean == pytest.approx(-0.1)
    assert found.high < 0
    assert found.cases == 40


def test_only_equal_cases_are_paired():
    assert paired_difference([row("1", 1.0, yaw=0)], [row("1", 2.0, yaw=120)], "chamfer_cm") is None
    assert (
        paired_difference([row("1", 1.0)], [row("1", 2.0, condition=Corruption("occlusion", "box", 0.1))], "chamfer_cm")
        is None
    )


def test_groups_show_frontal_standing_people_apart_and_leave_corrupted_photographs_out():
    corrupted = row("3", 9.0, condition=Corruption("robustness", "noise", 0.1))
    found = grouped([row("1", 1.0, front=True), row("2", 2.0), corrupted])
    assert {key: [r.person for r in rows] for key, rows in found.items()} == {
        ("set", "all", "a"): ["1", "2"],
        ("set", "frontal standing", "a"): ["1"],
    }


def test_rows_survive_json_and_damaged_ones_are_refused():
    mine = row("1", 1.5, condition=Corruption("occlusion", "box", 0.1), failure="x")
    assert Row.from_json(asdict(mine)) == mine
    with pytest.raises(ValueError, match="not a row"):
        Row.from_json({"condition": {"protocol": "plain"}, "set": "s"})
