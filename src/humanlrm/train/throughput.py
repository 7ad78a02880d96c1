"""How much of the machine a training step uses (MFU): its operations, and what the machine can do at most."""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count, sdpa_backward_flop_count, sdpa_flop_count

from humanlrm.train.objective import Objective, StepContext
from humanlrm.views import Batch

#: Side of the matrices whose product is timed, and of those that tell whether bfloat16 pays.
_SIDE, _SMALL_SIDE = 1536, 384
#: How often each type is timed to tell that.
_TURNS = 5
_FORWARD = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_BACKWARD = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
_CONVOLUTION = torch.ops.aten.convolution_backward


def matmul_peak(
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    seconds: float = 1.0,
    clock: Callable[[], float] = time.perf_counter,
    side: int = _SIDE,
) -> float:
    """Operations per second of the fastest of the matrix products that fit into ``seconds``, with the threads that
    torch has now. A product of N x N matrices (N is ``side``) counts 2 N^3."""
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
    """Whether the device multiplies matrices faster in bfloat16 than in float32. A processor without instructions for
    it takes up to eighty times as long. Asked in turns, because other programs may take the processor meanwhile."""
    rates = [
        [matmul_peak(device, dtype, 0.02, clock, _SMALL_SIDE) for dtype in (torch.bfloat16, torch.float32)]
        for _ in range(_TURNS)
    ]
    half, single = (max(found) for found in zip(*rates, strict=True))
    return half > single


def step_flops(objective: Objective, batch: Batch, progress: float, accumulate: int = 1) -> float:
    """Operations (forward and backward) of one step of one process: matrix products, convolutions, attention.

    A perceptual patch, which only some steps render, counts as its share of them. Gradients are cleared afterwards.
    """
    every = objective.rendering.patch_every if objective.rendering is not None else 0
    flops = _counted(objective, batch, StepContext(progress, 0, patch=False))
    if every:
        flops += (_counted(objective, batch, StepContext(progress, 0, patch=True)) - flops) / every
    return flops * accumulate


def _counted(objective: Objective, batch: Batch, context: StepContext) -> int:
    with flop_counter() as counter:
        loss: Tensor = objective(batch, context)[0]
        loss.backward()
    objective.zero_grad()
    return counter.get_total_flops()


def flop_counter() -> FlopCounterMode:
    """torch's own counter with the fused attention of CPUs, which its list lacks, and gradients of depthwise
    convolutions, which it takes for full ones."""
    formulas = {_FORWARD: _attention, _BACKWARD: _attention_backward, _CONVOLUTION: _convolution_backward}
    return FlopCounterMode(display=False, custom_mapping=formulas)


def _attention(query: torch.Size, key: torch.Size, value: torch.Size, *_: Any, **__: Any) -> int:
    return sdpa_flop_count(query, key, value)


def _attention_backward(
    out: torch.Size, query: torch.Size, key: torch.Size, value: torch.Size, *_: Any, **__: Any
) -> int:
    return sdpa_backward_flop_count(out, query, key, value)


def _convolution_backward(grad: torch.Size, x: torch.Size, weight: torch.Size, *rest: Any, **__: Any) -> int:
    """The gradients of input and weights, as far as they are asked for, cost as much as the convolution each."""
    transposed, asked = rest[4], rest[7]
    return conv_flop_count(list(x), list(weight), list(grad), transposed=transposed) * (asked[0] + asked[1])
