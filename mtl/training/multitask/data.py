"""A scored data set as a multi-task run sees it: images, with their scores as targets.

Records are read at random, as the TFDS data source over ArrayRecord does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fr_metrics import HistogramEqualization
from mtl.kadis import EQUALIZATION
from mtl.kadis.manifest import read_manifest
from mtl.kadis.records import DataSet
from mtl.kadis.shards import AGAIN
from mtl.runtime.files import InputError
from mtl.training.multitask.config import TrainConfig, check, chosen_tasks


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


@dataclass(frozen=True)
class ScoredData:
    """A data set, opened for a run."""

    plan: Mapping[str, Any]
    tasks: tuple[str, ...]
    """The metrics to predict, in the paper's order."""
    equalization: HistogramEqualization | None
    """Of the targets; None where raw scores are learned."""
    training: ScoredImages
    validation: ScoredImages


def open_data(config: TrainConfig) -> ScoredData:
    """Open the data set of a run, and check the settings against it.

    Raises:
        InputError: the data set or the settings cannot be used.
    """
    plan = read_manifest(config.data)["plan"]
    tasks = chosen_tasks(config, plan["metrics"])
    equalization = None
    if config.equalize == "on":
        path = config.data / EQUALIZATION
        try:
            equalization = HistogramEqualization.from_json(path.read_text())
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: is missing or damaged ({error}); {AGAIN}") from error
    training, validation = (
        ScoredImages(config.data, split, tasks, equalization) for split in ("train", "validation")
    )
    check(config, training.size, len(training))
    return ScoredData(plan, tasks, equalization, training, validation)
