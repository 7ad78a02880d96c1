"""Worker processes that end with the process that started them."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any


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
