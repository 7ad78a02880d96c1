"""The supervisor with workers that do as a script says: every end of a job is recorded, and the next job is done."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from humanlrm.serve.folder import DataFolder
from humanlrm.serve.metrics import Metrics
from humanlrm.serve.settings import ServeSettings
from humanlrm.serve.store import Job, JobStore, NewJob, new_job_id
from humanlrm.serve.supervisor import Supervisor
from humanlrm.serve.worker import JobError, NoDiskError, WorkerLostError

SUMMARY = {"seconds": {"photo": 0.1}, "warnings": [], "people": 1}


class ScriptedWorker:
    """A worker that raises the next error of its script, or writes a file when the script has ended."""

    def __init__(self, script: list[BaseException]) -> None:
        self.script, self.starts = script, 0

    def start(self) -> None:
        self.starts += 1

    def run(self, job, photo, attempt, report):
        report("photo", 0.5)
        if self.script:
            raise self.script.pop(0)
        (attempt / "model.glb").write_bytes(photo.read_bytes())
        return SUMMARY

    def stop(self) -> None:
        pass


@contextmanager
def running(
    tmp_path: Path, script: list[BaseException], **options
) -> Iterator[tuple[JobStore, DataFolder, ScriptedWorker]]:
    settings = ServeSettings(data=tmp_path / "data", reserve_mb=0, **options)
    folder = DataFolder(settings)
    store = JobStore(folder.path / "jobs.sqlite3")
    worker = ScriptedWorker(script)
    supervisor = Supervisor(settings, store, folder, Metrics(store), lambda _: worker)
    supervisor.start()
    yield store, folder, worker
    supervisor.stop()
    store.close()
    folder.close()


def do_job(store: JobStore, folder: DataFolder) -> Job:
    job_id = new_job_id()
    folder.add_photo(job_id, b"photo")
    store.accept(NewJob(job_id, "a", "f", {"everyone": False}))
    deadline_s = time.monotonic() + 60
    while (job := store.get(job_id)) is not None and job.state in ("queued", "running"):
        assert time.monotonic() < deadline_s
        time.sleep(0.02)
    assert job is not None
    return job


def test_a_job_that_is_done_has_its_files_under_their_names(tmp_path):
    with running(tmp_path, []) as (store, folder, _):
        job = do_job(store, folder)
        assert (job.state, job.result) == ("done", {**SUMMARY, "files": ["model.glb"]})
        assert folder.served_file(job, "model.glb").read_bytes() == b"photo"


@pytest.mark.parametrize(
    ("error", "starts"),
    [
        (WorkerLostError("the worker ended"), 2),
        (NoDiskError("the disk is full"), 1),
        (OSError("no"), 1),
        (KeyError("x"), 1),
    ],
    ids=["lost", "disk", "commit", "mistake"],
)
def test_a_job_that_fails_by_no_fault_of_its_own_is_tried_once_more(tmp_path, error, starts):
    with running(tmp_path, [error]) as (store, folder, worker):
        job = do_job(store, folder)
        assert (job.state, job.crashes, worker.starts) == ("done", 1, starts)


def test_a_job_that_costs_two_workers_has_failed_with_the_reason_and_the_next_one_is_done(tmp_path):
    with running(tmp_path, [WorkerLostError("the worker ended")] * 2) as (store, folder, _):
        job = do_job(store, folder)
        assert (job.state, job.reason) == ("failed", "the worker ended; it was tried 2 times")
        assert do_job(store, folder).state == "done"


def test_a_refused_photo_fails_at_once_and_the_next_one_is_done(tmp_path):
    with running(tmp_path, [JobError("no person found")]) as (store, folder, worker):
        job = do_job(store, folder)
        assert (job.state, job.reason, job.crashes) == ("failed", "no person found", 0)
        assert do_job(store, folder).state == "done"
        assert worker.starts == 1


@pytest.mark.parametrize("script", [[], [JobError("no person found")]], ids=["done", "failed"])
def test_a_photo_is_forgotten_when_its_job_has_ended(tmp_path, script):
    fails = bool(script)
    with running(tmp_path, script, forget=True) as (store, folder, _):
        job = do_job(store, folder)
        deadline_s = time.monotonic() + 10
        while folder.photo(job.id).exists() and time.monotonic() < deadline_s:
            time.sleep(0.02)
        assert not folder.photo(job.id).exists()
        assert (folder.served_file(job, "model.glb") is None) == fails


def test_jobs_that_wait_when_the_service_stops_are_done_by_the_next_one(tmp_path):
    with running(tmp_path, []) as (store, folder, _):
        pass
    folder = DataFolder(ServeSettings(data=tmp_path / "data"))
    store = JobStore(folder.path / "jobs.sqlite3")
    folder.add_photo("later", b"photo")
    store.accept(NewJob("later", "a", "f", {}))
    store.claim()
    store.close(), folder.close()
    with running(tmp_path, []) as (store, folder, _):
        deadline_s = time.monotonic() + 60
        while store.get("later").state != "done":
            assert time.monotonic() < deadline_s
            time.sleep(0.02)
