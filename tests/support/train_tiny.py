"""A training run as a process of its own: ``train_tiny.py [--sharded] DATA RUN SAMPLES BATCH [STEP]``; kills itself at
STEP."""

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import torch

from humanlrm.data.dataset import SampleSettings
from humanlrm.model.config import tiny
from humanlrm.train.config import TrainConfig
from humanlrm.train.loop import Progress, train
from humanlrm.train.render_config import RenderSchedule, RenderStage

STAGE = RenderStage(render_px=32, rays=24, patch_px=16)
RENDERING = RenderSchedule(low=STAGE, high=replace(STAGE, render_px=64), patch_every=2)


def plan(samples: int, batch: int) -> TrainConfig:
    """Saves after every step."""
    return TrainConfig(
        samples=samples,
        batch=batch,
        warmup=1,
        checkpoint_s=0,
        keep=20,
        log_every=1,
        lifter_steps=2,
        draw=SampleSettings(24, 12),
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    sharded = sys.argv[1] == "--sharded"
    data, run, samples, batch, *kill_at = sys.argv[1 + sharded :]

    def die(progress: Progress) -> None:
        if [str(progress.state.step)] == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    config = replace(plan(int(samples), int(batch)), sharded=sharded)
    train(tiny(), config, Path(data), Path(run), report=die, workers=0)
    # A thread of a process group that is still at work while Python ends aborts the process.
    assert not [task for task in Path("/proc/self/task").glob("*/comm") if "gloo" in task.read_text(encoding="utf-8")]
