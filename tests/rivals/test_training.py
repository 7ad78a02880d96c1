"""Runs of rivals: resumed, limited by time, refused."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from tiny_rivals import SIZES, short_plan
from train_tiny import Call

from humanlrm.data.shards import ShardFolder
from humanlrm.rivals.kinds import kind_of
from humanlrm.rivals.training import begin, open_trained, read_record, train_rival, weights_hash
from humanlrm.train.checkpoint import list_checkpoints
from humanlrm.train.config import LogSettings
from humanlrm.train.hooks import SaveCheckpoints


class Interrupted(Exception):
    pass


def interrupt(state):
    if state.counters.step == 2:
        raise Interrupted


def run_rival(name, plan, shards, run, hooks=(), **options):
    return train_rival(name, plan, ShardFolder(shards), run, [*hooks, SaveCheckpoints()], SIZES[name], **options)


def test_an_interrupted_rival_goes_on_and_ends_with_the_same_weights(shards, tmp_path):
    plan = replace(short_plan(6), log=LogSettings(checkpoint_s=0, keep=9))
    run_rival("pifu", plan, shards, tmp_path / "whole")
    with pytest.raises(Interrupted):
        run_rival("pifu", plan, shards, tmp_path / "parts", [Call(interrupt)])
    assert not read_record(tmp_path / "parts").finished
    run_rival("pifu", plan, shards, tmp_path / "parts")
    whole, parts = (load_file(list_checkpoints(tmp_path / n)[-1] / "average.safetensors") for n in ("whole", "parts"))
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    assert weights_hash(tmp_path / "whole") == weights_hash(tmp_path / "parts")


def test_a_rival_ends_when_its_hours_are_spent(shards, tmp_path):
    record = run_rival("hmr", replace(short_plan(10_000), hours=1e-5), shards, tmp_path)
    assert record.finished
    assert record.samples == 2
    assert record.core_hours > 1e-5
    assert open_trained(tmp_path)[1].seen == 2


def test_a_run_of_another_rival_is_refused(shards, tmp_path):
    begin("hmr", short_plan(2), ShardFolder(shards), tmp_path, SIZES["hmr"])
    with pytest.raises(ValueError, match="trains the rival hmr"):
        begin("pifu", short_plan(2), ShardFolder(shards), tmp_path, SIZES["pifu"])
    with pytest.raises(ValueError, match="no checkpoint"):
        open_trained(tmp_path)


@pytest.mark.parametrize(("name", "words"), [("nerf", "nothing to train"), ("spline", "unknown rival")])
def test_a_rival_that_cannot_be_trained_is_refused(name, words):
    with pytest.raises(ValueError, match=words):
        kind_of(name)


def test_a_hybrid_takes_the_body_of_a_run(shards, tmp_path):
    run_rival("hmr", short_plan(2, learning_rate=1e-2), shards, tmp_path / "hmr")
    sizes = replace(SIZES["hybrid"], body_width=SIZES["hmr"].width)
    data = ShardFolder(shards)
    state = begin("hybrid", short_plan(2), data, tmp_path / "hybrid", sizes, tmp_path / "hmr")
    given = load_file(list_checkpoints(tmp_path / "hmr")[-1] / "average.safetensors")
    for name, parameter in state.objective.model.hmr.named_parameters():
        assert torch.equal(parameter, given[name])
        assert torch.equal(state.average[f"hmr.{name}"], given[name])
    with pytest.raises(ValueError, match="only the rival hybrid"):
        begin("pifu", short_plan(2), data, tmp_path / "pifu", SIZES["pifu"], tmp_path / "hmr")
