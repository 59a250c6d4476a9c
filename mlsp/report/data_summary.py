"""A data set's contents, read from its manifest and its stats without its pixels."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from mlsp.features.data_sets import shard_stats
from mtl.kadis.manifest import read_manifest
from mtl.runtime.progress import progress_bar


@dataclass(frozen=True)
class DataSummary:
    """A data set's contents; sequences and arrays have one entry per distorted image."""

    folder: Path
    plan: Mapping[str, Any]
    rejected: Sequence[Mapping[str, str]]
    """File and reason of each photograph that was left out: one entry per photograph."""
    splits: Sequence[str]
    places: Sequence[int]
    """The number of each image within its split, from 0."""
    references: Sequence[str]
    distortions: Int[np.ndarray, " n"]
    levels: Int[np.ndarray, " n"]
    scores: Mapping[str, Float[np.ndarray, " n"]]
    """Raw scores by metric."""

    @property
    def images(self) -> int:
        """The number of distorted images."""
        return len(self.references)

    def in_split(self, split: str) -> Bool[np.ndarray, " n"]:
        """Return which images are of a split."""
        return np.array([each == split for each in self.splits])

    def photographs(self, split: str | None = None) -> int:
        """Return how many photographs the images, of one split or all, were made of."""
        pairs = zip(self.references, self.splits, strict=True)
        return len({reference for reference, each in pairs if split in (None, each)})


def read_data_summary(folder: Path, *, progress: bool = False) -> DataSummary:
    """Read a data set's manifest and stats.

    Raises:
        InputError: the folder is not a finished data set, or is damaged.
    """
    manifest = read_manifest(folder)
    plan = manifest["plan"]
    splits: list[str] = []
    places: list[int] = []
    references: list[str] = []
    conditions: list[tuple[int, int]] = []
    scores: list[tuple[float, ...]] = []
    counts: Counter[str] = Counter()
    with progress_bar(len(plan["shards"]), "read scores", "shard", show=progress) as bar:
        for shard, stats in shard_stats(folder, plan):
            for record in stats["records"]:
                splits.append(shard.split)
                places.append(counts[shard.split])
                references.append(record["reference"])
                conditions.append((record["distortion"], record["level"]))
                scores.append(tuple(record["scores"][metric] for metric in plan["metrics"]))
                counts[shard.split] += 1
            bar.update()
    distortions, levels = np.array(conditions).T
    columns = np.array(scores, np.float64)
    return DataSummary(
        folder,
        plan,
        manifest["rejected"],
        splits,
        places,
        references,
        distortions,
        levels,
        {metric: columns[:, k] for k, metric in enumerate(plan["metrics"])},
    )
