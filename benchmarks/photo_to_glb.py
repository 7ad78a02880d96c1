"""Seconds from a photo to a GLB in a warm process, by stage, and as a multiple of a matrix product on this machine.

    python benchmarks/photo_to_glb.py [--photo examples/avatar.jpg] [--threads 2] [--complete always] [--uncertainty]

Seconds depend on the machine; the last line also gives the time in units of one 4096 x 4096 float32 matrix product,
measured in the same run, which can be compared between machines.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch

from humanlrm.reconstruct import Completion, Reconstructor, Settings

AVATAR = Path(__file__).parent.parent / "examples" / "avatar.jpg"
#: Full quality.
FULL = Settings(resolution=256, texture_px=1024)


def matmul_s(size: int = 4096) -> float:
    """Median time of one square float32 product."""
    a = torch.rand(size, size)
    times = []
    for _ in range(4):
        start = time.perf_counter()
        torch.mm(a, a)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def stages(photo: Path, settings: Settings, completion: Completion, threads: int, runs: int) -> dict[str, float]:
    """Median seconds of each stage over warm runs, and of saving the GLB."""
    reconstructor = Reconstructor(threads=threads)
    measured: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(runs + 1):
            start = time.perf_counter()
            person = reconstructor(photo, None, settings, completion)
            made = time.perf_counter()
            person.save(Path(folder) / "person.glb")
            beside = made - start - sum(person.seconds.values())
            measured.append({**person.seconds, "uncertainty": beside, "save": time.perf_counter() - made})
    return {stage: statistics.median(run[stage] for run in measured[1:]) for stage in measured[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photo", type=Path, default=AVATAR)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--complete", choices=("never", "auto", "always"), default="never")
    parser.add_argument("--uncertainty", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    unit, completion = matmul_s(), Completion(options.complete, uncertainty=options.uncertainty)
    found = stages(options.photo, FULL, completion, options.threads, options.runs)
    for stage, seconds in found.items():
        print(f"{stage:10s} {seconds:6.2f} s")
    total = sum(found.values())
    print(f"{'all':10s} {total:6.2f} s, medians of {options.runs} warm runs, {options.threads} threads, 256^3, 1024 px")
    print(f"{'all':10s} {total / unit:6.1f} matrix products of {unit:.2f} s")


if __name__ == "__main__":
    main()
