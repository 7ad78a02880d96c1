"""How well landmarks of scans are found by detection in renders and triangulation, on procedural people.

    python -m benchmarks.landmarks --people 24
    python -m benchmarks.landmarks --people 44 --first-seed 100 --fit

The truth is the joints of the parametric body. With --fit it prints ``data.detector_offsets.OFFSETS`` anew, which move
points from the detector's definitions to these; it must not be measured on the people it was fitted to.
"""

import argparse
import time

import numpy as np

from humanlrm.body.landmarks import LANDMARKS
from humanlrm.data import detector_offsets as definitions
from humanlrm.data.triangulate import scan_landmarks
from humanlrm.people.procedural.person import make_person
from humanlrm.photo.blazepose import PoseDetector


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=24)
    parser.add_argument("--first-seed", type=int, default=10_000_000)
    parser.add_argument("--views", type=int, default=16)
    parser.add_argument("--fit", action="store_true")
    options = parser.parse_args()
    if options.fit:
        definitions.OFFSETS = dict.fromkeys(definitions.OFFSETS, (0.0,) * 5)
    detector, found, true, seconds = PoseDetector(threads=1), [], [], 0.0
    for seed in range(options.first_seed, options.first_seed + options.people):
        person = make_person(seed)
        started = time.perf_counter()
        found.append(scan_landmarks(person, detector, options.views))
        seconds += time.perf_counter() - started
        true.append(person.landmarks)
    if options.fit:
        for part, shares in definitions.fit_offsets(np.stack(found), np.stack(true)).items():
            print(f'    "{part}": {shares},')
        return
    error_cm = 100 * np.linalg.norm(np.stack(found) - np.stack(true), axis=-1)
    print(f"{options.people} people, {options.views} views each, {seconds / options.people:.1f} s per person")
    print(f"{'landmark':15s} {'median':>7s} {'90%':>7s} {'largest':>8s}  cm, unknown")
    for name, column in zip([*LANDMARKS, "all"], [*error_cm.T, error_cm.ravel()], strict=True):
        known = column[np.isfinite(column)]
        median, most, largest = np.percentile(known, [50, 90, 100])
        print(f"{name:15s} {median:7.1f} {most:7.1f} {largest:8.1f}  {1 - len(known) / len(column):.1%}")


if __name__ == "__main__":
    main()
