"""Standing height over the summed lengths of the body's segments: the constant ``reconstruct.STATURE``.

python benchmarks/stature.py [--count 200]
"""

import argparse

import numpy as np

from humanlrm.people.compose import make_person
from humanlrm.reconstruct import STATURE, stature


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200)
    count = parser.parse_args().count
    ratios = []
    for seed in range(count):
        scan = make_person(seed)
        assert scan.landmarks is not None
        ratios.append(float(scan.tags["height_m"]) / (stature(scan.landmarks) / STATURE))
    low, median, high = np.percentile(ratios, [5, 50, 95])
    print(f"height / segments over {count} people: median {median:.3f}, 90% between {low:.3f} and {high:.3f}")


if __name__ == "__main__":
    main()
