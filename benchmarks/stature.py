"""Standing height over the summed lengths of the body's segments, for each kind of people: the constant
``anatomy.STATURE``.

python -m benchmarks.stature [--count 200] [--assets DIR]
"""

import argparse
from itertools import chain
from pathlib import Path

import numpy as np

from humanlrm.body.height import HEIGHT_PER_SEGMENTS, standing_height
from humanlrm.people.generate import PersonSampler


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--assets", type=Path)
    options = parser.parse_args()
    cast = PersonSampler(options.assets)
    ratios: dict[str, list[float]] = {}
    for seed in range(options.count):
        scan = cast(seed)
        assert scan.landmarks is not None
        ratio = float(scan.tags["height_m"]) / (standing_height(scan.landmarks) / HEIGHT_PER_SEGMENTS)
        ratios.setdefault(cast.kind(seed), []).append(ratio)
    for kind, found in (*ratios.items(), ("all", list(chain.from_iterable(ratios.values())))):
        low, median, high = np.percentile(found, [5, 50, 95])
        print(
            f"height / segments over {len(found)} {kind} people: median {median:.3f}, "
            f"90% between {low:.3f} and {high:.3f}"
        )


if __name__ == "__main__":
    main()
