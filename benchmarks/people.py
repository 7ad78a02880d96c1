"""Seconds of one core per synthetic person, made and rendered, and their multiple of 100 detector calls.

python benchmarks/people.py [--count 20] [--assets DIR] [--kind composed] [--views 4] [--points 18000]
"""

import argparse
import time
from pathlib import Path

import numpy as np

from humanlrm.data.environment import load_environments
from humanlrm.data.render import RenderSettings, render_subject
from humanlrm.matting import PoseDetector
from humanlrm.people.generate import Cast


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--assets", type=Path, default=None)
    parser.add_argument("--views", type=int, default=4)
    parser.add_argument("--points", type=int, default=18000)
    parser.add_argument("--kind", choices=("procedural", "avatar", "composed"), default=None)
    options = parser.parse_args()
    cast, detector = Cast(options.assets, options.kind), PoseDetector(threads=1)
    settings = RenderSettings(views=options.views, points=options.points)
    environments = load_environments(options.assets) if options.assets is not None else ()
    render_subject(before := cast(0), detector, settings, 0, environments)
    making = rendering = 0.0
    seed = done = 0
    while done < options.count:
        seed += 1
        start = time.process_time()
        scan = cast(seed)
        made = time.process_time()
        if options.kind not in (None, scan.source):
            continue
        render_subject(scan, detector, settings, seed, environments, before)
        before, done = scan, done + 1
        making, rendering = making + made - start, rendering + time.process_time() - made
    picture = np.zeros((384, 384, 3), np.uint8)
    start = time.process_time()
    for _ in range(10):
        detector.best(picture)
    unit = (time.process_time() - start) * 10
    each = (making + rendering) / options.count
    print(f"{each:.2f} CPU s per person: {making / options.count:.2f} made, {rendering / options.count:.2f} rendered")
    print(f"({settings.views} views of {settings.image_px} px with detector, {settings.points:,} signed distances)")
    print(f"{each / unit:.2f} times 100 detector calls on an empty picture")


if __name__ == "__main__":
    main()
