"""Ray: one task per shard, on this machine or on a cluster; what the workers report on the way.

Pixels never pass through Ray's object store. A task whose worker or node dies is run again from
its start, elsewhere if need be; it leaves nothing behind but a temporary file that the next try
removes.
"""

import copy
import errno
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from mtl.kadis.making import Tally, make_shard
from mtl.kadis.plan import Plan
from mtl.kadis.shards import Shard, stats_path
from mtl.runtime.progress import say
from mtl.runtime.ray_connection import ray_connection

# A shard is tried again this often when its worker dies: enough for nodes that come and go, and few
# enough that a photograph which kills every worker does not go round forever.
RETRIES = 5

SECONDS_BETWEEN_REPORTS = 1.0
# How long to wait for the tallies: they are for people to look at, and must not hold up the work.
PATIENCE_SECONDS = 5.0

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Tallies:
    """The latest tally of each shard; lives in an actor that the workers report to."""

    def __init__(self):
        self._tallies: dict[int, Tally] = {}

    def report(self, shard: int, tally: Tally) -> None:
        """A worker's count for the shard that it makes, from the shard's start."""
        self._tallies[shard] = tally

    def all(self) -> dict[int, Tally]:
        """The tallies by shard."""
        return self._tallies


def make_shards(
    planned: Plan, todo: Sequence[Shard], *, progress: bool
) -> Iterator[tuple[Mapping[int, Tally], Sequence[Shard]]]:
    """Make shards in parallel, yielding about once a second how far each is and which have failed.

    The last value yielded holds the final tallies. When a shard fails, the others are made first.

    Raises:
        OSError: shards could not be written, or their workers died again and again; the message
            says what to do.
        ConnectionError: there is no cluster at the address.
    """
    config = planned.config
    say("starting Ray; the first images wait for the metrics to compile ...", show=progress)
    with ray_connection(config.address, config.num_workers) as ray:
        # Reports may get lost with the node that keeps them; the next ones come to its successor.
        tallies = ray.remote(num_cpus=0, max_restarts=-1)(Tallies).remote()
        task = ray.remote(
            num_cpus=1,
            num_gpus=config.gpus_per_worker,
            max_retries=RETRIES,
            scheduling_strategy="SPREAD",
        )(_make_shard)
        # Workers have folders of their own.
        here = replace(config, photos=config.photos.resolve(), out=config.out.resolve())
        shared = ray.put(replace(planned, config=here))
        waiting = list(reversed(todo))
        limit = config.num_workers or len(todo)
        running: dict[Any, Shard] = {}
        reported: dict[int, Tally] = {}
        finished: dict[int, Tally] = {}
        failed: list[tuple[Shard, Exception]] = []
        while waiting or running:
            while waiting and len(running) < limit:
                shard = waiting.pop()
                running[task.remote(shared, shard, tallies)] = shard
            ready, _ = ray.wait(list(running), timeout=SECONDS_BETWEEN_REPORTS)
            for reference in ready:
                shard = running.pop(reference)
                try:
                    finished[shard.index] = ray.get(reference)
                except ray.exceptions.RayTaskError as error:
                    if isinstance(error.cause, OSError):
                        raise _disk_error(planned, error.cause) from None
                    failed.append((shard, error))
                except ray.exceptions.RayError as error:  # the worker or its node has died
                    failed.append((shard, error))
            reported |= _reported(ray, tallies)
            yield reported | finished, [shard for shard, _ in failed]
    if failed:
        raise _failure(planned, failed)


def _make_shard(planned: Plan, shard: Shard, tallies: Any) -> Tally:
    """The task."""
    _settle_worker()
    if stats_path(planned.config.out, shard).exists():
        # A task tried again whose first try finished after all.
        return Tally(images=planned.versions_per_reference * len(shard.references))
    reported = time.monotonic()

    def report(tally: Tally) -> None:
        nonlocal reported
        if time.monotonic() - reported >= SECONDS_BETWEEN_REPORTS:
            reported = time.monotonic()
            tallies.report.remote(shard.index, copy.deepcopy(tally))

    return make_shard(planned, shard, report)


def _settle_worker() -> None:
    """One thread per worker, on the CPU unless Ray gave it a GPU; before JAX starts."""
    import cv2

    cv2.setNumThreads(1)
    os.environ["NPROC"] = "1"  # the number of XLA's threads
    # Workers share a GPU; none may take most of its memory at once.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    import jax
    import ray
    from threadpoolctl import threadpool_limits

    from mtl.runtime import compilation_cache

    threadpool_limits(1)
    compilation_cache.enable()
    if not ray.get_gpu_ids():
        jax.config.update("jax_platforms", "cpu")
        return
    from distortions.denoiser import use_denoiser
    from mtl.kadis.device_denoiser import DeviceDenoiser

    use_denoiser(DeviceDenoiser())


def _reported(ray: Any, tallies: Any) -> dict[int, Tally]:
    """The tallies that the actor has; none while it is being restarted on another node."""
    try:
        return ray.get(tallies.all.remote(), timeout=PATIENCE_SECONDS)
    except (ray.exceptions.RayActorError, ray.exceptions.GetTimeoutError):
        return {}


def _disk_error(planned: Plan, error: OSError) -> OSError:
    out = planned.config.out
    if error.errno in DISK_FULL or "No space left" in str(error):
        return OSError(
            f"{out}: the disk is full ({error}); make room and run the same command again: finished"
            " shards are kept"
        )
    return OSError(f"{error}; run the same command again: finished shards are kept")


def _failure(planned: Plan, failed: Sequence[tuple[Shard, Exception]]) -> Exception:
    """What to raise when everything else is done."""
    import ray

    shard, error = failed[0]
    if isinstance(error, ray.exceptions.RayTaskError):  # a mistake in this program, not a death
        return error
    first, last = shard.references[0], shard.references[-1]
    return OSError(
        f"{planned.config.out}: {len(failed)} shards are missing, first {shard.file}: its worker"
        f" died {RETRIES + 1} times ({type(error).__name__}); look at the photographs from {first}"
        f" to {last} and at the machine's memory, then run the same command again: finished shards"
        " are kept"
    )
