import os
import signal
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from humanlrm.workers import WorkerKilledError, map_tasks, processes

PARENT = """
import os, sys
sys.path.insert(0, {folder!r})
import test_workers
from humanlrm.workers import processes

if __name__ == "__main__":
    with processes(1, test_workers.nothing, ()) as pool:
        print(pool.submit(os.getpid).result(), flush=True)
        pool.submit(test_workers.wait).result()
"""
_greeting = ""


def greet(text: str) -> None:
    global _greeting
    _greeting = text


def nothing() -> None:
    pass


def wait() -> None:
    time.sleep(600)


def note(path: Path) -> None:
    path.touch()
    time.sleep(0.05)


def greeting() -> str:
    return _greeting


def refuse() -> None:
    raise ValueError("not today")


class Adder:
    """Adds a number, which a process is made with; -1 kills the process."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __call__(self, task: int) -> tuple[int, int]:
        if task < 0:
            os._exit(1)
        return self.number + task, os.getpid()


@pytest.mark.parametrize(("workers", "isolated"), [(1, False), (1, True), (2, False)])
def test_every_task_has_its_result_from_this_process_or_from_others(workers, isolated):
    results = dict(map_tasks(Adder, (10,), range(4), workers, isolated=isolated))
    assert {task: value for task, (value, _) in results.items()} == {task: 10 + task for task in range(4)}
    assert ({pid for _, pid in results.values()} == {os.getpid()}) == (workers == 1 and not isolated)


@pytest.mark.parametrize(("workers", "isolated"), [(1, True), (2, False)])
def test_the_task_of_a_killed_process_is_named(workers, isolated):
    with pytest.raises(WorkerKilledError) as caught:
        list(map_tasks(Adder, (10,), [-1, -1], workers, isolated=isolated))
    assert caught.value.task == -1


def test_no_workers_are_refused():
    with pytest.raises(ValueError, match="positive"):
        list(map_tasks(Adder, (10,), [1], 0))


def alive(pid: int) -> bool:
    """A process that has ended may stay as a zombie until somebody asks for it."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_every_process_starts_as_it_was_told():
    with processes(2, greet, ("hello",)) as pool:
        assert pool.submit(greeting).result() == "hello"
        assert pool.submit(os.getpid).result() != os.getpid()


def test_a_process_that_cannot_start_ends_the_work():
    with processes(1, refuse, ()) as pool, pytest.raises(BrokenProcessPool):
        pool.submit(greeting).result()


def fail_after_one_of(count: int, folder: Path) -> None:
    with processes(1, nothing, ()) as pool:
        tasks = [pool.submit(note, folder / str(k)) for k in range(count)]
        tasks[0].result()
        raise ValueError("first")


def test_after_an_error_nothing_new_is_begun(tmp_path):
    with pytest.raises(ValueError, match="first"):
        fail_after_one_of(40, tmp_path)
    assert 1 <= len(list(tmp_path.iterdir())) < 40


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs /proc")
def test_processes_end_when_their_parent_is_killed(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT.format(folder=os.path.dirname(__file__)), encoding="utf-8")
    parent = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, encoding="utf-8")
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert alive(child)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    for _ in range(300):
        if not alive(child):
            break
        time.sleep(0.1)
    assert not alive(child)
