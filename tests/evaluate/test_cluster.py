"""The cluster path: its real classes, mapped in this process as Ray Data maps them, and by Ray if it is installed."""

import importlib.util
import pickle
from functools import partial

import pytest

from humanlrm.cluster import map_on_ray
from humanlrm.evaluate.plan import EvaluationPlan, Shooting, Sources
from humanlrm.evaluate.run import run

PLAN = EvaluationPlan(Sources(count=2), ("inflated",), views=1, shooting=Shooting(points=1000))


def map_here(rows, actor, arguments):
    """One actor that gets copies of everything, as an actor on another machine does."""
    copy = pickle.loads(pickle.dumps(actor))(*pickle.loads(pickle.dumps(arguments)))
    for row in pickle.loads(pickle.dumps(rows)):
        assert {type(value) for value in row.values()} <= {str, int, float}  # what Arrow knows
        yield copy(row)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return run(PLAN, tmp_path_factory.mktemp("alone"))


def assert_same(report, alone):
    """All but the seconds."""
    for row, expected in zip(report.rows, alone.rows, strict=True):
        seconds = {"cpu_s": 0.0}
        assert row.case == expected.case
        assert row.values | seconds == expected.values | seconds


def test_a_cluster_measures_what_one_machine_measures(alone, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    counts = []
    report = run(PLAN, tmp_path / "out", cluster=map_here, progress=lambda done, total: counts.append((done, total)))
    assert_same(report, alone)
    assert counts == [(0, 2), (1, 2), (2, 2)]


def test_a_cluster_measures_only_what_is_missing(alone, tmp_path):
    run(PLAN, tmp_path, cluster=map_here)
    (part,) = list((tmp_path / "parts").iterdir())[:1]
    part.unlink()
    chosen = []

    def count(rows, actor, arguments):
        chosen.extend(rows)
        return map_here(rows, actor, arguments)

    assert_same(run(PLAN, tmp_path, cluster=count), alone)
    assert len(chosen) == 1


def test_actors_get_folders_that_mean_the_same_everywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    seen = []

    def look(rows, actor, arguments):
        seen.append(arguments)
        return []

    run(PLAN, tmp_path / "out", cluster=look)
    ((plan, out),) = seen
    assert out.is_absolute()
    assert plan.methods == PLAN.methods


@pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="Ray is installed")
def test_a_cluster_without_ray_is_refused_with_the_extra_to_install(tmp_path):
    with pytest.raises(ValueError, match=r"humanlrm\[cluster\]"):
        run(PLAN, tmp_path, cluster=partial(map_on_ray, address="local", workers=2))


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed (extra 'cluster')")
def test_ray_measures_what_one_machine_measures(alone, tmp_path):
    assert_same(run(PLAN, tmp_path, cluster=partial(map_on_ray, address="local", workers=2)), alone)
