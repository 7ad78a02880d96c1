"""Laws of training the view prior."""

import shutil
from dataclasses import replace

import pytest
import torch

from humanlrm.data.render.shoot import render_subject
from humanlrm.data.settings import RenderSettings
from humanlrm.data.shards import write_shard
from humanlrm.model.view_denoiser import tiny_view_denoiser
from humanlrm.train.checkpoint import list_checkpoints, load_averaged_weights
from humanlrm.train.config import LogSettings
from humanlrm.train.denoise import denoising_steps
from humanlrm.train.views import train_views, view_recipe

EACH = LogSettings(checkpoint_s=0, keep=9, log_every=1)
PLAN = replace(view_recipe(8), batch=2, steps=denoising_steps(warmup=1), log=EACH, workers=0)


@pytest.fixture(scope="module")
def layered_shards(person, detector, tmp_path_factory):
    folder = tmp_path_factory.mktemp("layered")
    settings = RenderSettings(views=2, points=30, image_px=64, depth_px=32, cropped=0)
    write_shard(folder / "a.tar", [("a", render_subject(person, detector, settings, seed=3))])
    return folder


def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(layered_shards, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train_views(tiny_view_denoiser(), PLAN, layered_shards, whole)
    first = list_checkpoints(whole)[1]
    shutil.copytree(first, parts / first.name)
    train_views(tiny_view_denoiser(), PLAN, layered_shards, parts)
    one, other = (load_averaged_weights(run)[1] for run in (whole, parts))
    for name in one:
        torch.testing.assert_close(one[name], other[name])


def test_training_improves_on_the_copy(layered_shards, tmp_path):
    losses = []
    steps, log = denoising_steps(warmup=20), LogSettings(log_every=1)
    plan = replace(PLAN, samples=400, batch=4, learning_rate=3e-3, steps=steps, log=log)
    report = lambda progress: losses.append(progress.losses["denoising"])  # noqa: E731
    train_views(tiny_view_denoiser(), plan, layered_shards, tmp_path, report)
    assert sum(losses[-20:]) < 0.8 * sum(losses[:20])
