"""The store of jobs: what is accepted is kept, in order, whatever happens to processes and clocks."""

import sqlite3
import time
from dataclasses import replace

import pytest

from humanlrm.serve.folder import DataFolder
from humanlrm.serve.settings import ServeSettings
from humanlrm.serve.store import Job, JobStore, KeyReusedError, NewJob, QueueFullError, new_job_id


def new_job(client: str = "a", key: str | None = None, fingerprint: str = "f") -> NewJob:
    return NewJob(new_job_id(), client, fingerprint, {"everyone": False}, key)


def accept(store: JobStore, *arguments: str, **options: str) -> Job:
    return store.accept(new_job(*arguments, **options))[0]


@pytest.fixture
def store(tmp_path):
    store = JobStore(tmp_path / "jobs.sqlite3", queue=3, per_client=2)
    yield store
    store.close()


def test_jobs_are_done_in_the_order_in_which_they_were_accepted(store):
    jobs = [accept(store, client) for client in "abc"]
    assert [store.position(job) for job in jobs] == [0, 1, 2]
    assert [store.claim().id for _ in jobs] == [job.id for job in jobs]
    assert store.claim() is None


def test_an_accepted_job_is_there_after_the_process_has_ended(store, tmp_path):
    job = accept(store)
    again = JobStore(tmp_path / "jobs.sqlite3")  # the first is not closed, as after a kill
    assert again.get(job.id) == job
    again.close()


def test_running_jobs_wait_again_at_their_old_place(store, tmp_path):
    first, second = accept(store), accept(store)
    store.claim()
    again = JobStore(tmp_path / "jobs.sqlite3")
    again.requeue_running()
    assert [job.id for job in again.queued()] == [first.id, second.id]
    assert [again.claim().id, again.claim().id] == [first.id, second.id]
    again.close()


def test_a_full_queue_and_a_greedy_client_are_refused(store):
    accept(store, "a"), accept(store, "a")
    with pytest.raises(QueueFullError, match="per client"):
        accept(store, "a")
    accept(store, "b")
    with pytest.raises(QueueFullError, match="wait already"):
        accept(store, "c")
    assert store.count("queued") == 3


def test_the_same_idempotency_key_gives_the_same_job(store):
    job = accept(store, key="k")
    again, is_new = store.accept(new_job(key="k"))
    assert (again.id, is_new) == (job.id, False)
    assert accept(store, "b", key="k").id != job.id
    with pytest.raises(KeyReusedError):
        accept(store, key="k", fingerprint="other")


def test_a_job_whose_worker_is_lost_is_tried_once_more_and_then_failed_with_the_reason(store):
    job = accept(store)
    store.claim()
    assert not store.crash(job.id, "the worker ended")
    assert store.claim().id == job.id
    assert store.crash(job.id, "the worker ended")
    failed = store.get(job.id)
    assert (failed.state, failed.reason) == ("failed", "the worker ended; it was tried 2 times")


def test_a_deleted_job_stays_deleted_when_its_worker_ends(store):
    job = accept(store)
    store.claim()
    assert store.delete(job.id)
    assert not store.finish(job.id, {}, 1)
    assert store.get(job.id) is None


def test_progress_never_goes_back(store):
    job = accept(store)
    store.claim()
    for progress in (0.5, 0.2):
        store.report(job.id, "texture", progress)
    assert store.get(job.id).progress == 0.5


def test_results_expire_by_age_and_by_total_size_but_unfinished_jobs_never(store):
    jobs = [accept(store, client) for client in "abc"]
    for job in jobs[:2]:
        store.claim()
        store.finish(job.id, {}, 100)
    assert store.expired(keep_s=1000, keep_bytes=1000) == []
    assert store.expired(keep_s=1000, keep_bytes=150) == [jobs[0].id]
    assert set(store.expired(keep_s=-1, keep_bytes=1000)) == {jobs[0].id, jobs[1].id}


def test_a_jump_of_the_wall_clock_expires_nothing(store, tmp_path, monkeypatch):
    job = accept(store)
    store.claim()
    store.finish(job.id, {}, 1)
    store.save_clock()
    year_s, now = 365 * 86400, time.time
    monkeypatch.setattr(time, "time", lambda: now() + year_s)
    assert store.expired(keep_s=3600, keep_bytes=10) == []
    again = JobStore(tmp_path / "jobs.sqlite3")  # stopped while the clock jumped: a day has gone at most
    assert again.clock() == pytest.approx(86400, abs=60)
    monkeypatch.setattr(time, "time", lambda: now() - year_s)
    back = JobStore(tmp_path / "jobs.sqlite3")
    assert back.clock() >= 0
    assert back.expired(keep_s=3600, keep_bytes=10) == []
    again.close(), back.close()


def test_a_page_goes_on_where_the_last_one_ended(store):
    jobs = [accept(store, client) for client in "aab"]
    assert [job.id for job in store.page("a", 1)] == [jobs[0].id]
    assert [job.id for job in store.page("a", 5, after=jobs[0].sequence)] == [jobs[1].id]
    assert store.page(None, 5, state="done") == []


def test_a_failed_write_leaves_the_store_as_it_was(store):
    job = accept(store)
    with pytest.raises(sqlite3.IntegrityError):
        store.accept(replace(new_job(), id=job.id))
    assert store.count("queued") == 1


# ---- the data folder


@pytest.fixture
def folder(tmp_path):
    folder = DataFolder(ServeSettings(data=tmp_path / "data", reserve_mb=0))
    yield folder
    folder.close()


def test_two_services_do_not_share_a_folder(folder, tmp_path):
    with pytest.raises(ValueError, match="in use"):
        DataFolder(ServeSettings(data=tmp_path / "data"))


def test_a_result_whose_files_got_their_names_is_done_after_a_restart(folder, store):
    job = accept(store)
    folder.add_photo(job.id, b"photo")
    store.claim()
    attempt = folder.attempt(job)
    (attempt / "model.glb").write_bytes(b"mesh")
    folder.commit(job.id, attempt, {"seconds": {}, "warnings": [], "people": 1})
    folder.recover(store)  # the service was killed before the row said so
    done = store.get(job.id)
    assert (done.state, done.result["files"], done.bytes) == ("done", ["model.glb"], 4)
    assert folder.served_file(done, "model.glb").read_bytes() == b"mesh"


def test_half_a_result_is_made_again_after_a_restart(folder, store):
    job = accept(store)
    folder.add_photo(job.id, b"photo")
    store.claim()
    (folder.attempt(job) / "model.glb").write_bytes(b"me")
    folder.recover(store)
    assert store.claim().id == job.id
    assert [path.name for path in (folder.jobs / job.id).iterdir()] == ["photo"]


def test_a_photo_without_a_committed_row_is_removed_at_the_start(folder, store):
    folder.add_photo("nobody", b"photo")
    folder.recover(store)
    assert list(folder.jobs.iterdir()) == []


@pytest.mark.parametrize("name", ["../photo", "photo", "summary.json", "model.ply", "..", ""])
def test_only_files_of_the_list_are_served(folder, store, name):
    job = accept(store)
    folder.add_photo(job.id, b"photo")
    store.claim()
    attempt = folder.attempt(job)
    (attempt / "model.glb").write_bytes(b"mesh")
    store.finish(job.id, *folder.commit(job.id, attempt, {"seconds": {}}))
    assert folder.served_file(store.get(job.id), name) is None
