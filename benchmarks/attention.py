"""The plane decoder in bfloat16 on one thread: attention by torch's fused kernel and as the model does it, and one
block as it is and by ``torch.compile``.

python benchmarks/attention.py [--tokens 768] [--memory 768] [--heads 3] [--batch 8] [--rounds 9] [--compiled]
"""

import argparse
import time
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor

from humanlrm.model.blocks import attention
from humanlrm.model.latent_decoder import PlaneBlock

_HEAD_WIDTH = 64


def seconds(ways: dict[str, Callable[..., Tensor]], tensors: list[Tensor], rounds: int) -> dict[str, float]:
    """Median seconds of the processor that each way takes, forward and backward. In turn, so that what else the machine
    does meets all alike, and not counting the first time."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, way in ways.items():
            start = time.process_time()
            with torch.autocast("cpu", torch.bfloat16):
                found = way(*tensors)
            found.sum().backward()
            taken[name].append(time.process_time() - start)
    return {name: median(times[1:]) for name, times in taken.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=768)
    parser.add_argument("--memory", type=int, default=768)
    parser.add_argument("--heads", type=int, default=3)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--compiled", action="store_true", help="also the block; needs a C++ compiler")
    options = parser.parse_args()
    torch.set_num_threads(1)
    tensors = [
        torch.randn(options.batch, options.heads, count, _HEAD_WIDTH, dtype=torch.bfloat16, requires_grad=True)
        for count in (options.tokens, options.memory, options.memory)
    ]
    ways = {"fused": torch.nn.functional.scaled_dot_product_attention, "ours": attention}
    found = seconds(ways, tensors, options.rounds)
    print(f"attention: ours takes {found['ours'] / found['fused']:.2f} of the fused kernel's time")
    if options.compiled:
        width = options.heads * _HEAD_WIDTH
        block = PlaneBlock(width, width, options.heads)
        tensors = [
            torch.randn(options.batch, count, width, requires_grad=True) for count in (options.tokens, options.memory)
        ]
        found = seconds({"as it is": block, "compiled": torch.compile(block)}, tensors, options.rounds)
        print(f"block: compiled it takes {found['compiled'] / found['as it is']:.2f} of its time")


if __name__ == "__main__":
    main()
