"""Batches of images and targets from a shard directory, through Grain.

Grain reads the records at random (the TFDS data source over ArrayRecord), so the shuffle is global
and an epoch's order is a function of the seed and the epoch's number: a resumed run sees what an
uninterrupted one would.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import grain
import numpy as np
from jaxtyping import Float, UInt8

from fr_metrics import HistogramEqualization
from mtl.files import InputError
from mtl.kadis.recipes import named_seed
from mtl.kadis.records import DataSet

# Decoding PNG releases the interpreter's lock, so threads suffice to keep a training step fed.
READ_THREADS = max(2, len(os.sched_getaffinity(0)))
PREFETCHED_BATCHES = 4


@dataclass(frozen=True)
class Batch:
    """Images with their targets; `number` of the last ones are padding in a final short batch."""

    images: UInt8[np.ndarray, "n h w 3"]
    targets: Float[np.ndarray, "n k"]
    number: int


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
                f"{data}: has no {split} split; generate it from at least two photographs with"
                " --validation above 0"
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
    images: ScoredImages,
    *,
    batch_size: int,
    crop: tuple[int, int] | None,
    flip: bool,
    seed: int,
    epoch: int,
) -> Iterator[Batch]:
    """One epoch in random order; crops at random places; an incomplete last batch is left out.

    Args:
        images: the training split.
        batch_size: images per batch.
        crop: (height, width) of the crops; None keeps whole images.
        flip: mirror half of the images horizontally.
        seed: of the run.
        epoch: number of the epoch, from 0.
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

    dataset = (
        grain.MapDataset.source(images)
        .seed(named_seed(seed, "epoch", epoch) % 2**32)
        .shuffle()
        .random_map(augmented)
        .batch(batch_size, drop_remainder=True)
    )
    options = grain.ReadOptions(READ_THREADS, PREFETCHED_BATCHES)
    for element in dataset.to_iter_dataset(options):
        yield Batch(element["image"], element["target"], batch_size)


def validation_batches(
    images: ScoredImages, *, batch_size: int, crop: tuple[int, int] | None
) -> Iterator[Batch]:
    """All images once, in order, centre crops; the last batch repeats its last image."""

    def cropped(element: dict[str, np.ndarray]):
        image = element["image"]
        if crop is not None:
            top, left = (image.shape[0] - crop[0]) // 2, (image.shape[1] - crop[1]) // 2
            image = image[top : top + crop[0], left : left + crop[1]]
        return {"image": np.ascontiguousarray(image), "target": element["target"]}

    dataset = grain.MapDataset.source(images).map(cropped).batch(batch_size)
    options = grain.ReadOptions(READ_THREADS, PREFETCHED_BATCHES)
    for element in dataset.to_iter_dataset(options):
        number = len(element["image"])
        fill = [(0, batch_size - number)]
        yield Batch(
            np.pad(element["image"], [*fill, (0, 0), (0, 0), (0, 0)], mode="edge"),
            np.pad(element["target"], [*fill, (0, 0)], mode="edge"),
            number,
        )
