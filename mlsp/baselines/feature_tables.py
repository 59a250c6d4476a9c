"""Features of the rows of `BASELINES`, computed once per database and kept beside its results.

Each method has a table that a stopped run continues (`mlsp.baselines.picture_tables`):

OUT/NAME.csv   image, made_from, f1 ... fN, reason          of a method without a codebook
OUT/NAME.csv   image, made_from, descriptors, reason        of a method with a codebook

Vectors of a method with a codebook differ from split to split, and local descriptors are many (2 MB
per picture of CORNIA). Its table tells how many of them each picture has, and thus which pictures
the method can use.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from mlsp.baselines.picture_tables import PictureTable
from mlsp.baselines.table import BASELINES
from mlsp.features.sources import Source
from mtl.runtime import pictures
from mtl.runtime.contents import digest_each, digest_of, program_digest
from mtl.runtime.files import InputError
from mtl.runtime.progress import progress_bar
from mtl.runtime.threads import in_order

DESCRIPTORS = "descriptors"  # the only column of numbers where there is a codebook


def table_file(name: str) -> str:
    """Return the name of the file with a method's features."""
    return f"{name}.csv"


def feature_columns(name: str) -> tuple[str, ...]:
    """Return the columns of a method's features: f1, f2, ..."""
    return tuple(f"f{n}" for n in range(1, BASELINES[name].length + 1))


def baseline_features(
    name: str, source: Source, out: Path, *, progress: bool = False
) -> Float64[np.ndarray, "n f"]:
    """Return the features of every picture, computed in threads; continue what is there.

    A row is made again when its picture or the method's program has changed.

    Args:
        name: of a row of `BASELINES` without a codebook.
        source: the pictures, such as `Database.source()`.
        out: folder for the table.
        progress: report on standard error.

    Returns:
        One row per picture in the source's order; NaN where a picture cannot be used, for which
        the table has the reason.

    Raises:
        InputError: `out` holds features of other pictures.
        ValueError: the method has a codebook, or describes a picture by a wrong number of features.
    """
    baseline = BASELINES[name]
    if baseline.fit is not None:
        raise ValueError(f"{name} has a codebook: its features differ from split to split")

    def features(described: np.ndarray) -> np.ndarray:
        if described.shape != (baseline.length,):
            raise ValueError(
                f"{name}: features have shape {described.shape}, not ({baseline.length},)"
            )
        return described

    return _kept(name, source, out / table_file(name), feature_columns(name), features, progress)


def descriptor_counts(
    name: str, source: Source, out: Path, *, progress: bool = False
) -> Float64[np.ndarray, " n"]:
    """Return how many local descriptors every picture has; continue what is there.

    The row of `BASELINES` has a codebook; arguments and errors are those of `baseline_features`.

    Returns:
        One number per picture in the source's order; NaN where a picture cannot be used, for which
        the table has the reason.

    Raises:
        ValueError: the method has no codebook.
    """
    if BASELINES[name].fit is None:
        raise ValueError(f"{name} has no codebook")

    def count(described: np.ndarray) -> np.ndarray | str:
        return np.array([len(described)]) if len(described) else "has no local descriptors"

    return _kept(name, source, out / table_file(name), (DESCRIPTORS,), count, progress)[:, 0]


def _kept(
    name: str,
    source: Source,
    path: Path,
    columns: Sequence[str],
    numbers: Callable[[np.ndarray], np.ndarray | str],
    progress: bool,
) -> Float64[np.ndarray, "n c"]:
    """Return the numbers that a table keeps of each picture's description.

    `numbers` returns a text instead where a description cannot be used.
    """
    baseline = BASELINES[name]
    program = program_digest(*baseline.program, pictures)
    contents = digest_each(range(len(source.names)), source.content, progress=progress)
    made_from = [digest_of(program, content) for content in contents]
    table = PictureTable(path, source.names, columns, made_from)
    table.tell(progress)

    def described(row: int) -> np.ndarray | str:
        try:
            return baseline.describe(source.load(row))
        except (InputError, ValueError) as error:
            return str(error)

    missing = np.flatnonzero(~table.done).tolist()
    with (
        table.kept(),
        progress_bar(
            len(source.names), baseline.title, "img", show=progress, done=table.number_done
        ) as bar,
    ):
        for row, found in zip(missing, in_order(described, missing), strict=True):
            values = found if isinstance(found, str) else numbers(found)
            if isinstance(values, str):
                table.skip(row, values)
            else:
                table.write(row, values)
            bar.update()
    table.report(progress)
    return table.values
