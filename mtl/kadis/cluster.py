"""One task per shard, on this machine or on a cluster; what the workers report on the way.

Pixels never pass through Ray's object store. A task that is run again after its worker died finds
nothing but a temporary file of the first try, which it removes.
"""

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace

from mtl.kadis.making import Tally, make_shard
from mtl.kadis.plan import Plan
from mtl.kadis.shards import Shard, stats_path
from mtl.runtime.progress import say
from mtl.runtime.ray_tasks import Failure, Report, Workers, run_tasks

# A shard is tried again this often when its worker dies: enough for nodes that come and go, and few
# enough that a photograph which kills every worker does not go round forever.
RETRIES = 5

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


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
    say("starting workers; the first images wait for the metrics to compile ...", show=progress)
    # Workers have folders of their own.
    here = replace(
        planned,
        folder=planned.folder.resolve(),
        config=replace(config, photos=config.photos.resolve()),
    )
    workers = Workers(config.num_workers, config.address, config.gpus_per_worker, RETRIES)
    failed: Mapping[int, Failure] = {}
    with closing(run_tasks(_make_shard, here, todo, workers, reports=True)) as steps:
        for step in steps:
            failed = step.failed
            for failure in failed.values():
                if not failure.lost and isinstance(failure.cause, OSError):
                    raise _disk_error(planned, failure.cause) from None
            tallies = {todo[place].index: t for place, t in (step.reported | step.finished).items()}
            yield tallies, [todo[place] for place in failed]
    if failed:
        raise _failure(planned, [(todo[place], failure) for place, failure in failed.items()])


def _make_shard(planned: Plan, shard: Shard, report: Report) -> Tally:
    """The task."""
    _settle_worker()
    if stats_path(planned.folder, shard).exists():
        # A task tried again whose first try finished after all.
        return Tally(images=planned.versions_per_reference * len(shard.references))
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


def _disk_error(planned: Plan, error: OSError) -> OSError:
    out = planned.folder
    if error.errno in DISK_FULL or "No space left" in str(error):
        return OSError(
            f"{out}: the disk is full ({error}); make room and run the same command again: finished"
            " shards are kept"
        )
    return OSError(f"{error}; run the same command again: finished shards are kept")


def _failure(planned: Plan, failed: Sequence[tuple[Shard, Failure]]) -> Exception:
    """What to raise when everything else is done."""
    shard, failure = failed[0]
    if not failure.lost:  # a mistake in this program, not a death
        return failure.error
    first, last = shard.references[0], shard.references[-1]
    return OSError(
        f"{planned.folder}: {len(failed)} shards are missing, first {shard.file}: its worker"
        f" died {RETRIES + 1} times ({type(failure.error).__name__}); look at the photographs from"
        f" {first} to {last} and at the machine's memory, then run the same command again: finished"
        " shards are kept"
    )
