"""Attention of plane tokens: torch's fused kernel against what the model uses, in bfloat16 on one thread.

python benchmarks/attention.py [--tokens 768] [--memory 768] [--heads 3] [--batch 8] [--rounds 9]
"""

import argparse
import time
from statistics import median

import torch
from torch import Tensor

from humanlrm.model.blocks import attention

_HEAD_WIDTH = 64


def seconds(attend, tensors: list[Tensor]) -> float:
    """Of the processor, forward and backward."""
    start = time.process_time()
    attend(*tensors).sum().backward()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=768)
    parser.add_argument("--memory", type=int, default=768)
    parser.add_argument("--heads", type=int, default=3)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    torch.set_num_threads(1)
    tensors = [
        torch.randn(options.batch, options.heads, count, _HEAD_WIDTH, dtype=torch.bfloat16, requires_grad=True)
        for count in (options.tokens, options.memory, options.memory)
    ]
    ways = {"fused": torch.nn.functional.scaled_dot_product_attention, "ours": attention}
    for attend in ways.values():
        seconds(attend, tensors)
    # In turn, so that what else the machine does meets both alike.
    taken = {name: [] for name in ways}
    for _ in range(options.rounds):
        for name, attend in ways.items():
            taken[name].append(seconds(attend, tensors))
    middle = {name: median(times) for name, times in taken.items()}
    print(f"fused {middle['fused']:.3f} s, ours {middle['ours']:.3f} s: {middle['ours'] / middle['fused']:.2f} of it")


if __name__ == "__main__":
    main()
