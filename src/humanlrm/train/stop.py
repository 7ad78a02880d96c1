"""Being asked to stop: a training loop ends after its step, and saves what it has learned."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


def stopped(seen: int, samples: int) -> str:
    """What is said of a run that was."""
    return f"asked to stop after {seen:,} of {samples:,} samples, which are saved; run the same command again to go on"


@contextmanager
def asked_to_stop() -> Iterator[list[int]]:
    """A list that stays empty until the process is asked to end, by SIGTERM (what clusters send) or SIGINT (Ctrl-C).

    Whoever asks a second time means now: then the signal does what it did before. A signal that is ignored stays so:
    shells start what runs in the background like this, since Ctrl-C means others. Outside of the main thread, where
    Python hears no signals, nobody can ask.
    """
    asked: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    before = {number: handler for number, handler in before.items() if handler is not signal.SIG_IGN}

    def hear(number: int, _: FrameType | None) -> None:
        asked.append(number)
        signal.signal(number, before[signal.Signals(number)])

    for number in before:
        signal.signal(number, hear)
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
