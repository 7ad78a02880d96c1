"""Seconds of the rendering losses of ``small`` (forward, and backward into the planes), by stage, beside a plain step.

python -m benchmarks.render_losses [--threads 1] [--views 2]

Random planes and targets: the time depends on the number of questions, not on the answers.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from benchmarks.train_step import random_batch, random_targets

from humanlrm.encoding import encode
from humanlrm.model.config import small
from humanlrm.model.lrm import build
from humanlrm.render.density import LaplaceDensity
from humanlrm.render.settings import Sampling
from humanlrm.train.config import RenderSchedule, RenderStage, RenderWeights, TrainConfig
from humanlrm.train.losses import compute_losses, weighted_sum
from humanlrm.train.perceptual import PerceptualLoss
from humanlrm.train.render_losses import radiance_field, render_losses


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--views", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    config = TrainConfig()
    model, density = build(small()).train(), LaplaceDensity()
    batch, rng = random_batch(config.batch, config, model.config.image_px), torch.Generator().manual_seed(0)
    targets, perceptual = random_targets(config.batch, options.views, 128), PerceptualLoss(model.encoder.net)
    with torch.no_grad():
        planes = encode(model, batch.inputs)
    planes = replace(planes, **{name: getattr(planes, name).requires_grad_() for name in ("xy", "zy", "xz")})
    field = radiance_field(model, planes, density)
    schedule = RenderSchedule()
    everywhere = Sampling(shaded=None)

    def rendered(stage: RenderStage) -> Callable[[], None]:
        def step() -> None:
            weighted_sum(render_losses(field, targets, stage, rng, perceptual), RenderWeights()).backward()

        return step

    steps: dict[str, Callable[[], None]] = {
        "network and 3D losses": lambda: weighted_sum(compute_losses(model, batch), config.weights).backward(),
        "rendering, low": rendered(schedule.low),
        "rendering, low, no patch": rendered(replace(schedule.low, patch_px=0)),
        "rendering, low, no patch, all shaded": rendered(replace(schedule.low, patch_px=0, sampling=everywhere)),
        "rendering, high": rendered(schedule.high),
    }
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(options.runs):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            times[name].append(time.perf_counter() - start)
    for name, seconds in times.items():
        print(f"{name:38s} {statistics.median(seconds):6.2f} s, batch of {config.batch}, {options.threads} threads")


if __name__ == "__main__":
    main()
