"""Whether a data set is what its manifest says: files, records, split, equalisation, a sample.

It is read shard by shard, and only the scores are kept, so that it may be larger than memory.
Whatever is wrong is collected, with the file's name and a remedy. Nothing is written.
"""

import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from mtl.kadis.manifest import read_plan
from mtl.kadis.origins import DataSetPlan
from mtl.kadis.photographs import photographs_folder
from mtl.kadis.plan import check_workers
from mtl.kadis.verification.consistency import (
    Result,
    check_description,
    check_equalization,
    check_folder,
    check_plan,
    check_split,
)
from mtl.kadis.verification.findings import Check, Problem, made_again
from mtl.kadis.verification.inspection import Inspected, inspect_shard
from mtl.kadis.verification.sample_check import Sample, check_sample
from mtl.runtime.files import InputError
from mtl.runtime.progress import progress_bar, say


@dataclass(frozen=True)
class VerifyConfig:
    """What to check. Every record is read; how many images are made again can be chosen."""

    data: Path
    """Folder that `deepfl generate` or `deepfl import-scores` wrote."""
    photos: Path | None = None
    """Folder of the photographs; when not given, the one that was generated from, if it is
    there."""
    sample: int = 25
    """Images to distort and score again; 0 for none, a number large enough for all."""
    seed: int = 0
    """Decides which images are in the sample."""
    num_workers: int | None = None
    """Threads; one per core when not given."""


@dataclass(frozen=True)
class Verification:
    """What was checked and what is wrong."""

    data: Path
    images: int
    """How many could be decoded."""
    checks: tuple[Check, ...]
    problems: tuple[Problem, ...]
    """Those of the shards first."""
    notes: tuple[str, ...]
    """What is worth knowing and not wrong."""


def verify(config: VerifyConfig, *, progress: bool = False) -> Verification:
    """Check a data set; whatever is wrong with it is in the result.

    Args:
        config: what to check.
        progress: report on standard error.

    Raises:
        InputError: bad settings, or the folder holds no finished data set.
    """
    if config.sample < 0 or config.seed < 0:
        raise InputError("--sample and --seed must be at least 0")
    check_workers(config.num_workers)
    photos = photographs_folder(config.data, config.photos)
    planned = read_plan(config.data)
    pool = ThreadPoolExecutor(config.num_workers or len(os.sched_getaffinity(0)))
    try:
        inspected = _inspect(planned, pool, progress=progress)
        split, inspected = check_split(inspected)
        folder, notes = check_folder(planned)
        results: list[Result] = [
            check_plan(planned),
            folder,
            *_shard_checks(planned, inspected),
            split,
            check_description(planned, inspected),
            check_equalization(planned, inspected),
            _check_sample(config, planned, inspected, photos, pool, progress=progress),
        ]
    finally:
        pool.shutdown(cancel_futures=True)
    problems = [
        Problem(
            one.shard.file,
            "; ".join(fault.what for fault in one.faults),
            made_again(planned, one.shard),
        )
        for one in inspected
        if one.faults
    ]
    return Verification(
        config.data,
        sum(one.images for one in inspected),
        tuple(check for check, _ in results),
        (*problems, *(problem for _, found in results for problem in found)),
        tuple(notes),
    )


def _inspect(planned: DataSetPlan, pool: Executor, *, progress: bool) -> list[Inspected]:
    """Every shard, one after the other."""
    left_out = {one.file: one.reason for one in planned.rejected}
    with progress_bar(planned.number_of_images(), "verify", "img", show=progress) as bar:
        return [
            inspect_shard(planned, shard, left_out, pool, bar.update) for shard in planned.shards
        ]


def _shard_checks(planned: DataSetPlan, inspected: Sequence[Inspected]) -> list[Result]:
    """The lines of the summary that count what was found in the shards, and in how many."""
    there = [one.bytes for one in inspected if one.bytes]
    decoded = sum(one.images for one in inspected)
    texts = {
        "stats": f"{len(inspected)} files",
        "checksums": f"{len(there)} files, {sum(there) / 1e6:,.1f} MB",
        "records": f"{decoded:,} of {sum(one.due for one in inspected):,} images decoded",
    }
    wrong = Counter(check for one in inspected for check in {fault.check for fault in one.faults})
    return [(Check(name, text, wrong[name]), ()) for name, text in texts.items()]


def _check_sample(
    config: VerifyConfig,
    planned: DataSetPlan,
    inspected: Sequence[Inspected],
    photos: Path | None,
    pool: Executor,
    *,
    progress: bool,
) -> Result:
    """Some images of sound shards, distorted and scored again."""
    if config.sample == 0:
        return Check("sample", "none asked for", None), ()
    if planned.not_repeatable:
        return Check("sample", planned.not_repeatable, None), ()
    if photos is None and planned.store == "pixels":
        return Check("sample", "needs the photographs: give their folder, --photos", None), ()
    sound = [one for one in inspected if not one.faults]
    sample = Sample(sound, config.sample, config.seed, photos)
    if sample.size == 0:
        return Check("sample", "waits for a sound shard", None), ()
    say("distorting and scoring a sample again; the metrics compile first ...", show=progress)
    with progress_bar(sample.size, "sample", "img", show=progress) as bar:
        scored, problems = check_sample(planned, sample, pool, bar.update)
    text = f"{scored} images distorted and scored again"
    if photos is None:
        text += ", not from the photographs: give their folder, --photos"
    return Check("sample", text, len(problems)), problems
