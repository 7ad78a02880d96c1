"""Threads that give jobs to workers, replace lost workers, and remove what has expired."""

import contextlib
import logging
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

from humanlrm.serve.folder import DataFolder
from humanlrm.serve.metrics import Metrics
from humanlrm.serve.settings import ServeSettings
from humanlrm.serve.store import Job, JobStore
from humanlrm.serve.worker import JobError, JobWorker, NoDiskError, WorkerLostError

_log = logging.getLogger(__name__)
#: Seconds between looks for work, sweeps for expired jobs, and tries after the disk or a worker's start failed.
_IDLE_S, _SWEEP_S, _AGAIN_S = 1.0, 5.0, 1.0


class Supervisor:
    """Workers and their jobs.

    Args:
        start_worker: makes one worker.
    """

    def __init__(
        self,
        settings: ServeSettings,
        store: JobStore,
        folder: DataFolder,
        metrics: Metrics,
        start_worker: Callable[[ServeSettings], JobWorker],
    ) -> None:
        self._settings, self._store, self._folder, self._metrics = settings, store, folder, metrics
        self._stopping = threading.Event()
        self._workers = [start_worker(settings) for _ in range(settings.workers)]
        self._ready = [threading.Event() for _ in self._workers]
        pairs = zip(self._workers, self._ready, strict=True)
        self._threads = [threading.Thread(target=self._work, args=pair) for pair in pairs]
        self._threads.append(threading.Thread(target=self._sweep_forever))

    @property
    def ready(self) -> int:
        """Workers that are warm."""
        return sum(event.is_set() for event in self._ready)

    def start(self) -> None:
        self._folder.recover(self._store)
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the workers. Jobs that were running wait again at the next start."""
        self._stopping.set()
        for worker in self._workers:
            worker.stop()
        for thread in self._threads:
            thread.join()

    def _work(self, worker: JobWorker, ready: threading.Event) -> None:
        """Do jobs until the service stops. Errors of the disk pass: a full disk holds jobs, it does not lose them."""
        while not self._stopping.is_set():
            try:
                if not ready.is_set():
                    worker.start()
                    ready.set()
                    _log.info("a worker is ready")
                job = self._store.claim() if self._folder.has_room else None
                if job is None:
                    with self._store.changed:
                        self._store.changed.wait(_IDLE_S)
                elif not self._do(worker, job):
                    ready.clear()
                    self._metrics.lost_workers.inc()
            except WorkerLostError as error:
                if not self._stopping.is_set():
                    _log.error("a worker could not start: %s", error)
                    self._stopping.wait(_AGAIN_S)
            except (sqlite3.Error, OSError) as error:
                _log.error("the store or the data folder failed: %s", type(error).__name__)
                self._stopping.wait(_AGAIN_S)

    def _do(self, worker: JobWorker, job: Job) -> bool:
        """Do one job. False: the worker was lost."""
        start = time.monotonic()
        attempt: Path | None = None
        try:
            attempt = self._folder.attempt(job)
            summary = worker.run(job, self._folder.photo(job.id), attempt, lambda *at: self._report(job, *at))
            result, size = self._folder.commit(job.id, attempt, summary)
        except JobError as refusal:
            reason = str(refusal)
            self._persist(lambda: self._store.fail(job.id, reason))
            self._count(job, "failed")
        except WorkerLostError as loss:
            if not self._stopping.is_set():
                self._try_again(job, str(loss))
            return False
        except OSError as error:
            self._try_again(job, str(error) if isinstance(error, NoDiskError) else "the disk of the service is full")
            self._stopping.wait(_AGAIN_S)
        except Exception:  # a mistake in here must not end the thread
            _log.exception("job %s met an unexpected error", job.id)
            self._try_again(job, "the service met an unexpected error")
        else:
            self._persist(lambda: self._store.finish(job.id, result, size))
            self._metrics.job_seconds.observe(time.monotonic() - start)
            for stage, seconds in summary["seconds"].items():
                self._metrics.stage_seconds.labels(stage).observe(seconds)
            self._count(job, "done")
        finally:
            if attempt is not None:
                shutil.rmtree(attempt, ignore_errors=True)
            if self._store.get(job.id) is None:
                self._folder.remove(job.id)
        return True

    def _try_again(self, job: Job, reason: str) -> None:
        """Let a job wait again, or fail with the reason if it has been tried enough."""
        if self._persist(lambda: self._store.crash(job.id, reason)):
            self._count(job, "failed")

    def _persist(self, write: Callable[[], bool]) -> bool:
        """Write to the store, again and again while its disk is full."""
        while True:
            try:
                return write()
            except sqlite3.OperationalError:
                if self._stopping.wait(_AGAIN_S):
                    return False

    def _report(self, job: Job, stage: str, progress: float) -> None:
        with contextlib.suppress(sqlite3.OperationalError):  # progress may be lost, jobs may not
            self._store.report(job.id, stage, progress)

    def _count(self, job: Job, state: str) -> None:
        self._metrics.jobs.labels(state).inc()
        _log.info("job %s: %s", job.id, state)
        if self._settings.forget:
            current = self._store.get(job.id)
            if current is not None and current.state in ("done", "failed"):
                self._folder.forget_photo(job.id)

    def _sweep_forever(self) -> None:
        while not self._stopping.wait(_SWEEP_S):
            with contextlib.suppress(sqlite3.Error, OSError):
                self.sweep()

    def sweep(self) -> None:
        """Remove expired jobs and photos that should be forgotten, and remember the clock."""
        if self._settings.forget:  # a service that was killed may have left some
            for job_id in self._store.finished():
                self._folder.forget_photo(job_id)
        self._store.save_clock()
        keep_s, keep_bytes = self._settings.keep_hours * 3600, self._settings.keep_gb * 1e9
        for job_id in self._store.expired(keep_s, keep_bytes):
            if self._store.delete(job_id):
                self._folder.remove(job_id)
