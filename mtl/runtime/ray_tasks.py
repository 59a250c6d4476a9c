"""Many tasks of one kind, run by Ray on this machine or on a cluster.

A task is one call of a function with an item. Tasks run in any order and at most so many at a time.
One whose worker or node dies is run again from its start, elsewhere if need be, so it must leave
nothing behind that disturbs the next try. Results are small: they pass through Ray's object store.
"""

import copy
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

from mtl.runtime.ray_connection import ray_connection

WAITING = 4  # tasks handed to Ray beforehand, per core of the cluster

SECONDS_BETWEEN_REPORTS = 1.0
# How long to wait for the reports: they are for people to look at, and must not hold up the work.
PATIENCE_SECONDS = 5.0

Report = Callable[[Any], None]
"""Called by a task with what it has done so far; most calls are dropped, one a second is kept."""


@dataclass(frozen=True)
class Workers:
    """State where tasks run, and how often each is tried."""

    number: int | None = None
    """Tasks at a time; one per core when not given."""
    address: str | None = None
    """Ray cluster to join; one of this machine's own when not given."""
    gpus: float = 0.0
    """Share of a GPU for each task."""
    retries: int = 3
    """Further tries of a task whose worker dies."""


@dataclass(frozen=True)
class Failure:
    """State why a task has no result."""

    error: Any
    """What the task raised, or how its worker was lost at the last try."""
    lost: bool
    """Whether the worker was lost."""

    @property
    def cause(self) -> BaseException:
        """Return what the task itself raised, without Ray's wrapping; not of lost workers."""
        return self.error.cause


@dataclass
class Progress:
    """Record how far tasks are; keys are places in the sequence of items."""

    finished: dict[int, Any] = field(default_factory=dict)
    """What each finished task returned."""
    failed: dict[int, Failure] = field(default_factory=dict)
    reported: dict[int, Any] = field(default_factory=dict)
    """The latest report of each task, finished ones included; reports may get lost."""


def run_tasks(
    work: Callable[[Any, Any, Report], Any],
    shared: Any,
    items: Sequence[Any],
    workers: Workers,
    *,
    reports: bool = False,
) -> Generator[Progress, None, None]:
    """Run `work(shared, item, report)` for each item, yielding how far it is whenever that changes.

    The same `Progress` is yielded each time. A task that fails does not stop the others: a caller
    that gives up closes the generator, which ends the tasks that are running.

    Args:
        work: the task; a function that a worker can import.
        shared: what is the same for all tasks; Ray sends it once.
        items: what differs.
        workers: where tasks run.
        reports: gather what the tasks report, and yield about once a second.

    Raises:
        ConnectionError: there is no cluster at the address.
        InputError: Ray is not installed.
    """
    with ray_connection(workers.address, workers.number) as ray:
        # Reports may get lost with the node that keeps them; the next ones come to its successor.
        actor = None
        if reports:
            actor = ray.remote(num_cpus=0, max_restarts=-1)(_Reports).remote()
        task = ray.remote(
            num_cpus=1,
            num_gpus=workers.gpus,
            max_retries=workers.retries,
            scheduling_strategy="SPREAD",
        )(_task)
        whole = ray.put((work, shared))
        waiting = list(reversed(range(len(items))))
        running: dict[Any, int] = {}
        progress = Progress()
        while waiting or running:
            # A cluster may grow meanwhile.
            limit = workers.number or WAITING * int(ray.cluster_resources().get("CPU", 1))
            while waiting and len(running) < max(limit, 1):
                place = waiting.pop()
                running[task.remote(whole, place, items[place], actor)] = place
            ready, _ = ray.wait(list(running), timeout=SECONDS_BETWEEN_REPORTS if reports else None)
            for reference in ready:
                place = running.pop(reference)
                try:
                    progress.finished[place] = ray.get(reference)
                except ray.exceptions.RayTaskError as error:
                    progress.failed[place] = Failure(error, lost=False)
                except ray.exceptions.RayError as error:  # the worker or its node has died
                    progress.failed[place] = Failure(error, lost=True)
            if actor is not None:
                progress.reported |= _reported(ray, actor)
            yield progress


class _Reports:
    """The latest report of each task; lives in an actor that the workers report to."""

    def __init__(self):
        self._reports: dict[int, Any] = {}

    def report(self, place: int, value: Any) -> None:
        """Keep a task's report."""
        self._reports[place] = value

    def all(self) -> dict[int, Any]:
        """Return the reports by place."""
        return self._reports


def _task(
    whole: tuple[Callable[[Any, Any, Report], Any], Any], place: int, item: Any, actor: Any
) -> Any:
    """Run one task in a worker of Ray."""
    work, shared = whole
    reported = time.monotonic()

    def report(value: Any) -> None:
        nonlocal reported
        if actor is not None and time.monotonic() - reported >= SECONDS_BETWEEN_REPORTS:
            reported = time.monotonic()
            actor.report.remote(place, copy.deepcopy(value))

    return work(shared, item, report)


def _reported(ray: Any, actor: Any) -> dict[int, Any]:
    """Return the reports that the actor has; none while it is restarted on another node."""
    try:
        return ray.get(actor.all.remote(), timeout=PATIENCE_SECONDS)
    except (ray.exceptions.RayActorError, ray.exceptions.GetTimeoutError):
        return {}
