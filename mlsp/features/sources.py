"""Where pictures to be described come from: a folder, a list of files, or a generated data set."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from jaxtyping import UInt8

from mtl.kadis import records
from mtl.kadis.plan import MANIFEST, read_manifest
from mtl.kadis.shards import Shard, read_stats
from mtl.runtime.contents import content_digest, digest_of
from mtl.runtime.files import InputError
from mtl.runtime.paths.outputs import TABLE_SUFFIXES
from mtl.runtime.pictures import list_pictures, picture_size, read_picture
from mtl.runtime.tables.columns import image_column, picture_names
from mtl.runtime.tables.csv_tables import read_table


class Source(Protocol):
    """Named pictures with columns that describe them."""

    @property
    def names(self) -> Sequence[str]:
        """Of the pictures."""
        ...

    @property
    def columns(self) -> Sequence[Mapping[str, str]]:
        """For each picture, what the index should say of it beside its name."""
        ...

    def size(self, index: int) -> tuple[int, int]:
        """(height, width) without decoding the pixels; InputError if it is not a picture."""
        ...

    def load(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
        """The pixels; InputError if they cannot be decoded."""
        ...

    def content(self, index: int) -> str:
        """Return a digest of all that decides the pixels; InputError if there is no such file."""
        ...


@dataclass(frozen=True)
class Files:
    """Picture files by name under a root folder."""

    root: Path
    names: Sequence[str]
    columns: Sequence[Mapping[str, str]]

    def size(self, index: int) -> tuple[int, int]:
        """From the file's header."""
        return picture_size(self.root / self.names[index])

    def load(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
        """Decoded by `mtl.runtime.pictures.read_picture`."""
        return read_picture(self.root / self.names[index])

    def content(self, index: int) -> str:
        """Return the SHA-256 of the file."""
        return content_digest(self.root / self.names[index])


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


def open_source(path: str | os.PathLike, tell: Callable[[str], None] | None = None) -> Source:
    """Return a data set, a folder of pictures, a table that names pictures, or one picture.

    A table ends in .csv, .tsv or .txt. Names in it are relative to its folder; its other columns
    are kept.

    Args:
        path: of it.
        tell: called with a line for each kind of file that a folder's pictures are without.

    Raises:
        InputError: the path is none of these, or holds nothing.
    """
    path = Path(path)
    if (path / MANIFEST).is_file():
        return DataSet(path)
    if path.suffix.lower() in TABLE_SUFFIXES and not path.is_dir():
        return rated_files(path)
    if path.is_file():
        return Files(path.parent, [path.name], [{}])
    names = list_pictures(path, tell)
    return Files(path, names, [{} for _ in names])


def rated_files(table: Path) -> Files:
    """Return the picture files that a CSV file names, with its other columns.

    The names are in the column `image`, or one that `mtl.runtime.tables.columns.USUAL` takes for
    it.

    Raises:
        InputError: the file is missing, has another header or no rows, or names a picture twice.
    """
    rows = read_table(table, ())
    image = image_column(table, list(rows[0]))
    names = list(picture_names(table, rows, image))
    columns = [{k: v for k, v in row.items() if k != image} for row in rows]
    return Files(table.parent, names, columns)
