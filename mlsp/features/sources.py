"""Where pictures to be described come from: a folder, a list of files, or a generated data set."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from jaxtyping import UInt8

from mtl.kadis import MANIFEST
from mtl.runtime.contents import content_digest
from mtl.runtime.extras import DATA_SET, needs
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


def open_source(path: str | os.PathLike, tell: Callable[[str], None] | None = None) -> Source:
    """Return a data set, a folder of pictures, a table that names pictures, or one picture.

    A table ends in .csv, .tsv or .txt. Names in it are relative to its folder; its other columns
    are kept.

    Args:
        path: of it.
        tell: called with a line for each kind of file that a folder's pictures are without.

    Raises:
        InputError: the path is none of these, or holds nothing, or is a data set and the libraries
            that read it are not installed.
    """
    path = Path(path)
    if (path / MANIFEST).is_file():
        needs(f"{path}: reading a data set", "generate", only=DATA_SET)
        from mlsp.features.data_sets import DataSet

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
