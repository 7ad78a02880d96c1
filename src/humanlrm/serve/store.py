"""Jobs in SQLite. A job is accepted when its row is committed; no state lives anywhere else.

Order comes from a sequence number and age from :class:`ServiceClock`, so that a jump of the wall clock neither reorders
nor expires jobs. The wall clock's times are only shown.
"""

import json
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

State = Literal["queued", "running", "done", "failed"]
#: Workers that a job may cost before it fails.
MOST_CRASHES = 2
#: Most that the clock moves on while the service is stopped, seconds; a wall clock that was set wrong costs this much.
_MOST_STOPPED_S = 86_400.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    client TEXT NOT NULL,
    idempotency_key TEXT,
    fingerprint TEXT NOT NULL,
    options TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'queued',
    crashes INTEGER NOT NULL DEFAULT 0,
    stage TEXT,
    progress REAL NOT NULL DEFAULT 0,
    reason TEXT,
    result TEXT NOT NULL DEFAULT '{}',
    bytes INTEGER NOT NULL DEFAULT 0,
    created_at REAL NOT NULL,
    finished_at REAL,
    finished_s REAL,
    UNIQUE (client, idempotency_key)
);
CREATE INDEX IF NOT EXISTS jobs_state ON jobs (state, sequence);
CREATE TABLE IF NOT EXISTS clock (only INTEGER PRIMARY KEY CHECK (only = 1), wall REAL NOT NULL, service REAL NOT NULL);
"""


class QueueFullError(Exception):
    """Too many jobs wait, in all or of one client.

    Attributes:
        waiting: jobs that are in the way.
    """

    def __init__(self, message: str, waiting: int) -> None:
        super().__init__(message)
        self.waiting = waiting


class KeyReusedError(Exception):
    """An idempotency key that came with another photo or other options before."""


@dataclass(frozen=True)
class Job:
    """A row of the store.

    Attributes:
        sequence: order of acceptance.
        id: unguessable name.
        client: whose it is.
        fingerprint: hash of photo and options.
        options: see ``results.PhotoOptions``, as plain values.
        crashes: workers that ended, or were stuck, while they had the job.
        progress: share of the work that is done, in [0, 1].
        reason: why it failed.
        result: files, seconds and warnings of a job that is done.
        bytes: size of the result.
        created_at: wall clock, seconds since 1970.
    """

    sequence: int
    id: str
    client: str
    fingerprint: str
    options: dict[str, Any]
    state: State
    crashes: int
    stage: str | None
    progress: float
    reason: str | None
    result: dict[str, Any]
    bytes: int
    created_at: float
    finished_at: float | None


@dataclass(frozen=True)
class NewJob:
    """A job that asks to be accepted.

    Attributes:
        id: name of its folder, which already holds the photo.
        key: idempotency key, if the client sent one.
    """

    id: str
    client: str
    fingerprint: str
    options: dict[str, Any]
    key: str | None = None


class ServiceClock:
    """Seconds for which the service has existed. It runs with the monotonic clock, so nobody can set it."""

    def __init__(self, service_s: float = 0.0) -> None:
        self._start_s, self._begun = service_s, time.monotonic()

    def __call__(self) -> float:
        return self._start_s + time.monotonic() - self._begun


class JobStore:
    """Jobs of one service. Safe to use from several threads.

    Args:
        path: file of the database.
        queue: jobs that may wait.
        per_client: unfinished jobs of one client.
    """

    def __init__(self, path: Path, queue: int = 100, per_client: int = 50) -> None:
        self._queue, self._per_client = queue, per_client
        self._lock = threading.RLock()
        #: Notified when a job comes or goes.
        self.changed = threading.Condition(self._lock)
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=30)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.executescript(_SCHEMA)
        self.clock = self._open_clock()

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self.changed:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
            self.changed.notify_all()

    def _open_clock(self) -> ServiceClock:
        row = self._connection.execute("SELECT wall, service FROM clock").fetchone()
        if row is None:
            return ServiceClock()
        return ServiceClock(row["service"] + min(max(time.time() - row["wall"], 0.0), _MOST_STOPPED_S))

    def save_clock(self) -> None:
        """Remember the clock for the next start."""
        with self._transaction() as database:
            database.execute("INSERT OR REPLACE INTO clock VALUES (1, ?, ?)", (time.time(), self.clock()))

    # ---- accepting

    def check_room(self, client: str) -> None:
        """Refuse before an upload is read what would be refused after it.

        Raises:
            QueueFullError: the queue or the client's share is full.
        """
        waiting = self.count("queued")
        if waiting >= self._queue:
            raise QueueFullError(f"{waiting} jobs wait already, which is the most", waiting)
        with self._lock:
            query = "SELECT count(*) FROM jobs WHERE client = ? AND state IN ('queued', 'running')"
            unfinished = self._connection.execute(query, (client,)).fetchone()[0]
        if unfinished >= self._per_client:
            raise QueueFullError(f"you have {unfinished} unfinished jobs, which is the most per client", unfinished)

    def accept(self, new: NewJob) -> tuple[Job, bool]:
        """Commit a job, or return the one that the same idempotency key made before.

        Returns:
            the job, and True if it is new.

        Raises:
            QueueFullError: the queue or the client's share is full.
            KeyReusedError: the key came with something else before.
        """
        with self._transaction() as database:
            if new.key is not None:
                query = "SELECT * FROM jobs WHERE client = ? AND idempotency_key = ?"
                row = database.execute(query, (new.client, new.key)).fetchone()
                if row is not None:
                    if row["fingerprint"] != new.fingerprint:
                        raise KeyReusedError("this Idempotency-Key came with another photo or other options before")
                    return _job(row), False
            self.check_room(new.client)
            values = (new.id, new.client, new.key, new.fingerprint, json.dumps(new.options), time.time())
            columns = "id, client, idempotency_key, fingerprint, options, created_at"
            database.execute(f"INSERT INTO jobs ({columns}) VALUES (?, ?, ?, ?, ?, ?)", values)
            return _job(database.execute("SELECT * FROM jobs WHERE id = ?", (new.id,)).fetchone()), True

    # ---- working

    def claim(self) -> Job | None:
        """The job that has waited longest, now running; ``None``: none waits."""
        with self._transaction() as database:
            query = """UPDATE jobs SET state = 'running', stage = NULL, progress = 0 WHERE sequence =
                (SELECT sequence FROM jobs WHERE state = 'queued' ORDER BY sequence LIMIT 1) RETURNING *"""
            row = database.execute(query).fetchone()
        return None if row is None else _job(row)

    def report(self, job_id: str, stage: str, progress: float) -> None:
        """Note how far a running job is."""
        with self._transaction() as database:
            query = "UPDATE jobs SET stage = ?, progress = max(progress, ?) WHERE id = ? AND state = 'running'"
            database.execute(query, (stage, progress, job_id))

    def finish(self, job_id: str, result: dict[str, Any], size_bytes: int) -> bool:
        """Mark a running job as done. False: it was deleted meanwhile."""
        query = """UPDATE jobs SET state = 'done', stage = NULL, progress = 1, result = ?, bytes = ?, finished_at = ?,
            finished_s = ? WHERE id = ? AND state = 'running'"""
        return self._end(query, (json.dumps(result), size_bytes, time.time(), self.clock(), job_id))

    def fail(self, job_id: str, reason: str) -> bool:
        """Mark a running job as failed. False: it was deleted meanwhile."""
        query = """UPDATE jobs SET state = 'failed', stage = NULL, reason = ?, finished_at = ?, finished_s = ?
            WHERE id = ? AND state = 'running'"""
        return self._end(query, (reason, time.time(), self.clock(), job_id))

    def crash(self, job_id: str, reason: str) -> bool:
        """Count a lost worker: the job waits again, at its old place, or has failed. True: it has failed."""
        with self._transaction() as database:
            query = "UPDATE jobs SET crashes = crashes + 1 WHERE id = ? AND state = 'running' RETURNING crashes"
            row = database.execute(query, (job_id,)).fetchone()
            if row is None:
                return False
            if row["crashes"] < MOST_CRASHES:
                database.execute("UPDATE jobs SET state = 'queued', stage = NULL WHERE id = ?", (job_id,))
                return False
            return self.fail(job_id, f"{reason}; it was tried {MOST_CRASHES} times")

    def requeue_running(self) -> None:
        """Let jobs that a service which ended was working on wait again, at their old place."""
        with self._transaction() as database:
            database.execute("UPDATE jobs SET state = 'queued', stage = NULL WHERE state = 'running'")

    def queued(self) -> list[Job]:
        """Jobs that wait."""
        with self._lock:
            rows = self._connection.execute("SELECT * FROM jobs WHERE state = 'queued' ORDER BY sequence").fetchall()
        return [_job(row) for row in rows]

    def restore_finished(self, job_id: str, result: dict[str, Any], size_bytes: int) -> None:
        """Mark a job as done whose files got their names just before the service ended."""
        with self._transaction() as database:
            database.execute("UPDATE jobs SET state = 'running' WHERE id = ? AND state = 'queued'", (job_id,))
            self.finish(job_id, result, size_bytes)

    def _end(self, query: str, values: tuple[Any, ...]) -> bool:
        with self.changed:
            if self._connection.in_transaction:
                return self._connection.execute(query, values).rowcount > 0
            with self._transaction() as database:
                return database.execute(query, values).rowcount > 0

    # ---- reading and removing

    def get(self, job_id: str) -> Job | None:
        with self._lock:
            row = self._connection.execute("SELECT * FROM jobs WHERE id = ?", (job_id,)).fetchone()
        return None if row is None else _job(row)

    def page(self, client: str | None, limit: int, after: int = 0, state: State | None = None) -> list[Job]:
        """Jobs in the order of acceptance.

        Args:
            client: whose; ``None``: everybody's.
            after: sequence number of the last job of the page before.
        """
        query = """SELECT * FROM jobs WHERE sequence > ? AND (? IS NULL OR client = ?) AND (? IS NULL OR state = ?)
            ORDER BY sequence LIMIT ?"""
        with self._lock:
            rows = self._connection.execute(query, (after, client, client, state, state, limit)).fetchall()
        return [_job(row) for row in rows]

    def count(self, state: State) -> int:
        with self._lock:
            return self._connection.execute("SELECT count(*) FROM jobs WHERE state = ?", (state,)).fetchone()[0]

    def position(self, job: Job) -> int:
        """Jobs that are before this one."""
        query = "SELECT count(*) FROM jobs WHERE state = 'queued' AND sequence < ?"
        with self._lock:
            return self._connection.execute(query, (job.sequence,)).fetchone()[0]

    def ids(self) -> set[str]:
        with self._lock:
            return {row["id"] for row in self._connection.execute("SELECT id FROM jobs")}

    def delete(self, job_id: str) -> bool:
        """Remove a job in any state. False: there is none."""
        with self._transaction() as database:
            return database.execute("DELETE FROM jobs WHERE id = ?", (job_id,)).rowcount > 0

    def finished(self) -> list[str]:
        """Jobs that are done or have failed."""
        with self._lock:
            return [row["id"] for row in self._connection.execute("SELECT id FROM jobs WHERE finished_s IS NOT NULL")]

    def expired(self, keep_s: float, keep_bytes: float) -> list[str]:
        """Finished jobs that are too old, and the oldest above the total size."""
        query = "SELECT id, bytes, finished_s FROM jobs WHERE finished_s IS NOT NULL ORDER BY finished_s DESC"
        with self._lock:
            rows = self._connection.execute(query).fetchall()
        old, total = [], 0
        for row in rows:
            total += row["bytes"]
            if total > keep_bytes or self.clock() - row["finished_s"] > keep_s:
                old.append(row["id"])
        return old


def new_job_id() -> str:
    """An unguessable name."""
    return uuid.uuid4().hex


def _job(row: sqlite3.Row) -> Job:
    values = {name: row[name] for name in Job.__dataclass_fields__}
    return Job(**values | {"options": json.loads(row["options"]), "result": json.loads(row["result"])})
