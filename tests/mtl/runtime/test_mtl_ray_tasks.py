"""Tasks run by Ray: all done once, lost workers replaced, failures told apart."""

import functools
import os
import signal
import time
from contextlib import closing
from pathlib import Path

import pytest

from mtl.runtime import ray_tasks
from mtl.runtime.ray_tasks import Workers, run_tasks


def square(offset: int, item: int, report) -> int:
    report(item)
    return item * item + offset


def dies_once(folder: Path, item: int, report) -> int:
    """Kill the worker at the first try of item 1; note every try."""
    (folder / f"{item}-{time.monotonic_ns()}").touch()
    if item == 1 and len(list(folder.glob("1-*"))) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def dies_always(shared, item: int, report) -> int:
    if item == 1:
        os._exit(1)
    return item


def fails(shared, item: int, report) -> int:
    if item == 1:
        raise OSError(28, "No space left on device")
    return item


pytestmark = pytest.mark.usefixtures("local_ray")


def last(steps):
    """The state after all tasks."""
    return functools.reduce(lambda _, step: step, steps)


def test_every_item_has_its_result():
    progress = last(run_tasks(square, 7, range(5), Workers(2)))
    assert progress.finished == {place: place * place + 7 for place in range(5)}
    assert progress.failed == {}
    assert list(run_tasks(square, 7, [], Workers(2))) == []


def test_a_task_whose_worker_is_killed_is_run_again(tmp_path):
    progress = last(run_tasks(dies_once, tmp_path, range(4), Workers(2, retries=2)))
    assert progress.finished == {0: 0, 1: 1, 2: 2, 3: 3} and not progress.failed
    assert len(list(tmp_path.glob("1-*"))) >= 2


def test_a_worker_that_always_dies_loses_its_task_alone():
    progress = last(run_tasks(dies_always, None, range(3), Workers(1, retries=0)))
    assert progress.finished == {0: 0, 2: 2}
    assert list(progress.failed) == [1] and progress.failed[1].lost


def test_what_a_task_raises_is_told_from_a_lost_worker():
    progress = last(run_tasks(fails, None, range(3), Workers(1, retries=0)))
    assert progress.finished == {0: 0, 2: 2}
    failure = progress.failed[1]
    assert not failure.lost
    assert isinstance(failure.cause, OSError) and failure.cause.errno == 28


def test_a_caller_may_stop_early():
    with closing(run_tasks(square, 0, range(50), Workers(1))) as steps:
        assert len(next(steps).finished) < 50


def test_the_latest_report_of_a_task_arrives(monkeypatch):
    def slow(shared, item, report):
        for done in range(30):
            time.sleep(0.05)
            report((item, done))

    monkeypatch.setattr(ray_tasks, "SECONDS_BETWEEN_REPORTS", 0.3)
    progress = last(run_tasks(slow, None, ["a"], Workers(1), reports=True))
    item, done = progress.reported[0]
    assert item == "a" and 0 < done < 30
