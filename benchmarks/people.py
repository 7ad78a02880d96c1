"""Seconds of one core per synthetic person, made and rendered, and their multiple of 100 detector calls.

python benchmarks/people.py [--count 20] [--assets DIR] [--kind composed] [--views 4] [--points 18000] [--warm 40]
"""

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from humanlrm.data.render.environment import load_environments
from humanlrm.data.render.shoot import RenderSettings, render_subject
from humanlrm.people.generate import VALIDATION_SEED, PersonSampler
from humanlrm.photo.blazepose import DetectedPose, PoseDetector


class Watch(PoseDetector):
    """A detector that knows how many seconds of the processor its answers have taken."""

    seconds = 0.0

    def __call__(self, rgb: np.ndarray) -> list[DetectedPose]:
        with self._watched():
            return super().__call__(rgb)

    def best(self, rgb: np.ndarray) -> DetectedPose | None:
        with self._watched():
            return super().best(rgb)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        start = time.process_time()
        yield
        self.seconds += time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--assets", type=Path, default=None)
    parser.add_argument("--views", type=int, default=4)
    parser.add_argument("--points", type=int, default=18000)
    parser.add_argument("--warm", type=int, default=40, help="people made before the clock starts")
    parser.add_argument("--kind", choices=("procedural", "avatar", "composed"), default=None)
    options = parser.parse_args()
    cast, detector = PersonSampler(options.assets, options.kind), Watch(threads=1)
    settings = RenderSettings(views=options.views, points=options.points)
    environments = load_environments(options.assets)
    render_subject(before := cast(0), detector, settings, 0, environments)
    making = rendering = 0.0
    # What the asset pack holds is read once per process: that is not what a thousandth person costs.
    for seed in range(options.warm):
        cast(VALIDATION_SEED + seed)
    detector.seconds = 0.0
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
    looking = detector.seconds
    picture = np.zeros((384, 384, 3), np.uint8)
    start = time.process_time()
    for _ in range(10):
        detector.best(picture)
    unit = (time.process_time() - start) * 10
    each = (making + rendering) / options.count
    print(
        f"{each:.2f} CPU s per person: {making / options.count:.2f} made, {rendering / options.count:.2f} rendered, "
        f"of which {looking / options.count:.2f} are the detector's"
    )
    print(f"({settings.views} views of {settings.image_px} px with detector, {settings.points:,} signed distances)")
    print(f"{each / unit:.2f} times 100 detector calls on an empty picture")


if __name__ == "__main__":
    main()
