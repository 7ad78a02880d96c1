"""Throughput of the service at 1, 2 and 4 clients, p50 and p95 of the time from upload to result, and its memory.

    python -m benchmarks.serve_throughput [--workers 1] [--jobs 12] [--memory-jobs 200]

Times are also given as multiples of one 4096 x 4096 float32 matrix product of the same run, which can be compared
between machines. The first lines compare with a cold command and a warm call of the library.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import torch

from humanlrm.reconstruct import Reconstructor, Settings
from humanlrm.serve import Client
from humanlrm.serve.local import LocalService

PHOTO = Path(__file__).parent.parent / "examples" / "avatar.jpg"


def matmul_s(size: int = 4096) -> float:
    """Median time of one square float32 product."""
    a = torch.rand(size, size)
    return statistics.median([seconds_of(lambda: torch.mm(a, a)) for _ in range(4)][1:])


def seconds_of(call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def memory_mb(service: LocalService) -> float:
    """Memory of the service and its workers that is their own."""
    assert service.process is not None
    server = psutil.Process(service.process.pid)
    return sum(process.memory_full_info().uss for process in (server, *server.children(recursive=True))) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=12, help="of each number of clients")
    parser.add_argument("--memory-jobs", type=int, default=200)
    parser.add_argument("--resolution", type=int, default=256)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    unit_s, settings = matmul_s(), Settings(resolution=options.resolution)
    print(f"matrix product {unit_s:.2f} s, {options.threads} threads per worker, {options.workers} workers")

    def say(name: str, seconds: float) -> None:
        print(f"{name:34s} {seconds:7.2f} s {seconds / unit_s:7.1f} products", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "humanlrm.cli", "reconstruct", str(PHOTO), "-o", f"{folder}/cold.glb"]
        quiet = {"stdout": subprocess.DEVNULL, "env": os.environ | {"OMP_NUM_THREADS": str(options.threads)}}
        resolution = ["--resolution", str(options.resolution)]
        say("cold command", seconds_of(lambda: subprocess.run([*command, *resolution], check=True, **quiet)))
        reconstructor = Reconstructor(threads=options.threads)
        calls = [seconds_of(lambda: reconstructor(PHOTO, settings=settings).to_bytes()) for _ in range(4)]
        say("warm call", statistics.median(calls[1:]))
        arguments = ("--no-page", "--workers", str(options.workers), "--threads", str(options.threads))
        with LocalService(Path(folder) / "data", (*arguments, "--per-client", "100"), timeout_s=1800) as service:
            client = Client(service.address, timeout_s=3600)
            stages = client(PHOTO, settings=settings).seconds
            for stage, seconds in stages.items():
                say(f"stage {stage}", seconds)
            for clients in (1, 2, 4):
                with ThreadPoolExecutor(clients) as pool:
                    start = time.perf_counter()
                    one_s = lambda _: seconds_of(lambda: client(PHOTO, settings=settings))  # noqa: E731
                    times = sorted(pool.map(one_s, range(options.jobs)))
                    rate = options.jobs / (time.perf_counter() - start)
                say(f"{clients} clients, p50", times[len(times) // 2])
                say(f"{clients} clients, p95", times[min(len(times) - 1, round(0.95 * len(times)))])
                print(f"{clients} clients: {60 * rate:.1f} photos/min, {rate * unit_s:.3f} per product", flush=True)
            quick, marks = Settings(resolution=64, texture_px=64, faces=1000), []
            for number in range(options.memory_jobs + 1):
                if number in (options.memory_jobs // 10, options.memory_jobs):
                    marks.append((number, memory_mb(service)))
                client(PHOTO, settings=quick).delete()
            print("memory: " + ", ".join(f"{mb:.0f} MB after {number} jobs" for number, mb in marks))


if __name__ == "__main__":
    main()
