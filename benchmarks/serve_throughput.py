"""Throughput of the service at 1, 2 and 4 clients, time from upload to result (p50, p95), and memory over many jobs.

    python -m benchmarks.serve_throughput [--workers 1] [--jobs 6] [--memory-jobs 200] [--resolution 256]

Times are also given as multiples of one 4096 x 4096 float32 matrix product of the same run, which can be compared
between machines. The first lines compare with a cold command and a warm call of the library. Jobs of the memory part
are small (64 cells per side), since only their number counts; the first and the last tenth are compared.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from humanlrm.reconstruct import Reconstructor, Settings
from humanlrm.serve import Client
from humanlrm.serve.local import LocalService

PHOTO = Path(__file__).parent.parent / "examples" / "avatar.jpg"
SMALL = Settings(resolution=64, texture_px=64, faces=1000)


class Table:
    """Lines of seconds, also as multiples of a matrix product that is measured when the table is made."""

    def __init__(self, threads: int) -> None:
        torch.set_num_threads(threads)
        a = torch.rand(4096, 4096)
        self.product_s = statistics.median([seconds_of(lambda: torch.mm(a, a)) for _ in range(4)][1:])
        print(f"matrix product of {threads} threads: {self.product_s:.2f} s", flush=True)

    def add(self, name: str, seconds: float) -> None:
        print(f"{name:34s} {seconds:7.2f} s {seconds / self.product_s:7.1f} products", flush=True)


def seconds_of(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def measure_library(table: Table, settings: Settings, threads: int, calls: int = 4) -> None:
    """A cold command, and the median of warm calls."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "humanlrm.cli", "reconstruct", str(PHOTO), "-o", f"{folder}/cold.glb"]
        command += ["--resolution", str(settings.resolution)]
        quiet = {"stdout": subprocess.DEVNULL, "env": os.environ | {"OMP_NUM_THREADS": str(threads)}}
        table.add("cold command", seconds_of(lambda: subprocess.run(command, check=True, **quiet)))
    reconstructor = Reconstructor(threads=threads)
    times_s = [seconds_of(lambda: reconstructor(PHOTO, settings=settings).to_bytes()) for _ in range(calls)]
    table.add("warm call", statistics.median(times_s[1:]))


def measure_throughput(table: Table, client: Client, settings: Settings, jobs: int) -> None:
    """Stages of one job; then photos per minute and the times of the jobs, at 1, 2 and 4 clients."""
    for stage, seconds in client(PHOTO, settings=settings).seconds.items():
        table.add(f"stage {stage}", seconds)
    for clients in (1, 2, 4):
        with ThreadPoolExecutor(clients) as pool:
            start = time.perf_counter()
            times_s = list(pool.map(lambda _: seconds_of(lambda: client(PHOTO, settings=settings)), range(jobs)))
            photos_per_s = jobs / (time.perf_counter() - start)
        for percentile in (50, 95):
            table.add(f"{clients} clients, p{percentile}", float(np.percentile(times_s, percentile)))
        rates = f"{60 * photos_per_s:.1f} photos/min, {photos_per_s * table.product_s:.4f} photos per product"
        print(f"{clients} clients: {rates}", flush=True)


def measure_memory(service: LocalService, client: Client, jobs: int) -> None:
    """Mean memory over the first tenth of small jobs, and over the last tenth."""
    client(PHOTO, settings=SMALL).delete()
    sizes_mb, start = [], time.perf_counter()
    for number in range(1, jobs + 1):
        client(PHOTO, settings=SMALL).delete()
        sizes_mb.append(memory_mb(service))
        if number % max(1, jobs // 10) == 0:
            print(f"  {number} of {jobs} jobs, {time.perf_counter() - start:.0f} s, {sizes_mb[-1]:.0f} MB", flush=True)
    tenth = max(1, jobs // 10)
    first, last = statistics.mean(sizes_mb[:tenth]), statistics.mean(sizes_mb[-tenth:])
    print(f"memory of {jobs} jobs: first {tenth} {first:.0f} MB, last {tenth} {last:.0f} MB, ratio {last / first:.3f}")


def memory_mb(service: LocalService) -> float:
    """Memory of the service and its workers that is their own."""
    assert service.process is not None
    server = psutil.Process(service.process.pid)
    return sum(process.memory_full_info().uss for process in (server, *server.children(recursive=True))) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1, help="of each worker, and of the matrix product")
    parser.add_argument("--jobs", type=int, default=6, help="of each number of clients")
    parser.add_argument("--memory-jobs", type=int, default=200, help="0: leave this part out")
    parser.add_argument("--resolution", type=int, default=256, help="of all but the memory part")
    options = parser.parse_args()
    table, settings = Table(options.threads), Settings(resolution=options.resolution)
    measure_library(table, settings, options.threads)
    arguments = [
        "--no-page",
        "--per-client",
        "100",
        "--workers",
        str(options.workers),
        "--threads",
        str(options.threads),
    ]
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalService(Path(folder) / "data", arguments, timeout_s=1800) as service,
    ):
        client = Client(service.address, timeout_s=3600)
        measure_throughput(table, client, settings, options.jobs)
        if options.memory_jobs:
            measure_memory(service, client, options.memory_jobs)


if __name__ == "__main__":
    main()
