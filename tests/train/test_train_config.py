from dataclasses import replace

import pytest

from humanlrm.train.config import RenderSchedule, StepSettings, TrainConfig

PLAN = TrainConfig(samples=1000, learning_rate=1.0, steps=StepSettings(warmup=100))


def test_the_rate_rises_linearly_during_warm_up():
    assert PLAN.rate(0) == pytest.approx(0.01)
    assert PLAN.rate(49) == pytest.approx(0.5)
    assert PLAN.rate(99) == 1


def test_the_rate_is_constant_after_warm_up():
    assert {PLAN.rate(seen) for seen in range(100, 751, 50)} == {1.0}


def test_the_rate_falls_linearly_over_the_last_quarter_to_a_fiftieth():
    assert PLAN.rate(875) == pytest.approx(0.5)
    assert PLAN.rate(999) == pytest.approx(0.02)
    assert PLAN.rate(5000) == pytest.approx(0.02)


def test_a_run_shorter_than_its_warm_up_still_has_a_rate():
    plan = TrainConfig(samples=10, steps=StepSettings(warmup=100))
    assert all(0 < plan.rate(seen) <= plan.learning_rate for seen in range(11))


@pytest.mark.parametrize("name", ["samples", "batch", "accumulate"])
@pytest.mark.parametrize("value", [0, -1])
def test_a_run_without_samples_is_refused(name, value):
    with pytest.raises(ValueError, match="positive"):
        TrainConfig(**{name: value})


@pytest.mark.parametrize("rate", [-1.0, float("nan"), float("inf")])
def test_an_impossible_rate_is_refused_before_anything_is_fitted(rate):
    with pytest.raises(ValueError, match="learning rate"):
        TrainConfig(learning_rate=rate)


def test_the_cosine_starts_after_warm_up_is_half_way_down_in_the_middle_and_ends_at_a_fiftieth():
    plan = replace(PLAN, fall="cosine")
    assert plan.rate(49) == PLAN.rate(49)
    assert plan.rate(100) == pytest.approx(1)
    assert plan.rate(550) == pytest.approx(0.5)
    assert plan.rate(325) == pytest.approx(0.5 + 0.5 * 2**-0.5)
    assert plan.rate(1000) == plan.rate(5000) == pytest.approx(0.02)


@pytest.mark.parametrize("name", ["views", "patch_every"])
def test_a_rendering_schedule_without_views_or_patches_is_refused(name):
    with pytest.raises(ValueError, match=name):
        RenderSchedule(**{name: 0})


def test_a_budget_of_hours_ends_a_run_before_its_samples():
    plan = replace(PLAN, hours=0.5)
    assert plan.progress(100, seconds=900) == pytest.approx(0.5)
    assert plan.progress(900, seconds=900) == pytest.approx(0.9)
    assert plan.progress(0, seconds=1800) == 1
    assert PLAN.progress(500, seconds=1e9) == 0.5


def test_the_rate_falls_with_the_budget_of_hours():
    plan = replace(PLAN, hours=1.0)
    assert plan.rate(200, seconds=1800) == 1
    assert plan.rate(200, seconds=3600 * 0.875) == pytest.approx(0.5)
    assert plan.rate(200, seconds=7200) == pytest.approx(0.02)


@pytest.mark.parametrize("hours", [0.0, -1.0, float("nan")])
def test_a_run_without_time_is_refused(hours):
    with pytest.raises(ValueError, match="hours"):
        TrainConfig(hours=hours)
