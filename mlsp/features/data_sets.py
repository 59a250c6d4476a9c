"""Pictures of a generated data set, to be described."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from mtl.kadis import records
from mtl.kadis.manifest import read_manifest
from mtl.kadis.shards import Shard, read_stats
from mtl.runtime.contents import digest_of
from mtl.runtime.files import InputError


class DataSet:
    """The distorted images of a data set that `deepfl generate` wrote.

    A picture's name is REFERENCE/TYPE_LEVEL; its columns are reference, distortion, level, split.

    Raises:
        InputError: the folder is not a finished data set, or is damaged.
    """

    def __init__(self, folder: Path):
        plan = read_manifest(folder)["plan"]
        self._stored = records.DataSet(folder)
        counts = dict.fromkeys(self._stored.splits, 0)
        self._places, names, columns = [], [], []
        self._contents: list[str] = []
        for shard, stats in shard_stats(folder, plan):
            for described in stats["records"]:
                reference, distortion, level = (
                    described[name] for name in ("reference", "distortion", "level")
                )
                names.append(f"{reference}/{distortion:02d}_{level:02d}")
                columns.append(
                    {
                        "reference": reference,
                        "distortion": str(distortion),
                        "level": str(level),
                        "split": shard.split,
                    }
                )
                self._places.append((shard.split, counts[shard.split]))
                self._contents.append(digest_of(stats["sha256"], names[-1]))
                counts[shard.split] += 1
        self.names: Sequence[str] = names
        self.columns: Sequence[Mapping[str, str]] = columns

    def size(self, index: int) -> tuple[int, int]:
        """The data set's common size."""
        return self._stored.size

    def load(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
        """The stored pixels, or distorted again where the recipe is stored."""
        return self._stored.image(*self._places[index]).image

    def content(self, index: int) -> str:
        """Return a digest of the picture's name and of its shard's SHA-256 in the stats."""
        return self._contents[index]

    @property
    def stores_pristine(self) -> bool:
        """Whether `pristine` can be had."""
        return self._stored.store == "recipe"

    def pristine(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
        """The pristine crop that a picture was made of; the store `pixels` has none."""
        return self._stored.pristine(*self._places[index])


def shard_stats(folder: Path, plan: Mapping[str, Any]) -> Iterator[tuple[Shard, dict[str, Any]]]:
    """Yield the shards of a data set in order, each with its stats: records, sha256 and more.

    Raises:
        InputError: the stats of a shard are missing or damaged, so that no image could be told.
    """
    for fields in plan["shards"]:
        shard = Shard(**fields)
        stats = read_stats(folder, shard)
        if stats is None:
            raise InputError(f"{folder / shard.file}: has lost its stats file; make it again")
        missing = {"records", "sha256"} - stats.keys()
        if missing:
            raise InputError(f"{folder / shard.file}: its stats lack {min(missing)}; make it again")
        yield shard, stats
