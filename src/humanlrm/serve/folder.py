"""The data folder: photos and results on disk, next to the store."""

import contextlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from humanlrm.serve.settings import ServeSettings
from humanlrm.serve.store import Job, JobStore

#: Name under which a job's files are made and served.
STEM = "model"
_SUMMARY = "summary.json"


class DataFolder:
    """Folder of one service: ``jobs.sqlite3``, and ``jobs/ID`` with the photo and, at the end, ``result``.

    A result's folder gets its name when all files in it are written; then the job is marked as done.

    Raises:
        ValueError: another service uses the folder.
    """

    def __init__(self, settings: ServeSettings) -> None:
        self.path = settings.data.absolute()
        self.jobs = self.path / "jobs"
        self.jobs.mkdir(parents=True, exist_ok=True)
        self._reserve_bytes = settings.reserve_mb * 1e6
        self._lock = FileLock(self.path / "lock")
        try:
            self._lock.acquire(timeout=5)
        except Timeout as error:
            raise ValueError(f"{settings.data} is in use by another service; give another --data") from error

    def close(self) -> None:
        self._lock.release()

    def photo(self, job_id: str) -> Path:
        return self.jobs / job_id / "photo"

    def result(self, job_id: str) -> Path:
        return self.jobs / job_id / "result"

    def attempt(self, job: Job) -> Path:
        """Empty folder in which a worker makes the job's files."""
        folder = self.jobs / job.id / f"attempt-{os.urandom(4).hex()}"
        folder.mkdir(parents=True)
        return folder

    @property
    def has_room(self) -> bool:
        """True if the disk has more room than the reserve."""
        return shutil.disk_usage(self.path).free > self._reserve_bytes

    def add_photo(self, job_id: str, content: bytes) -> None:
        """Write a photo so that it survives a power cut.

        Raises:
            OSError: the disk is full; nothing is left.
        """
        path = self.photo(job_id)
        try:
            path.parent.mkdir(parents=True)
            with path.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            self.remove(job_id)
            raise

    def commit(self, job_id: str, attempt: Path, summary: dict[str, Any]) -> tuple[dict[str, Any], int]:
        """Give the finished files their name.

        Returns:
            the summary with the names of the files, and their size in bytes.
        """
        files = sorted(path.name for path in attempt.iterdir())
        size = sum((attempt / name).stat().st_size for name in files)
        result = summary | {"files": files}
        with (attempt / _SUMMARY).open("w", encoding="utf-8") as file:
            json.dump([result, size], file)
            file.flush()
            os.fsync(file.fileno())
        if self.result(job_id).exists():  # left by a service that was killed, twice
            shutil.rmtree(self.result(job_id))
        attempt.rename(self.result(job_id))
        return result, size

    def forget_photo(self, job_id: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.photo(job_id).unlink()

    def remove(self, job_id: str) -> None:
        """Remove a job's files. What cannot be removed now goes with the next sweep."""
        shutil.rmtree(self.jobs / job_id, ignore_errors=True)

    def recover(self, store: JobStore) -> None:
        """Set right what a service left behind that was killed at any moment."""
        store.requeue_running()
        for job in store.queued():
            summary = self.result(job.id) / _SUMMARY
            if summary.is_file():
                result, size = json.loads(summary.read_text(encoding="utf-8"))
                store.restore_finished(job.id, result, size)
            for attempt in (self.jobs / job.id).glob("attempt-*"):
                shutil.rmtree(attempt, ignore_errors=True)
        known = store.ids()
        for folder in self.jobs.iterdir():
            if folder.name not in known:  # its row was never committed, or was deleted
                self.remove(folder.name)

    def served_file(self, job: Job, name: str) -> Path | None:
        """A file of a job that is done; ``None``: it has no file of this name. Only names of the job's list count."""
        if job.state != "done" or name not in job.result.get("files", ()):
            return None
        path = self.result(job.id) / name
        return path if path.is_file() else None
