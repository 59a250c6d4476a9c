"""Batches of images and targets from a shard directory, through Grain.

Grain reads the records at random (the TFDS data source over ArrayRecord), so the shuffle is global
and an epoch's order is a function of the seed and the epoch's number: a resumed run, and any number
of processes together, see what one uninterrupted process would.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import grain
import numpy as np
from absl import flags
from jaxtyping import Float, UInt8

from fr_metrics import HistogramEqualization
from mtl.kadis.recipes import named_seed
from mtl.kadis.records import DataSet
from mtl.runtime.files import InputError

READ_THREADS = max(2, len(os.sched_getaffinity(0)))
THREADS_PER_WORKER = 2
PREFETCHED_BATCHES = READ_THREADS + 2  # each thread makes whole batches


@dataclass(frozen=True)
class Batch:
    """Images with their targets: a batch, or the rows of it that a process asked for."""

    images: UInt8[np.ndarray, "n h w 3"]
    targets: Float[np.ndarray, "n k"]
    number: int
    """How many of the whole batch's images count; those behind them fill a short last batch."""


class Images(Protocol):
    """Random access to images of one size and their targets."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        """`image` and `target`."""
        ...


class ScoredImages:
    """One split of a data set: random access to images and targets.

    Args:
        data: the shard directory.
        split: "train" or "validation".
        metrics: the targets' columns.
        equalization: applied to the scores; None leaves them raw.

    Raises:
        InputError: the split is not there or lacks a metric.
    """

    def __init__(
        self,
        data: Path,
        split: str,
        metrics: Sequence[str],
        equalization: HistogramEqualization | None,
    ):
        stored = DataSet(data)
        if split not in stored.splits:
            raise InputError(
                f"{data}: has no {split} split, or all its photographs were left out; generate it"
                " from at least two photographs that can be used with --validation above 0, or"
                " with another --seed"
            )
        lacking = [metric for metric in metrics if metric not in stored.metrics]
        if lacking:
            raise InputError(f"{data}: was not scored with {lacking[0]}")
        self.metrics = tuple(metrics)
        self.equalization = equalization
        self.size = stored.size
        self._stored, self._split = stored, split

    def __len__(self) -> int:
        return self._stored.number_of_images(self._split)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        record = self._stored.image(self._split, index)
        scores = {m: np.array([record.scores[m]], np.float64) for m in self.metrics}
        if self.equalization is not None:
            scores = self.equalization.transform(scores)
        target = np.array([scores[m][0] for m in self.metrics], np.float32)
        return {"image": record.image, "target": target}


def training_batches(
    images: Images,
    *,
    batch_size: int,
    crop: tuple[int, int] | None,
    flip: bool,
    seed: int,
    epoch: int,
    first: int = 0,
    rows: range | None = None,
    workers: int = 0,
) -> Iterator[Batch]:
    """One epoch in random order; crops at random places; an incomplete last batch is left out.

    Args:
        images: the training split.
        batch_size: images per batch.
        crop: (height, width) of the crops; None keeps whole images.
        flip: mirror half of the images horizontally.
        seed: of the run.
        epoch: number of the epoch, from 0.
        first: the batch to begin with.
        rows: the part of each batch that is wanted; None wants it whole.
        workers: processes that read; 0 reads with threads.
    """

    def augmented(element: dict[str, np.ndarray], rng: np.random.Generator):
        image = element["image"]
        if crop is not None:
            top = rng.integers(image.shape[0] - crop[0] + 1)
            left = rng.integers(image.shape[1] - crop[1] + 1)
            image = image[top : top + crop[0], left : left + crop[1]]
        if flip and rng.random() < 0.5:
            image = image[:, ::-1]
        return {"image": np.ascontiguousarray(image), "target": element["target"]}

    whole = (
        grain.MapDataset.source(images)
        .seed(named_seed(seed, "epoch", epoch) % 2**32)
        .shuffle()
        .random_map(augmented)
    )
    number = len(images) // batch_size * batch_size
    for element in _read(_Rows(whole, number, batch_size, first, rows), workers):
        yield Batch(element["image"], element["target"], len(element["image"]))


def validation_batches(
    images: Images,
    *,
    batch_size: int,
    crop: tuple[int, int] | None,
    rows: range | None = None,
    workers: int = 0,
) -> Iterator[Batch]:
    """All images once, in order, centre crops; the last batch repeats its last image."""

    def cropped(element: dict[str, np.ndarray]):
        image = element["image"]
        if crop is not None:
            top, left = (image.shape[0] - crop[0]) // 2, (image.shape[1] - crop[1]) // 2
            image = image[top : top + crop[0], left : left + crop[1]]
        return {"image": np.ascontiguousarray(image), "target": element["target"]}

    whole = grain.MapDataset.source(images).map(cropped)
    number = -(-len(images) // batch_size) * batch_size
    part = _Rows(whole, number, batch_size, 0, rows)
    for k, element in enumerate(_read(part, workers)):
        yield Batch(
            element["image"], element["target"], min(batch_size, len(images) - k * batch_size)
        )


class _Rows:
    """Some rows of every batch, from some batch on, of a data set cut into batches in its order.

    Processes that share a batch read a part each, so that together they see what one would; a run
    that continues begins at any batch without reading those before it.
    """

    def __init__(
        self,
        whole: grain.MapDataset,
        number: int,
        batch_size: int,
        first: int,
        rows: range | None,
    ):
        self._whole = whole
        self._batch_size = batch_size
        self._first = first
        self._rows = range(batch_size) if rows is None else rows
        self._batches = number // batch_size - first
        self._last = len(whole) - 1

    @property
    def rows_per_batch(self) -> int:
        return len(self._rows)

    def __len__(self) -> int:
        return self._batches * len(self._rows)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        batch, row = divmod(index, len(self._rows))
        place = (self._first + batch) * self._batch_size + self._rows[row]
        return self._whole[min(place, self._last)]


def _read(part: _Rows, workers: int) -> Iterator[dict[str, np.ndarray]]:
    """The batches of a part, read ahead by threads or by processes."""
    if not len(part):
        return
    batches = grain.MapDataset.source(part).batch(part.rows_per_batch)
    if workers:
        if not flags.FLAGS.is_parsed():  # Grain asks for a flag of its own
            flags.FLAGS.mark_as_parsed()
        options = grain.ReadOptions(THREADS_PER_WORKER, THREADS_PER_WORKER)
        ahead = grain.MultiprocessingOptions(workers, per_worker_buffer_size=THREADS_PER_WORKER)
        yield from batches.to_iter_dataset(options).mp_prefetch(ahead)
    else:
        options = grain.ReadOptions(READ_THREADS, PREFETCHED_BATCHES)
        yield from batches.to_iter_dataset(options)
