"""Training steps of ``small`` on random data: samples per second, and the share of the matmul peak (MFU) that they use.

python benchmarks/train_step.py [--threads 1] [--cpu] [--image-px 192] [--base]

The network with the 3D losses, and its landmarks alone, in float32 and with the network in bfloat16; with rendering
losses, without and with a perceptual patch; and the transformer blocks alone. ``--cpu`` measures seconds of the
processor instead of the wall, for a machine that is busy with other things (one thread). ``--base`` measures the preset
``base`` with the 3D losses, one sample a step, instead of all but the first: what the paper's family asks for.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import nn

from humanlrm.body.landmarks import COUNT, DETECTOR_FEATURE_CHANNELS
from humanlrm.model.blocks import Block
from humanlrm.model.config import ModelConfig, PaperConfig, base, small
from humanlrm.model.lrm import build
from humanlrm.train.config import RenderSchedule, TrainConfig
from humanlrm.train.objective import Objective, StepContext
from humanlrm.train.optimizer import make_optimizer
from humanlrm.train.throughput import flop_counter, matmul_peak
from humanlrm.views import Batch, Inputs, Supervision, Targets


def random_batch(size: int, config: TrainConfig, image_px: int) -> Batch:
    """Tensors of the right shapes."""
    box = lambda *shape: torch.rand(*shape) * 2 - 1  # noqa: E731
    points, surface = config.draw.points, config.draw.surface
    normals = torch.nn.functional.normalize(box(size, surface, 3), dim=-1)
    wanted = Supervision(
        box(size, points, 3), box(size, points) / 5, box(size, surface, 3), normals, box(size, surface, 3).abs(),
        box(size, 2, image_px // 2, image_px // 2) / 5, box(size, COUNT, 3) / 2,
    )  # fmt: skip
    return Batch(
        Inputs(
            torch.rand(size, 5, image_px, image_px),
            torch.rand(size, COUNT, 4),
            torch.rand(size, COUNT, 2, DETECTOR_FEATURE_CHANNELS),
        ),
        wanted,
    )


def random_targets(subjects: int, views: int, side_px: int) -> Targets:
    """Tensors of the right shapes; a disc as the silhouette, seen from the front."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, side_px), torch.linspace(-1, 1, side_px), indexing="ij")
    alpha = (x.hypot(y) < 0.6).float().expand(subjects, views, 1, -1, -1)
    normal = nn.functional.normalize(torch.randn(subjects, views, 3, side_px, side_px), dim=2)
    return Targets(torch.rand_like(normal), alpha, normal, alpha * 0.1, torch.eye(4).expand(subjects, views, 4, 4))


def whole_step(model: ModelConfig | PaperConfig, config: TrainConfig, batch: Batch, patch: bool) -> Callable[[], None]:
    """Forward, backward, clipping and update."""
    losses = Objective(build(model).train(), config)
    optimizer = make_optimizer(losses.model, config, losses.density)

    def step() -> None:
        optimizer.zero_grad()
        losses(batch, StepContext(0.0, 0, patch))[0].backward()
        nn.utils.clip_grad_norm_(losses.parameters(), config.steps.clip)
        optimizer.step()

    return step


def blocks_step(config: ModelConfig, size: int) -> Callable[[], None]:
    """Forward and backward of the decoder's transformer blocks on as many tokens as it has."""
    blocks = nn.Sequential(*(Block(config.width, config.heads) for _ in range(config.depth)))
    count = (config.image_px // 16) ** 2 + 2 * config.side_tokens**2 + COUNT
    tokens = torch.randn(size, count, config.width, requires_grad=True)
    return lambda: blocks(tokens).sum().backward()


def _steps(config: TrainConfig, model: ModelConfig, batch: Batch) -> dict[str, Callable[[], None]]:
    """All that is measured of ``small``, by name."""
    schedule = RenderSchedule()
    targets = random_targets(config.batch, schedule.views, 128)
    rendered = replace(batch, supervision=replace(batch.supervision, targets=targets))
    rendering = replace(config, rendering=schedule)
    return {
        "3D losses": whole_step(model, config, batch, patch=False),
        "3D losses, bfloat16": whole_step(model, replace(config, bf16=True), batch, patch=False),
        "landmarks": whole_step(model, replace(config, part="landmarks"), batch, patch=False),
        "landmarks, bfloat16": whole_step(model, replace(config, part="landmarks", bf16=True), batch, patch=False),
        "with rendering": whole_step(model, rendering, rendered, patch=False),
        "with rendering and a patch": whole_step(model, rendering, rendered, patch=True),
        "transformer blocks alone": blocks_step(model, config.batch),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--cpu", action="store_true")
    parser.add_argument("--base", action="store_true")
    parser.add_argument("--image-px", type=int, default=small().image_px)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    clock = time.process_time if options.cpu else time.perf_counter
    config = TrainConfig()
    model = replace(small(), image_px=options.image_px)
    batch = random_batch(config.batch, config, model.image_px)
    if options.base:
        name, alone = "base, 3D losses, one sample", replace(config, batch=1)
        steps = {
            "3D losses": whole_step(model, config, batch, patch=False),
            name: whole_step(base(), alone, random_batch(1, alone, base().image_px), patch=False),
        }
        sizes = {"3D losses": config.batch, name: alone.batch}
    else:
        steps = _steps(config, model, batch)
        sizes = dict.fromkeys(steps, config.batch)
    flops: dict[str, int] = {}
    for name, step in steps.items():
        with flop_counter() as counter:
            step()
        flops[name] = counter.get_total_flops()
    times: dict[str, list[float]] = {name: [] for name in steps}
    peaks: dict[torch.dtype, float] = {torch.float32: 0.0, torch.bfloat16: 0.0}
    for _ in range(options.steps):  # in turn, so that what else the machine does meets all alike
        peaks = {kind: max(found, matmul_peak("cpu", kind, 0.3, clock)) for kind, found in peaks.items()}
        for name, step in steps.items():
            start = clock()
            step()
            times[name].append(clock() - start)
    single, half = peaks.values()
    print(f"matmul peak {single / 1e9:.0f} GFLOP/s, {half / 1e9:.0f} in bfloat16; {options.threads} threads")
    for name, seconds in times.items():
        median = statistics.median(seconds)
        rate, share = sizes[name] / median, flops[name] / median / (half if "bfloat16" in name else single)
        print(f"{name:28s} {median:6.2f} s {rate:6.3g} samples/s {flops[name] / 1e9:7.1f} GFLOP  MFU {share:.0%}")


if __name__ == "__main__":
    main()
