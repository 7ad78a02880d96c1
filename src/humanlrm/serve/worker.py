"""A worker: a process that keeps the network warm and turns one photo at a time into files."""

import errno
import logging
import multiprocessing
import multiprocessing.process
import os
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from humanlrm.serve.settings import ServeSettings
from humanlrm.serve.store import Job
from humanlrm.settings import PhotoOptions, Settings

#: Seconds that loading and warming up may take.
_START_S = 300.0
#: Stages of a job in their order; in the last one files are written.
STAGES = ("photo", "person", "network", "views", "surface", "texture", "files")
FILES_STAGE = STAGES[-1]


class WorkerLostError(Exception):
    """A worker ended or was stuck; the job may be tried again."""


class NoDiskError(OSError):
    """Files of a job that could not be written or read; the worker is well."""


class JobError(Exception):
    """A job that cannot be done, with a reason for its owner."""


class JobWorker(Protocol):
    """Something that does one job at a time."""

    def start(self) -> None:
        """Get ready; called again after the worker was lost."""
        ...

    def run(self, job: Job, photo: Path, attempt: Path, report: Callable[[str, float], None]) -> dict[str, Any]:
        """Write a job's files into the folder ``attempt``; return seconds and warnings.

        Raises:
            JobError: the photo cannot be reconstructed.
            NoDiskError: its files could not be written.
            WorkerLostError: the worker ended, or took too long and was ended.
        """
        ...

    def stop(self) -> None: ...


class ProcessWorker:
    """A worker in a process of its own on this machine."""

    def __init__(self, settings: ServeSettings) -> None:
        self._settings = settings
        self._process: multiprocessing.process.BaseProcess | None = None
        self._connection: Connection | None = None
        self._stopped = threading.Event()

    def start(self) -> None:
        self._end()
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve_jobs, args=(theirs, self._settings), daemon=True)
        self._process.start()
        theirs.close()
        if self._stopped.is_set():
            self._end()
            raise WorkerLostError("the service stops")
        if (message := self._receive(_START_S))[0] != "ready":
            raise WorkerLostError(str(message[1]))

    def run(self, job: Job, photo: Path, attempt: Path, report: Callable[[str, float], None]) -> dict[str, Any]:
        assert self._connection is not None
        deadline_s = time.monotonic() + self._settings.timeout_s
        try:
            self._connection.send((photo, attempt, job.options))
        except OSError as error:
            raise WorkerLostError("the worker ended") from error
        while True:
            kind, *content = self._receive(deadline_s - time.monotonic())
            if kind == "stage":
                report(*content)
            elif kind == "done":
                return content[0]
            elif kind == "refused":
                raise JobError(content[0])
            elif kind == "disk":
                raise NoDiskError(content[0])
            else:
                raise WorkerLostError(content[0])

    def stop(self) -> None:
        """End the process; the thread that waits for it sees the end."""
        self._stopped.set()
        if self._process is not None:
            self._process.kill()

    def _receive(self, timeout_s: float) -> tuple[Any, ...]:
        assert self._connection is not None
        try:
            if self._connection.poll(max(timeout_s, 0)):
                return self._connection.recv()
        except (EOFError, OSError) as error:
            raise WorkerLostError("the worker ended") from error
        self._end()
        raise WorkerLostError(f"the worker was stuck for {self._settings.timeout_s:.0f} s")

    def _end(self) -> None:
        if self._process is not None and self._process.is_alive():
            self._process.kill()
            self._process.join()
        if self._connection is not None:
            self._connection.close()


def _serve_jobs(connection: Connection, settings: ServeSettings) -> None:
    """Do jobs until the service ends. A worker whose service was killed exits at once, and frees its core."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the service, which then ends its workers
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    try:
        handler = PhotoHandler(settings)
    except Exception as error:
        connection.send(("lost", f"the worker could not start ({error})"))
        return
    connection.send(("ready",))
    while True:
        try:
            photo, attempt, options = connection.recv()
        except (EOFError, OSError, KeyboardInterrupt):
            return
        try:
            result = handler(photo.read_bytes(), attempt, options, lambda *at: connection.send(("stage", *at)))
        except ValueError as error:
            connection.send(("refused", str(error)))
        except MemoryError:
            connection.send(("lost", "the worker ran out of memory"))
        except OSError as error:
            full = error.errno == errno.ENOSPC
            connection.send(
                ("lost", "the disk of the service is full" if full else "the worker could not use its disk")
            )
        except Exception as error:
            logging.getLogger(__name__).exception("a worker failed")
            connection.send(("lost", f"the worker failed ({type(error).__name__})"))
        else:
            connection.send(("done", result))


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


class PhotoHandler:
    """Reconstruction with warm networks, and its progress by the shares of time that the last photo needed."""

    def __init__(self, settings: ServeSettings) -> None:
        import torch

        from humanlrm.reconstruct import SHIPPED, Reconstructor

        torch.set_num_threads(settings.threads)
        self._reconstructor = Reconstructor(settings.weights or SHIPPED, settings.device, settings.threads)
        self._seconds: dict[str, float] = {}
        self._warm_up()

    def __call__(
        self, photo: bytes, folder: Path, options: dict[str, Any], report: Callable[[str, float], None]
    ) -> dict[str, Any]:
        """Write a photo's files into the folder.

        Raises:
            ValueError: the photo cannot be reconstructed.
            OSError: the files cannot be written.
        """
        from humanlrm.reconstruction import listen_to_stages
        from humanlrm.results import reconstruct_photo, write_results
        from humanlrm.serve.folder import STEM

        wanted = PhotoOptions.from_plain(options)
        with listen_to_stages(lambda stage: report(stage, self._progress(stage))):
            people = reconstruct_photo(self._reconstructor, photo, wanted)
        report(FILES_STAGE, self._progress(FILES_STAGE))
        start = time.perf_counter()
        write_results(people, folder, STEM, wanted)
        seconds = people[0].seconds | {FILES_STAGE: time.perf_counter() - start}
        self._seconds = seconds
        warnings = [{"code": remark.code, "sentence": remark.sentence} for remark in people[0].warnings]
        return {"seconds": seconds, "warnings": warnings, "people": len(people)}

    def _progress(self, stage: str) -> float:
        """Share of the work before a stage."""
        before = 0.0
        for name, seconds in self._seconds.items():
            if name == stage:
                return before / sum(self._seconds.values())
            before += seconds
        return 0.0

    def _warm_up(self) -> None:
        """Reconstruct a photo, so that everything is loaded and the stages' shares of time are known."""
        options = PhotoOptions(Settings(resolution=64, texture_px=128, faces=1000), preview=True)
        photo = (Path(__file__).parent / "examples" / "avatar.jpg").read_bytes()
        with TemporaryDirectory() as folder:
            self(photo, Path(folder), options.to_plain(), lambda *_: None)
