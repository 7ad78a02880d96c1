"""Signals to stop: a training loop ends after its step, and saves what it has learned."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

#: Seconds within which a repeated signal is an echo: torchrun passes on a Ctrl-C that its processes have received.
_ECHO_S = 2.0


class TrainingStopped(ValueError):
    """Training ended early; the message says why, and where the batch lies if the loss was no number."""


class StopRequested(TrainingStopped):
    """A signal asked to stop; what was learned is saved."""


def stop_message(seen: int, samples: int) -> str:
    """Return the message about a run that was stopped by a signal."""
    return f"asked to stop after {seen:,} of {samples:,} samples, which are saved; run the same command again to go on"


@contextmanager
def catch_stop_signals() -> Iterator[list[int]]:
    """Collect signals to stop, SIGTERM (which clusters send) and SIGINT (Ctrl-C), in a list that is empty at first.

    A signal that comes again after a while means now: then it does what it did before. An ignored signal stays ignored:
    shells start background processes like this, since Ctrl-C means others. Outside of the main thread, where Python
    receives no signals, the list stays empty.
    """
    signals: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield signals
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    before = {number: handler for number, handler in handlers.items() if handler not in (signal.SIG_IGN, None)}
    first_s: dict[int, float] = {}

    def receive(number: int, _: FrameType | None) -> None:
        if number not in first_s:
            signals.append(number)
            first_s[number] = time.monotonic()
        elif time.monotonic() - first_s[number] >= _ECHO_S:
            signal.signal(number, before[signal.Signals(number)])
            signal.raise_signal(number)

    for number in before:
        signal.signal(number, receive)
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
