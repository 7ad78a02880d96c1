"""Several processes of one run: their group, and the decision to stop that all of them share."""

import gc
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.state import AcceleratorState
from torch.distributed import destroy_process_group, is_available, is_initialized


@contextmanager
def own_group() -> Iterator[None]:
    """End the process group that was made inside, if one was, and the threads that carried its messages.

    A thread that still gives back the tensors of the last message while Python ends aborts the process, and torchrun
    takes the run for failed (pytorch/pytorch#179291). Threads end with the last reference to their group.
    """
    had_group = is_available() and is_initialized()
    try:
        yield
    finally:
        if is_available() and is_initialized() and not had_group:
            destroy_process_group()
            gc.collect()
            AcceleratorState._reset_state(reset_partial_state=True)


def computing_clock(device: str) -> Callable[[], float]:
    """A clock (seconds) of the time that this process spends computing, whatever else the machine does.

    Processor time for one thread on a processor; otherwise the time that passes, which never goes back either.
    """
    return time.process_time if device == "cpu" and torch.get_num_threads() == 1 else time.monotonic


def make_accelerator(device: str, has_unused_parameters: bool) -> Accelerator:
    """Join the processes that torchrun started, or make a group of this one.

    Args:
        has_unused_parameters: a step may leave parameters without a gradient.
    """
    threads = torch.get_num_threads()
    # Buffers are frozen and need no broadcast.
    options = DistributedDataParallelKwargs(broadcast_buffers=False, find_unused_parameters=has_unused_parameters)
    accelerator = Accelerator(cpu=device == "cpu", kwargs_handlers=[options])
    torch.set_num_threads(threads)  # accelerate sets a number of its own
    return accelerator


def share_stop(signals: list[int], accelerator: Accelerator) -> bool:
    """Return whether any process got a signal to stop: all stop after the same step, or one would wait for the rest."""
    if accelerator.num_processes > 1:
        flag = torch.tensor(float(bool(signals)), device=accelerator.device)
        if float(accelerator.reduce(flag, "sum")) > 0 and not signals:  # pyright: ignore[reportArgumentType]
            signals.append(signal.SIGTERM)
    return bool(signals)
