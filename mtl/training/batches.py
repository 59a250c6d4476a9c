"""Batches of images and targets, read by Grain from anything that gives them at random.

The shuffle is global, and an epoch's order is a function of the seed and the epoch's number: a
resumed run, and any number of processes together, see what one uninterrupted process would.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import grain
import numpy as np
from absl import flags
from jaxtyping import Float, UInt8

from mtl.kadis.recipes import named_seed
from mtl.training.settings import Batching

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


def training_batches(
    images: Images,
    batching: Batching,
    epoch: int,
    *,
    first: int = 0,
    rows: range | None = None,
) -> Iterator[Batch]:
    """Yield one epoch in random order; an incomplete last batch is left out.

    Args:
        images: the training split.
        batching: how they become batches; crops are at random places.
        epoch: number of the epoch, from 0.
        first: the batch to begin with.
        rows: the part of each batch that is wanted; None wants it whole.
    """
    crop = batching.crop

    def augmented(element: dict[str, np.ndarray], rng: np.random.Generator):
        image = element["image"]
        if crop is not None:
            top = rng.integers(image.shape[0] - crop[0] + 1)
            left = rng.integers(image.shape[1] - crop[1] + 1)
            image = image[top : top + crop[0], left : left + crop[1]]
        if batching.flip and rng.random() < 0.5:
            image = image[:, ::-1]
        return {"image": np.ascontiguousarray(image), "target": element["target"]}

    whole = (
        grain.MapDataset.source(images)
        .seed(named_seed(batching.seed, "epoch", epoch) % 2**32)
        .shuffle()
        .random_map(augmented)
    )
    number = len(images) // batching.batch_size * batching.batch_size
    part = _Rows(whole, number, batching.batch_size, first, rows)
    for element in _read(part, batching.workers):
        yield Batch(element["image"], element["target"], len(element["image"]))


def validation_batches(
    images: Images, batching: Batching, *, rows: range | None = None
) -> Iterator[Batch]:
    """Yield all images once, in order, centre crops; the last batch repeats its last image.

    Args:
        images: the split.
        batching: how they become batches; `flip` and `seed` change nothing.
        rows: the part of each batch that is wanted; None wants it whole.
    """
    crop, batch_size = batching.crop, batching.batch_size

    def cropped(element: dict[str, np.ndarray]):
        image = element["image"]
        if crop is not None:
            top, left = (image.shape[0] - crop[0]) // 2, (image.shape[1] - crop[1]) // 2
            image = image[top : top + crop[0], left : left + crop[1]]
        return {"image": np.ascontiguousarray(image), "target": element["target"]}

    whole = grain.MapDataset.source(images).map(cropped)
    number = -(-len(images) // batch_size) * batch_size
    part = _Rows(whole, number, batch_size, 0, rows)
    for k, element in enumerate(_read(part, batching.workers)):
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
    """Yield the batches of a part, read ahead by threads or by processes."""
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
