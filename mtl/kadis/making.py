"""What one worker does: photographs in, one finished shard out."""

import functools
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from distortions import distort
from fr_metrics import score_all
from mtl.curation.pristine import pristine_crop
from mtl.kadis.photographs import check_unchanged
from mtl.kadis.plan import Plan
from mtl.kadis.records import Scored, encoded_records
from mtl.kadis.shards import Shard, ShardWriter, finish_shard
from mtl.runtime.files import InputError
from mtl.runtime.pictures import Rejected, read_picture

KIBIBYTE = 1024  # Linux counts resident memory in these


@dataclass
class Tally:
    """What was done so far and how long it took; tallies of shards can be added up."""

    images: int = 0
    """Finished: distorted, scored, encoded and handed to the file."""
    rejected: int = 0
    """Photographs that could not be decoded."""
    seconds: dict[str, float] = field(default_factory=dict)
    """By step: start, read, distort, score, encode, write."""
    types: dict[int, tuple[int, float]] = field(default_factory=dict)
    """By distortion: images, and seconds spent on distorting them."""
    peak_memory: int = 0
    """Bytes of resident memory that the worker's process has had at most."""

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Context manager: adds what its block takes to a step."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[step] = self.seconds.get(step, 0.0) + time.perf_counter() - began

    def add_type(self, distortion: int, images: int, seconds: float) -> None:
        """Count images of a type."""
        number, total = self.types.get(distortion, (0, 0.0))
        self.types[distortion] = (number + images, total + seconds)

    def __iadd__(self, other: "Tally") -> "Tally":
        self.images += other.images
        self.rejected += other.rejected
        for step, seconds in other.seconds.items():
            self.seconds[step] = self.seconds.get(step, 0.0) + seconds
        for distortion, (images, seconds) in other.types.items():
            self.add_type(distortion, images, seconds)
        self.peak_memory = max(self.peak_memory, other.peak_memory)
        return self


def make_shard(planned: Plan, shard: Shard, report: Callable[[Tally], None]) -> Tally:
    """Make one shard and declare it done.

    Args:
        planned: the whole data set's plan.
        shard: which part of it.
        report: called after every photograph.

    Raises:
        OSError: the shard cannot be written.
    """
    tally = Tally()
    records: list[dict[str, Any]] = []
    rejected: list[Rejected] = []
    with tally.timed("start"):
        _compile_metrics(planned.size, len(planned.levels), planned.metrics)
        features = planned.features
    with ShardWriter(planned.folder, shard) as writer:
        for reference in shard.references:
            made = score_versions(planned, reference, tally)
            if isinstance(made, Rejected):
                rejected.append(made)
                tally.rejected += 1
            else:
                encoded = encoded_records(made, planned.store, features)
                while True:
                    with tally.timed("encode"):
                        record = next(encoded, None)
                    if record is None:
                        break
                    with tally.timed("write"):
                        writer.write(record)
                records += _described(made)
                tally.images += len(made.images)
            report(tally)
    with tally.timed("write"):
        finish_shard(planned.folder, shard, records, [asdict(one) for one in rejected])
    tally.peak_memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIBIBYTE
    return tally


def score_versions(planned: Plan, reference: str, tally: Tally) -> Scored | Rejected:
    """One photograph with its distorted versions and their scores.

    Raises:
        RuntimeError: a score is not finite.
    """
    path = planned.config.photos / reference
    try:
        with tally.timed("read"):
            check_unchanged(path, planned.contents.get(reference))
            pristine = pristine_crop(read_picture(path), planned.size)
    except (InputError, ValueError) as error:
        return Rejected.of(reference, path, error)
    versions = planned.versions(reference)
    images = np.empty((len(versions), *pristine.shape), np.uint8)
    scores = {metric: np.empty(len(versions), np.float32) for metric in planned.metrics}
    # One type at a time: the batch has the same shape for every recipe, so one compilation.
    levels = len(planned.levels)
    for start in range(0, len(versions), levels):
        group = slice(start, start + levels)
        with tally.timed("distort"):
            began = time.perf_counter()
            for k, v in enumerate(versions[group], start):
                images[k] = distort(pristine, v.distortion, v.level, seed=v.seed)
            seconds = time.perf_counter() - began
        tally.add_type(versions[start].distortion, levels, seconds)
        with tally.timed("score"):
            found = score_all(pristine, images[group], planned.metrics)
            for metric in planned.metrics:
                scores[metric][group] = found[metric]
    for metric, column in scores.items():
        wrong = np.flatnonzero(~np.isfinite(column))
        if len(wrong):
            raise RuntimeError(f"{reference}: {metric} is not finite for {versions[wrong[0]]}")
    return Scored(reference, pristine, versions, images, scores)


def _described(scored: Scored) -> Iterator[dict[str, Any]]:
    """What the stats file says of each image."""
    for k, version in enumerate(scored.versions):
        scores = {metric: float(column[k]) for metric, column in scored.scores.items()}
        yield {"reference": scored.reference, **asdict(version), "scores": scores}


@functools.cache
def _compile_metrics(size: tuple[int, int], levels: int, metrics: tuple[str, ...]) -> None:
    """Score a black picture, so that compiling counts as starting and not as scoring."""
    black = np.zeros((*size, 3), np.uint8)
    for scores in score_all(black, np.zeros((levels, *black.shape), np.uint8), metrics).values():
        np.asarray(scores)
