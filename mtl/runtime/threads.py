"""Work in threads whose results come in order."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from mtl.runtime.progress import progress_bar

Item = TypeVar("Item")
Result = TypeVar("Result")

# Finished results that wait for an earlier one, per thread.
AHEAD = 4

SECONDS_BEFORE_PROGRESS = 2.0


def in_order(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int | None = None
) -> Generator[Result, None, None]:
    """`function` of each item, computed in threads, in the order of the items.

    Items are taken as results are, so neither need fit in memory.

    Args:
        function: what to compute; its exceptions are raised here.
        items: what to compute it of.
        workers: threads; one per core when not given.
    """
    workers = workers or len(os.sched_getaffinity(0))
    pool = ThreadPoolExecutor(workers)
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def computed(
    function: Callable[[Item], Result], items: Sequence[Item], what: str, *, progress: bool = False
) -> list[Result]:
    """Return `function` of each item in order, computed in threads.

    Args:
        function: to compute; its exceptions are raised here.
        items: to compute it of.
        what: is done, for the progress.
        progress: report on standard error if it takes longer than two seconds.
    """
    found = []
    delay = SECONDS_BEFORE_PROGRESS
    with progress_bar(len(items), what, "file", show=progress, delay=delay) as bar:
        for each in in_order(function, items):
            found.append(each)
            bar.update()
    return found
