"""Progress of long jobs on standard error, with or without a terminal."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm

# Without a terminal every update is a line of a log, so they come seldom.
SECONDS_BETWEEN_LOG_LINES = 10.0

# What a line of a log says; a terminal also gets tqdm's bar.
LOG_FORMAT = (
    "{desc}: {n_fmt} of {total_fmt} ({percentage:.0f}%), {rate_fmt}, {remaining} left{postfix}"
)


def progress_bar(
    total: int, what: str, unit: str, *, show: bool, done: int = 0, delay: float = 0.0
) -> tqdm:
    """A bar with rate and time left; `show=False` makes one that is silent.

    Without a terminal it writes whole lines, one every ten seconds. It begins after `delay`
    seconds, so a short job says nothing.
    """
    terminal = sys.stderr.isatty()
    return tqdm(
        total=total,
        initial=done,
        desc=what,
        unit=unit,
        disable=not show,
        delay=delay,
        dynamic_ncols=terminal,
        mininterval=0.1 if terminal else SECONDS_BETWEEN_LOG_LINES,
        file=sys.stderr if terminal else _Lines(),
        bar_format=None if terminal else LOG_FORMAT,
    )


class _Lines:
    """A stream that turns a bar drawn over itself into lines of standard error."""

    def write(self, text: str) -> None:
        """Write what is not blank as a line."""
        line = text.strip("\r\n ")
        if line:
            sys.stderr.write(line + "\n")

    def flush(self) -> None:
        """Let others see it."""
        sys.stderr.flush()


def say(text: str, *, show: bool = True) -> None:
    """One line on standard error that does not tear a progress bar apart."""
    if show:
        tqdm.write(text, file=sys.stderr)
        sys.stderr.flush()


@contextmanager
def stage(what: str, *, show: bool = True) -> Iterator[None]:
    """Say that something begins, every ten seconds that it goes on, and how long it took."""
    began = time.monotonic()
    over = threading.Event()

    def remind() -> None:
        while not over.wait(SECONDS_BETWEEN_LOG_LINES):
            say(f"{what}: {time.monotonic() - began:.0f} s so far ...", show=show)

    say(f"{what} ...", show=show)
    reminder = threading.Thread(target=remind, daemon=True)
    reminder.start()
    try:
        yield
    finally:
        over.set()
        reminder.join()
    say(f"{what}: {time.monotonic() - began:.1f} s", show=show)
