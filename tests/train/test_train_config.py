import pytest

from humanlrm.train.config import TrainConfig

PLAN = TrainConfig(samples=1000, warmup=100, learning_rate=1.0)


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
    plan = TrainConfig(samples=10, warmup=100)
    assert all(0 < plan.rate(seen) <= plan.learning_rate for seen in range(11))


@pytest.mark.parametrize(("samples", "batch"), [(0, 8), (10, 0), (-1, 8)])
def test_a_run_without_samples_is_refused(samples, batch):
    with pytest.raises(ValueError, match="positive"):
        TrainConfig(samples=samples, batch=batch)
