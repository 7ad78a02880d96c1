"""Being asked to stop: a training loop ends after its step, and saves what it has learned."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

#: Seconds within which a signal that comes again is an echo: torchrun hands on a Ctrl-C that its processes have heard.
_ECHO_S = 2.0


def stopped(seen: int, samples: int) -> str:
    """What is said of a run that was."""
    return f"asked to stop after {seen:,} of {samples:,} samples, which are saved; run the same command again to go on"


@contextmanager
def asked_to_stop() -> Iterator[list[int]]:
    """A list that stays empty until the process is asked to end, by SIGTERM (what clusters send) or SIGINT (Ctrl-C).

    Whoever asks again after a while means now: then the signal does what it did before. A signal that is ignored stays
    so: shells start what runs in the background like this, since Ctrl-C means others. Outside of the main thread,
    where Python hears no signals, nobody can ask.
    """
    asked: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    before = {number: handler for number, handler in handlers.items() if handler not in (signal.SIG_IGN, None)}
    first: dict[int, float] = {}

    def hear(number: int, _: FrameType | None) -> None:
        if number not in first:
            asked.append(number)
            first[number] = time.monotonic()
        elif time.monotonic() - first[number] >= _ECHO_S:
            signal.signal(number, before[signal.Signals(number)])
            signal.raise_signal(number)

    for number in before:
        signal.signal(number, hear)
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
