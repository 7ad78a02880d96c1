"""Processes that compute beside this one, and end with it."""

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

_LOOK_EVERY_S = 1.0


@contextmanager
def processes(count: int, start: Callable[..., None], arguments: tuple[Any, ...]) -> Iterator[ProcessPoolExecutor]:
    """An executor of ``count`` fresh processes, each of which calls ``start(*arguments)`` first.

    An executor, not a pool: a pool starts processes that fail at once again and again, and never ends. After an error
    tasks that have not begun are dropped. A process whose parent was killed would go on until its tasks are done, and
    keep a core busy that the next run needs: it ends.
    """
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(count, context, _begin, (os.getpid(), start, arguments))
    failed = True
    try:
        yield pool
        failed = False
    finally:
        pool.shutdown(cancel_futures=failed)


def _begin(parent: int, start: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    start(*arguments)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_EVERY_S)
    os._exit(1)
