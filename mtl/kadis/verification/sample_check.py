"""A sample of a data set's images, distorted and scored once more from the photographs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from distortions import distort
from fr_metrics import score_all
from mtl.curation.pristine import pristine_crop
from mtl.kadis.origins import SCORE_TOLERANCE, DataSetPlan
from mtl.kadis.records import PRISTINE
from mtl.kadis.shards import Shard
from mtl.kadis.verification.findings import Problem, listed, made_again
from mtl.kadis.verification.inspection import Inspected, Row, opened_records, rows_of
from mtl.runtime import compilation_cache
from mtl.runtime.files import InputError
from mtl.runtime.pictures import read_picture

Image = UInt8[np.ndarray, "h w 3"]


@dataclass(frozen=True)
class _Part:
    """The sampled images of one reference."""

    shard: Shard
    reference: str
    images: tuple[int, ...]
    """Their numbers in the shard, counted from 0."""


@dataclass(frozen=True)
class Sample:
    """Say which images of a data set are made again, and from what."""

    sound: Sequence[Inspected]
    """Shards that hold what they should."""
    number: int
    """Of images, spread evenly over the shards; no more than there are."""
    seed: int
    """Decides which."""
    photos: Path | None
    """The photographs' folder, if there is one; without it only the store `recipe`, which keeps the
    pristine crops, can be checked, and only its scores."""

    @property
    def size(self) -> int:
        """Return how many images it has."""
        return min(self.number, sum(one.images for one in self.sound))


def check_sample(
    planned: DataSetPlan, sample: Sample, pool: Executor, report: Callable[[int], object]
) -> tuple[int, list[Problem]]:
    """Make a sample of images again and compare pixels and scores.

    Args:
        planned: the data set's plan.
        sample: which images.
        pool: threads to work with.
        report: called with numbers of images as they are done.

    Returns:
        How many images were scored again, and what is wrong.
    """
    photos, parts = sample.photos, list(_parts(planned, sample))
    problems = []
    if photos is not None:
        gone = sorted({p.reference for p in parts if not (photos / p.reference).is_file()})
        if gone:
            what = listed("photographs of the sample that are not there", gone)
            remedy = "put them back, or name their folder with --photos"
            problems.append(Problem(str(photos), what, remedy))
    compilation_cache.enable()
    check = partial(_check_part, planned, photos)

    def results() -> Iterator[tuple[int, list[Problem]]]:
        # The first alone, so that the metrics are compiled once and not by every thread.
        yield from map(check, parts[:1])
        yield from pool.map(check, parts[1:])

    scored = 0
    for part, (images, found) in zip(parts, results(), strict=True):
        scored += images
        problems += found
        report(len(part.images))
    return scored, problems


def _parts(planned: DataSetPlan, sample: Sample) -> Iterator[_Part]:
    """One image from each of as many equal stretches of the data set, by reference."""
    sound, size = sample.sound, sample.size
    starts = np.cumsum([0, *(one.images for one in sound)])
    edges = np.arange(size + 1) * int(starts[-1]) // max(size, 1)
    chosen = np.random.default_rng(sample.seed).integers(edges[:-1], edges[1:])
    shards = np.searchsorted(starts, chosen, side="right") - 1
    places = zip(shards.tolist(), (chosen - starts[shards]).tolist(), strict=True)
    for (shard, k), group in groupby(
        places, key=lambda place: (place[0], place[1] // planned.versions_per_reference)
    ):
        found = sound[shard]
        yield _Part(found.shard, found.kept[k], tuple(image for _, image in group))


def _check_part(
    planned: DataSetPlan, photos: Path | None, part: _Part
) -> tuple[int, list[Problem]]:
    """How many images of a part could be scored again, and what is wrong with them."""
    crop, problems = _crop(planned, photos, part.reference)
    pristine, rows, images = _stored(planned, part)
    different = ""
    if pristine is None:
        pristine = crop
    elif crop is not None and not np.array_equal(crop, pristine):
        different = f"its pristine crop is {_distance(crop, pristine)}"
    if pristine is None:
        return 0, problems
    otherwise = []
    step = len(planned.levels)  # scored together, as they were before
    for start in range(0, len(rows), step):
        some = rows[start : start + step]
        again = np.stack(
            [
                distort(pristine, v.distortion, v.level, seed=v.seed)
                for v in (row.version for row in some)
            ]
        )
        for row, one, stored in zip(some, again, images[start : start + step], strict=False):
            if not different and not np.array_equal(one, stored):
                different = f"{row}, made again, is {_distance(one, stored)}"
        scores = _scores(pristine, again, step, planned.metrics)
        for row, computed in zip(some, scores, strict=True):
            for metric, a, b in zip(planned.metrics, row.scores, computed, strict=True):
                if not abs(a - b) <= SCORE_TOLERANCE:
                    otherwise.append(f"{row}, {metric} stored as {a:.6g}, computed as {b:.6g}")
    remedy = made_again(planned, part.shard)
    if different and photos is not None:
        what = f"does not give what {part.shard.file} holds of it: {different}"
        remedy = (
            "put the photograph back if it has been replaced; verify with the packages that made"
            f" the data set; if neither helps, {remedy}"
        )
        problems.append(Problem(str(photos / part.reference), what, remedy))
    elif otherwise:
        what = listed("scores that come out otherwise", otherwise)
        problems.append(Problem(part.shard.file, what, remedy))
    return len(rows), problems


def _crop(
    planned: DataSetPlan, photos: Path | None, reference: str
) -> tuple[Image | None, list[Problem]]:
    """The pristine crop of a photograph; None if it is not there or not what it was."""
    if photos is None or not (photos / reference).is_file():
        return None, []
    path = photos / reference
    size, before = path.stat().st_size, planned.sizes.get(reference)
    if before is not None and size != before:
        what = f"has {size:,} bytes, and had {before:,} when the data set was made"
        return None, [Problem(str(path), what, "put the photograph back")]
    try:
        return pristine_crop(read_picture(path), planned.size), []
    except (InputError, ValueError) as error:
        what = str(error).removeprefix(f"{path}: ")
        return None, [Problem(str(path), what, "put the photograph back")]


def _stored(planned: DataSetPlan, part: _Part) -> tuple[Image | None, list[Row], list[Image]]:
    """The pristine crop if it is stored, what is said of the images, and they if they are."""
    features = planned.features
    with opened_records(planned.folder / part.shard.file) as reader:

        def record_at(index: int) -> Mapping[str, Any]:
            return features.deserialize_example_np(reader.read([index])[0])

        if planned.store == "recipe":
            number = planned.versions_per_reference
            record = record_at(part.images[0] // number)
            rows = rows_of(record, planned.metrics)
            return record[PRISTINE], [rows[k % number] for k in part.images], []
        records = [record_at(k) for k in part.images]
    rows = [rows_of(record, planned.metrics)[0] for record in records]
    return None, rows, [record["image"] for record in records]


def _scores(
    pristine: Image, images: UInt8[np.ndarray, "n h w 3"], step: int, metrics: Sequence[str]
) -> list[tuple[float, ...]]:
    """Scores of up to `step` images, filled up to as many so that metrics are compiled once."""
    full = np.concatenate([images, np.repeat(images[-1:], step - len(images), axis=0)])
    scores = score_all(pristine, full, metrics)
    columns = [np.asarray(scores[metric])[: len(images)].tolist() for metric in metrics]
    return list(zip(*columns, strict=True))


def _distance(one: Image, other: Image) -> str:
    most = int(np.abs(one.astype(int) - other).max())
    return f"up to {most} grey levels away"
