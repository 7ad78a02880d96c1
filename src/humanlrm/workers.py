"""Tasks on several processes; worker processes end with the process that started them."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


class WorkerKilledError(ValueError):
    """A process was killed while it worked on ``task`` or on one after it."""

    def __init__(self, task: object) -> None:
        super().__init__("a process was killed, perhaps for want of memory; run again with fewer workers")
        self.task = task


def map_tasks(
    worker: Callable[..., Callable[[Task], Result]],
    arguments: tuple[Any, ...],
    tasks: Sequence[Task],
    workers: int,
    *,
    isolated: bool = False,
) -> Iterator[tuple[Task, Result]]:
    """Yield each task with its result, in the order in which they are done.

    Args:
        worker: makes what maps a task, of ``arguments``; called once per process.
        workers: processes. With 1 none is started: the tasks are done here.
        isolated: start a process for one worker, too; this process survives its end.

    Raises:
        ValueError: no positive number of workers.
        WorkerKilledError: a process was killed.
    """
    if workers < 1:
        raise ValueError(f"workers must be positive, got {workers}")
    if len(tasks) == 0:
        return
    if workers == 1 and not isolated:
        do_task = worker(*arguments)
        yield from ((task, do_task(task)) for task in tasks)
        return
    with processes(min(workers, len(tasks)), _make_worker, (worker, arguments)) as pool:
        futures = {pool.submit(_do_task, task): task for task in tasks}
        for future in as_completed(futures):
            try:
                yield futures[future], future.result()
            except BrokenProcessPool as error:
                raise WorkerKilledError(futures[future]) from error


_worker: Callable[[Any], Any] | None = None


def _make_worker(worker: Callable[..., Callable[[Any], Any]], arguments: tuple[Any, ...]) -> None:
    global _worker
    _worker = worker(*arguments)


def _do_task(task: Any) -> Any:
    assert _worker is not None
    return _worker(task)


@contextmanager
def processes(count: int, start: Callable[..., None], arguments: tuple[Any, ...]) -> Iterator[ProcessPoolExecutor]:
    """Give an executor of ``count`` fresh processes, each of which calls ``start(*arguments)`` first.

    An executor, not a pool: a pool restarts processes that fail at once again and again, and never ends. After an error
    tasks that have not begun are dropped. A worker whose parent was killed exits: otherwise it would finish its tasks
    and keep a core busy that the next run needs.
    """
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(count, context, _begin, (start, arguments))
    failed = True
    try:
        yield pool
        failed = False
    finally:
        pool.shutdown(cancel_futures=failed)


def _begin(start: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    start(*arguments)


def _exit_with_parent() -> None:
    # On Windows the parent's process id does not change when it ends, so waiting for the parent is the portable way.
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
