"""From a folder of photographs to scored, sharded training data: one Ray task makes one shard.

Everything is planned first, from names and a seed; a task reads photographs, crops, distorts,
scores and writes its shard. Pixels never pass through Ray's object store. The output does not
depend on the number of workers, and a run that was killed continues where it stopped and ends in
the same bytes.
"""

import os
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from distortions import distort
from fr_metrics import HistogramEqualization, score_all
from mtl.files import InputError, write_atomically
from mtl.kadis.plan import MANIFEST, GenerateConfig, Plan, claim, make_plan, manifest_text
from mtl.kadis.pristine import pristine_crop
from mtl.kadis.shards import (
    Record,
    Shard,
    finish_shard,
    read_stats,
    stats_path,
    write_dataset_info,
    write_shard,
)
from mtl.pictures import Rejected, read_picture
from mtl.progress import progress_bar, say

EQUALIZATION = "equalization.json"

# Nothing but progress counts passes through the object store, so Ray's smallest useful one will do.
OBJECT_STORE_BYTES = 100 * 2**20


@dataclass(frozen=True)
class Summary:
    """What a finished data set holds."""

    out: Path
    images: Mapping[str, int]
    """Number of images by split."""
    rejected: tuple[Rejected, ...]
    resumed: int
    """Shards that were there already."""
    made: int
    """Shards made by this call."""


def generate(config: GenerateConfig, *, progress: bool = False) -> Summary:
    """Make the data set, or what is missing of it.

    Args:
        config: what to generate.
        progress: report on standard error.

    Raises:
        InputError: bad settings, no usable photograph, or `out` holds another data set.
    """
    planned = make_plan(config)
    out = config.out
    claim(out, planned)
    stats: dict[int, dict[str, Any]] = {}
    for shard in planned.shards:
        found = read_stats(out, shard)
        if found is not None:
            stats[shard.index] = found
    todo = [shard for shard in planned.shards if shard.index not in stats]
    resumed = len(stats)

    total = planned.versions_per_reference * len(planned.sizes)
    counts = {
        shard.index: planned.versions_per_reference * len(shard.references)
        for shard in planned.shards
        if shard.index in stats
    }
    if todo:
        say("starting Ray; the first images wait for the metrics to compile ...", show=progress)
        done = sum(counts.values())
        with progress_bar(total, "generate", "img", show=progress, done=done) as bar:
            for index, images in _run_tasks(planned, todo):
                counts[index] = images
                bar.update(sum(counts.values()) - bar.n)
    for shard in todo:
        made = read_stats(out, shard)
        if made is None:
            raise RuntimeError(f"{out / shard.file}: its task ended without writing the shard")
        stats[shard.index] = made
    return _finish(planned, [stats[shard.index] for shard in planned.shards], resumed, len(todo))


def shard_records(
    planned: Plan, shard: Shard, records: list[dict[str, Any]], rejected: list[dict[str, str]]
) -> Iterator[Record]:
    """The records of one shard, in order; what is known of each is appended to the two lists."""
    c = planned.config
    for reference in shard.references:
        path = c.photos / reference
        try:
            pristine = pristine_crop(read_picture(path), c.size)
        except (InputError, ValueError) as error:
            rejected.append(asdict(Rejected.of(reference, path, error)))
            continue
        versions = planned.versions(reference)
        # One type at a time: the batch has the same shape for every recipe, so one compilation.
        for start in range(0, len(versions), len(c.levels)):
            group = versions[start : start + len(c.levels)]
            images = np.stack(
                [distort(pristine, v.distortion, v.level, seed=v.seed) for v in group]
            )
            scored = score_all(pristine, images, planned.metrics)
            arrays = {metric: np.asarray(scored[metric]) for metric in planned.metrics}
            for k, version in enumerate(group):
                scores = {metric: float(array[k]) for metric, array in arrays.items()}
                wrong = [m for m, s in scores.items() if not np.isfinite(s)]
                if wrong:
                    raise RuntimeError(f"{reference}: {wrong[0]} is not finite for {version}")
                records.append({"reference": reference, **asdict(version), "scores": scores})
                yield Record(images[k], reference, version, scores)


def _finish(planned: Plan, stats: Sequence[Mapping[str, Any]], resumed: int, made: int) -> Summary:
    """Fit the equalisation, write the data set's description, and declare it complete."""
    out = planned.config.out
    rejected = [*planned.rejected, *(Rejected(**r) for s in stats for r in s["rejected"])]
    images = {shard.split: 0 for shard in planned.shards}
    for s in stats:
        images[s["split"]] += len(s["records"])
    if not images.get("train"):
        shutil.rmtree(out)
        first = rejected[0]
        raise InputError(
            f"{planned.config.photos}: none of its pictures could be decoded;"
            f" the first, {first.file}: {first.reason}"
        )
    training = [r["scores"] for s in stats if s["split"] == "train" for r in s["records"]]
    equalization = HistogramEqualization.fit(
        {metric: np.array([scores[metric] for scores in training]) for metric in planned.metrics}
    )
    write_atomically(out / EQUALIZATION, equalization.to_json())
    write_dataset_info(
        out,
        planned.config.size,
        planned.metrics,
        planned.shards,
        stats,
        f"Artificially distorted photographs with full-reference scores, recipe"
        f" {planned.config.recipe}, seed {planned.config.seed}.",
    )
    write_atomically(out / MANIFEST, manifest_text(planned, complete=True, rejected=rejected))
    return Summary(out, images, tuple(rejected), resumed, made)


def _run_tasks(planned: Plan, todo: Sequence[Shard]) -> Iterator[tuple[int, int]]:
    """Run one Ray task per shard, yielding (shard's index, images done in it) as they report."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    c = planned.config
    ours = not ray.is_initialized()
    if ours:
        local = {
            "num_cpus": c.num_workers or len(os.sched_getaffinity(0)),
            "include_dashboard": False,
            "object_store_memory": OBJECT_STORE_BYTES,
        }
        with warnings.catch_warnings():
            # Ray's processes exec right after the fork, so what JAX warns of cannot happen.
            warnings.filterwarnings("ignore", r"os\.fork\(\) was called", RuntimeWarning)
            ray.init(
                **({"address": c.address} if c.address else local),
                logging_level="error",
                log_to_driver=False,
            )
    try:
        task = ray.remote(num_cpus=1)(_make_shard)
        # Workers have folders of their own.
        here = replace(c, photos=c.photos.resolve(), out=c.out.resolve())
        shared = ray.put(replace(planned, config=here))
        running = {task.remote(shared, shard): shard for shard in todo}
        while running:
            ready, _ = ray.wait(list(running), timeout=1.0)
            for reports in ready:
                try:
                    yield running[reports].index, ray.get(next(reports))
                except StopIteration:
                    del running[reports]
                except ray.exceptions.RayTaskError as error:
                    if isinstance(error.cause, OSError):
                        raise error.cause from None
                    raise
    finally:
        if ours:
            ray.shutdown()


def _make_shard(planned: Plan, shard: Shard) -> Iterator[int]:
    """The task: make one shard, yielding the number of images done (a rejected one counts)."""
    _settle_worker()
    records: list[dict[str, Any]] = []
    rejected: list[dict[str, str]] = []
    out, per_reference = planned.config.out, planned.versions_per_reference
    if stats_path(out, shard).exists():  # a retried task whose first try finished after all
        yield per_reference * len(shard.references)
        return
    source = shard_records(planned, shard, records, rejected)
    for written in write_shard(out, shard, planned.config.size, planned.metrics, source):
        yield written + per_reference * len(rejected)
    finish_shard(out, shard, records, rejected)
    yield per_reference * len(shard.references)


def _settle_worker() -> None:
    """One thread per worker, on the CPU unless Ray gave it a GPU; before JAX starts."""
    import cv2

    cv2.setNumThreads(1)
    flags = os.environ.get("XLA_FLAGS", "")
    if "intra_op_parallelism_threads" not in flags:
        os.environ["XLA_FLAGS"] = (
            f"{flags} --xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1".strip()
        )
    import jax
    import ray

    from mtl import compilation_cache

    if not ray.get_gpu_ids():
        jax.config.update("jax_platforms", "cpu")
    compilation_cache.enable()
