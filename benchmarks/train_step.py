"""Samples per second of a training step of ``small`` on random data, and the share of the matmul peak that it uses.

python benchmarks/train_step.py [--threads 1]
"""

import argparse
import statistics
import time

import torch
from torch.utils.flop_counter import FlopCounterMode

from humanlrm.landmarks import CLUE_CHANNELS, COUNT
from humanlrm.model.config import small
from humanlrm.model.lrm import build
from humanlrm.train.config import TrainConfig
from humanlrm.train.loop import make_optimizer
from humanlrm.train.objective import objective
from humanlrm.views import Batch, Given, Wanted
from photo_to_glb import matmul_s


def random_batch(size: int, config: TrainConfig, image_px: int) -> Batch:
    """Tensors of the right shapes."""
    box = lambda *shape: torch.rand(*shape) * 2 - 1  # noqa: E731
    points, surface = config.draw.points, config.draw.surface
    normals = torch.nn.functional.normalize(box(size, surface, 3), dim=-1)
    wanted = Wanted(
        box(size, points, 3), box(size, points) / 5, box(size, surface, 3), normals, box(size, surface, 3).abs(),
        box(size, 2, image_px // 2, image_px // 2) / 5, box(size, COUNT, 3) / 2,
    )  # fmt: skip
    return Batch(
        Given(
            torch.rand(size, 5, image_px, image_px),
            torch.rand(size, COUNT, 4),
            torch.rand(size, COUNT, 2, CLUE_CHANNELS),
        ),
        wanted,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=8)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    config = TrainConfig()
    model = build(small()).train()
    optimizer, batch = make_optimizer(model, config), random_batch(config.batch, config, model.config.image_px)

    def step() -> None:
        optimizer.zero_grad()
        objective(model, batch).total(config.weights).backward()
        optimizer.step()

    step()
    with FlopCounterMode(display=False) as counter:
        step()
    times = []
    for _ in range(options.steps):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    seconds = statistics.median(times)
    peak = 2 * 4096**3 / matmul_s()
    rate = counter.get_total_flops() / seconds
    print(f"{config.batch / seconds:.1f} samples/s, {options.threads} threads, {rate / peak:.0%} of the matmul peak")


if __name__ == "__main__":
    main()
