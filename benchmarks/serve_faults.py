"""Faults of the service, counted: jobs that were accepted and lost, jobs that were done twice, tracebacks to clients.

    python -m benchmarks.serve_faults [--only kills disk clock malformed slow burst restart]

kills: SIGKILL of the worker, then of the server, in every stage of a job. disk: a data folder on a tmpfs of 40 MB that
fills up (needs root). clock: the wall clock jumps by a year (needs libfaketime). malformed: 200 uploads that are no
photos. slow: clients that send a byte a second. burst: 100 jobs at once. restart: kills of the server while jobs wait.
Everything is POSIX only.
"""

import argparse
import io
import os
import random
import socket
import subprocess
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil
from PIL import Image

from humanlrm.serve.local import LocalService

PHOTO = (Path(__file__).parent.parent / "examples" / "avatar.jpg").read_bytes()
URL = "/v1/reconstructions"
FIELDS = {"resolution": "64", "texture_px": "64", "faces": "1000", "preview": "false"}
STAGES = ("photo", "person", "network", "views", "surface", "texture", "files")
OPTIONS = ("--no-page", "--threads", "1", "--reserve-mb", "5", "--queue", "200", "--per-client", "200")
#: Jobs that are tried until one is seen in a stage.
ATTEMPTS = 8
#: Seconds to wait for a job.
PATIENCE_S = 3600


class Tally:
    """Counts of one service's jobs.

    Attributes:
        answers: by status.
        tracebacks: answers that hold one.
    """

    def __init__(self, service: LocalService) -> None:
        self.service, self.accepted, self.answers = service, [], Counter()
        self.tracebacks = self.lost = self.doubled = self.refused = 0

    def request(self, method: str, url: str, **options) -> httpx.Response | None:
        """An answer; ``None``: the server is away."""
        try:
            answer = httpx.request(method, self.service.address + url, trust_env=False, timeout=120, **options)
        except httpx.TransportError:
            return None
        self.answers[answer.status_code] += 1
        self.tracebacks += "Traceback" in answer.text[:100_000] and "gltf" not in answer.headers.get("content-type", "")
        return answer

    def request_raw(self, header: bytes) -> int:
        """Status of the answer to an upload whose headers no library would send."""
        host, port = self.service.address.removeprefix("http://").split(":")
        head = b"POST " + URL.encode() + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        head += b"Content-Type: multipart/form-data; boundary=b\r\n"
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            connection.sendall(head + header + b"\r\n\r\n--b\r\n")
            answer = connection.recv(100_000)
        status = int(answer.split(b" ")[1])
        self.answers[status] += 1
        self.tracebacks += b"Traceback" in answer
        return status

    def post(self, photo: bytes = PHOTO, key: str | None = None, **fields: str) -> str | None:
        """Id of an accepted job."""
        headers = {} if key is None else {"Idempotency-Key": key}
        files = {"photo": ("photo", photo)}
        answer = self.request("POST", URL, files=files, data=FIELDS | fields, headers=headers)
        if answer is None or answer.status_code != 202:
            self.refused += 1
            return None
        job_id = answer.json()["id"]
        if job_id not in self.accepted:
            self.accepted.append(job_id)
        return job_id

    def see(self, job_id: str) -> dict | None:
        answer = self.request("GET", f"{URL}/{job_id}")
        return None if answer is None or answer.status_code != 200 else answer.json()

    def settle(self) -> None:
        """Wait for all accepted jobs; count those that are gone, not done, or whose files are missing."""
        deadline_s = time.monotonic() + PATIENCE_S
        for job_id in self.accepted:
            job = self.see(job_id)
            while job is not None and job["state"] in ("queued", "running") and time.monotonic() < deadline_s:
                time.sleep(0.3)
                job = self.see(job_id)
            good = job is not None and job["state"] == "done" and job["files"]
            for address in (job or {}).get("files", {}).values():
                answer = self.request("GET", address)
                good = good and answer is not None and answer.status_code == 200 and bool(answer.content)
            self.lost += not good
        listed = (self.request("GET", URL, params={"limit": 100}) or httpx.Response(500)).json()["items"]
        self.doubled += max(0, len(listed) - len(set(self.accepted))) if len(self.accepted) < 100 else 0

    def line(self, name: str, extra: str = "") -> None:
        statuses = " ".join(f"{status}:{count}" for status, count in sorted(self.answers.items()))
        print(
            f"{name:10s} accepted {len(self.accepted):3d}  lost {self.lost}  doubled {self.doubled}  "
            f"tracebacks {self.tracebacks}  answers {statuses}  {extra}",
            flush=True,
        )


@contextmanager
def running(folder: Path, *options: str, environment: dict[str, str] | None = None):
    with LocalService(folder, (*OPTIONS, *options), environment, timeout_s=1800) as service:
        yield Tally(service)


def worker_pids(service: LocalService) -> list[int]:
    """Worker processes: the server's children that hold a network."""
    assert service.process is not None
    children = psutil.Process(service.process.pid).children()
    return [child.pid for child in children if "spawn_main" in " ".join(child.cmdline())]


def wait_for_stage(tally: Tally, job_id: str, stage: str) -> bool:
    """True when the job is in the stage; False: it went past it."""
    while True:
        job = tally.see(job_id)
        if job is None or job["state"] in ("done", "failed"):
            return False
        if job["stage"] == stage:
            return True
        time.sleep(0.02)


def kills(folder: Path) -> None:
    with running(folder) as tally:
        hit = Counter()
        for victim in ("worker", "server"):
            for stage in STAGES:
                key, job_id = "", None
                for attempt in range(ATTEMPTS):  # the shortest stages pass between two looks
                    key = f"{victim}-{stage}-{attempt}"
                    job_id = tally.post(key=key)
                    if job_id is not None and wait_for_stage(tally, job_id, stage):
                        break
                else:
                    continue
                hit[victim] += 1
                if victim == "worker":
                    for pid in worker_pids(tally.service):
                        psutil.Process(pid).kill()
                else:
                    tally.service.kill()
                    tally.service.start()
                again = tally.post(key=key)  # a client that repeats its request
                tally.doubled += again != job_id
        tally.settle()
        tally.line("kills", f"worker killed in {hit['worker']} stages, server in {hit['server']}")


def disk(folder: Path) -> None:
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(folder)], check=False).returncode:
        print("disk       skipped: mounting a tmpfs needs root")
        return
    try:
        with running(folder / "data") as tally:
            first = tally.post()
            while (job := tally.see(first or "")) and job["state"] != "done":
                time.sleep(0.3)
            filler = folder / "filler"
            filler.write_bytes(b"x" * (os.statvfs(folder).f_bavail * 4096 - 200_000))
            for _ in range(5):
                tally.post()
            filler.unlink()
            waiting = tally.post()
            filler.write_bytes(b"x" * (os.statvfs(folder).f_bavail * 4096 - 50_000))  # full while a job runs
            time.sleep(5)
            filler.unlink()
            assert waiting is not None
            tally.settle()
            tally.line("disk", f"refused while full {tally.refused}")
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


def clock(folder: Path) -> None:
    library = next(iter(Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), None)
    if library is None:
        print("clock      skipped: libfaketime is not installed")
        return
    stamp = folder.with_name("faketime")
    stamp.write_text("+0", encoding="utf-8")
    environment = os.environ | {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(stamp),
        "FAKETIME_NO_CACHE": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }
    with running(folder, "--keep-hours", "30", environment=environment) as tally:
        for jump in ("+0", "+365d", "-365d"):
            stamp.write_text(jump, encoding="utf-8")
            tally.post()
            time.sleep(12)  # two sweeps
        tally.settle()
        tally.service.stop()
        stamp.write_text("+3650d", encoding="utf-8")
        tally.service.start()
        tally.settle()
        tally.line("clock", "jumps of a year ahead and back, of ten years while stopped")


def malformed_photos(count: int):
    """Truncated, bombs, wrong types, huge headers, zero bytes, polyglots."""
    random_numbers = random.Random(0)
    bomb = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(bomb, "PNG")
    png = io.BytesIO()
    Image.new("RGB", (40, 40)).save(png, "PNG")
    kinds = [
        lambda: PHOTO[: random_numbers.randrange(1, len(PHOTO) - 100)],
        lambda: bytes(random_numbers.randrange(256) for _ in range(2000)),
        lambda: b"",
        lambda: bomb.getvalue(),
        lambda: b"\0" * random_numbers.randrange(1, 5000),
        lambda: b"%PDF-1.4\n" + PHOTO,
        lambda: b"<html><script>alert(1)</script>" + PHOTO,
        lambda: b"PK\x03\x04" + os.urandom(500),
        lambda: PHOTO[:200] + os.urandom(3000) + PHOTO[3200:],
        lambda: png.getvalue()[:16] + b"\x7f\xff\xff\xff\x7f\xff\xff\xff" + png.getvalue()[24:],
    ]
    for number in range(count):
        yield kinds[number % len(kinds)]()


def malformed(folder: Path) -> None:
    with running(folder) as tally:
        for photo in malformed_photos(200):
            tally.post(photo)
        headers = {"Content-Type": "multipart/form-data; boundary=" + "b" * 60_000}
        tally.request("POST", URL, content=b"x", headers=headers)
        assert tally.request_raw(b"Content-Length: 99999999999") == 413
        accepted, tally.accepted = tally.accepted, []
        states = Counter()
        for job_id in accepted:  # their headers are those of photos: a worker has to look
            while (job := tally.see(job_id)) and job["state"] in ("queued", "running"):
                time.sleep(0.3)
            states[job["state"] if job else "gone"] += 1
            tally.request("DELETE", f"{URL}/{job_id}")
        tally.accepted = [job_id for job_id in [tally.post()] if job_id]
        tally.settle()
        ended = " ".join(f"{state}:{count}" for state, count in sorted(states.items()))
        tally.line("malformed", f"refused {tally.refused} of 200; the others {ended}; then a good photo")


def slow(folder: Path) -> None:
    with running(folder, "--upload-s", "8") as tally:
        host, port = tally.service.address.removeprefix("http://").split(":")
        head = (
            b"POST /v1/reconstructions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        )
        answers = Counter()

        def dribble(_: int) -> None:
            with suppress(OSError), socket.create_connection((host, int(port)), timeout=60) as connection:
                connection.sendall(head + b"Content-Length: 100000\r\n\r\n")
                for _ in range(30):
                    connection.sendall(b"-")
                    connection.settimeout(1)
                    with suppress(TimeoutError):
                        answers[connection.recv(200).split(b" ")[1]] += 1
                        return

        threads = [threading.Thread(target=dribble, args=(number,)) for number in range(50)]
        for thread in threads:
            thread.start()
        tally.post()
        tally.settle()
        for thread in threads:
            thread.join()
        tally.line("slow", f"50 slow clients got {dict(answers)}; a good photo beside them")


def burst(folder: Path, count: int) -> None:
    with running(folder) as tally, ThreadPoolExecutor(count) as pool:
        list(pool.map(lambda number: tally.post(key=f"burst-{number}"), range(count)))
        list(pool.map(lambda number: tally.post(key=f"burst-{number}"), range(count)))
        ids = set(tally.accepted)
        tally.doubled = len(ids) - count
        tally.settle()
        tally.line("burst", f"{count} clients at once, each twice with one key")


def restart(folder: Path) -> None:
    with running(folder) as tally:
        for number in range(10):
            tally.post(key=f"restart-{number}")
            if number % 3 == 2:
                time.sleep(1)
                tally.service.kill()
                tally.service.start(wait_until_ready=False)
                time.sleep(2)
        tally.settle()
        tally.line("restart", "server killed 3 times while jobs waited")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ("kills", "disk", "clock", "malformed", "slow", "burst", "restart")
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--burst", type=int, default=100, help="jobs at once")
    options = parser.parse_args()
    parts = {
        "kills": kills,
        "disk": disk,
        "clock": clock,
        "malformed": malformed,
        "slow": slow,
        "burst": lambda folder: burst(folder, options.burst),
        "restart": restart,
    }
    with tempfile.TemporaryDirectory() as folder:
        for name in options.only:
            parts[name](Path(folder) / name)


if __name__ == "__main__":
    main()
