"""A block of the plane decoder in bfloat16 on one thread, as it is and by ``torch.compile``, forward and backward.

python benchmarks/compiled.py [--tokens 768] [--memory 256] [--width 192] [--batch 8] [--rounds 7]
"""

import argparse
import time
from statistics import median

import torch
from torch import Tensor

from humanlrm.model.plane_decoder import PlaneBlock

_HEAD_WIDTH = 64


def seconds(block, tokens: Tensor, memory: Tensor) -> float:
    """Of the processor."""
    start = time.process_time()
    with torch.autocast("cpu", torch.bfloat16):
        loss = block(tokens, memory).float().square().mean()
    loss.backward()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=768)
    parser.add_argument("--memory", type=int, default=256)
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    block = PlaneBlock(options.width, options.width, options.width // _HEAD_WIDTH)
    tokens, memory = (
        torch.randn(options.batch, count, options.width, requires_grad=True)
        for count in (options.tokens, options.memory)
    )
    ways = {"as it is": block, "compiled": torch.compile(block)}
    first = {name: seconds(way, tokens, memory) for name, way in ways.items()}
    # In turn, so that what else the machine does meets both alike.
    taken = {name: [] for name in ways}
    for _ in range(options.rounds):
        for name, way in ways.items():
            taken[name].append(seconds(way, tokens, memory))
    middle = {name: median(times) for name, times in taken.items()}
    ratio, wait = middle["compiled"] / middle["as it is"], first["compiled"] / middle["as it is"]
    print(f"compiled it takes {ratio:.2f} of the time; the first step takes {wait:.0f} times as long")


if __name__ == "__main__":
    main()
