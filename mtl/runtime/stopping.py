"""How a run is asked to save or to stop, and how many processes agree on the step at which they do.

Each process puts its request into the next step as a number; the step returns the largest, the same
on every process, so that all act after the same step and no other communication is needed.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

NOTHING, SAVE, STOP = 0, 1, 2

STOP_FILE = "stop"  # in the run's folder: whoever makes it stops the run
SECONDS_BETWEEN_LOOKS = 1.0  # at the file, which may be on a server


class Requests:
    """What this process asks for.

    Args:
        out: the run's folder.
        seconds: between checkpoints.
        leads: whether this process watches the clock and the folder for all.
    """

    def __init__(self, out: Path, seconds: float, leads: bool):
        self._file = out / STOP_FILE
        self._seconds = seconds
        self._leads = leads
        self._stopping = False
        self._saved = self._looked = time.monotonic()

    def stop(self) -> None:
        """Ask for the end."""
        self._stopping = True

    def answered(self) -> None:
        """The run ends; the next one shall not."""
        if self._leads:
            self._file.unlink(missing_ok=True)

    def next(self) -> int:
        """The request to put into the next step; a checkpoint is asked for once when it is due."""
        now = time.monotonic()
        if self._leads and not self._stopping and now - self._looked >= SECONDS_BETWEEN_LOOKS:
            self._looked = now
            self._stopping = self._file.exists()
        if self._stopping:
            return STOP
        if self._leads and now - self._saved >= self._seconds:
            self._saved = now
            return SAVE
        return NOTHING


@contextmanager
def signals_call(stop: Callable[[], None]) -> Iterator[None]:
    """Let the first SIGINT or SIGTERM call `stop`; the second one interrupts at once.

    Only a program's main thread can handle signals; in others nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def first(number, frame):
        for each in before:
            signal.signal(each, signal.default_int_handler)
        stop()

    try:
        for number in before:
            signal.signal(number, first)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
