"""Use of the machine by a training step (MFU): its operations, and the most that the machine can do."""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count, sdpa_backward_flop_count, sdpa_flop_count

from humanlrm.train.objective import StepContext, TrainingObjective

#: Sides of the matrices whose product is timed: for the peak, and for comparing bfloat16 with float32.
_PEAK_SIDE, _COMPARED_SIDE = 1536, 384
#: Number of times that each type is timed in that comparison.
_TURNS = 5
_ATTENTION = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_ATTENTION_BACKWARD = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
_CONVOLUTION_BACKWARD = torch.ops.aten.convolution_backward


def matmul_peak(
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    seconds: float = 1.0,
    clock: Callable[[], float] = time.perf_counter,
    side: int = _PEAK_SIDE,
) -> float:
    """Measure the operations per second of the fastest of the matrix products that fit into ``seconds``.

    torch keeps its number of threads. A product of N x N matrices (N is ``side``) counts 2 N^3.
    """
    a = torch.randn(side, side, device=device, dtype=dtype)
    best, end = float("inf"), clock() + seconds
    while True:
        start = clock()
        # Reading a number waits for the device.
        float((a @ a)[0, 0])
        now = clock()
        best = min(best, now - start)
        if now > end:
            return 2 * side**3 / best


def bf16_pays(device: torch.device | str = "cpu", clock: Callable[[], float] = time.perf_counter) -> bool:
    """Return whether the device multiplies matrices faster in bfloat16 than in float32.

    A processor without instructions for it takes up to eighty times as long. The two types take turns, because other
    programs may take the processor meanwhile.
    """
    rates = [
        [matmul_peak(device, dtype, 0.02, clock, _COMPARED_SIDE) for dtype in (torch.bfloat16, torch.float32)]
        for _ in range(_TURNS)
    ]
    half, single = (max(turns) for turns in zip(*rates, strict=True))
    return half > single


def step_flops(objective: TrainingObjective, batch: Any, progress: float, accumulate: int = 1) -> float:
    """Count the operations (forward and backward) of one step of one process: products, convolutions, attention.

    A perceptual patch, which only some steps render, counts as its share of them. Gradients are cleared afterwards.
    """
    every = objective.rendering.patch_every if objective.rendering is not None else 0
    flops = _count_flops(objective, batch, StepContext(progress, 0, patch=False))
    if every:
        flops += (_count_flops(objective, batch, StepContext(progress, 0, patch=True)) - flops) / every
    return flops * accumulate


def _count_flops(objective: TrainingObjective, batch: Any, context: StepContext) -> int:
    with flop_counter() as counter:
        loss: Tensor = objective(batch, context)[0]
        loss.backward()
    objective.zero_grad()
    return counter.get_total_flops()


def flop_counter() -> FlopCounterMode:
    """Build torch's counter with two corrections.

    Its list lacks the fused attention of CPUs, and it takes gradients of depthwise convolutions for full ones.
    """
    formulas = {
        _ATTENTION: lambda query, key, value, *_, **__: sdpa_flop_count(query, key, value),
        _ATTENTION_BACKWARD: lambda out, query, key, value, *_, **__: sdpa_backward_flop_count(out, query, key, value),
        _CONVOLUTION_BACKWARD: _convolution_backward,
    }
    return FlopCounterMode(display=False, custom_mapping=formulas)


def _convolution_backward(grad: torch.Size, x: torch.Size, weight: torch.Size, *rest: Any, **__: Any) -> int:
    """Count the gradients of input and weights, as far as they are needed: each costs as much as the convolution."""
    transposed, needed = rest[4], rest[7]
    return conv_flop_count(list(x), list(weight), list(grad), transposed=transposed) * (needed[0] + needed[1])
