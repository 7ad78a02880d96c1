"""Augmented samples per second of CPU time from one loader process, and where the time goes.

python benchmarks/loader.py SHARDS [--image-px 256] [--count 200] [--target-views 0]
"""

import argparse
import time
from pathlib import Path

from humanlrm.data.dataset import SampleSettings, TrainingDataset
from humanlrm.data.shards import ShardFolder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shards", type=Path)
    parser.add_argument("--image-px", type=int, default=256)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--target-views", type=int, default=0)
    options = parser.parse_args()
    for augment in (True, False):
        settings = SampleSettings(1024, 256, augment, options.image_px, options.target_views)
        data = TrainingDataset(ShardFolder(options.shards), settings, seed=0)
        data[0]
        wall, start = time.perf_counter(), time.process_time()
        for index in range(options.count):
            data[index]
        spent, wall = time.process_time() - start, time.perf_counter() - wall
        rates = (
            f"{options.count / spent:.1f} samples per CPU second, {options.count / wall:.1f} per second of the clock"
        )
        print(f"{'augmented' if augment else 'plain'}: {rates}")


if __name__ == "__main__":
    main()
