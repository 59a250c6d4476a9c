"""The tables that `deepfl benchmark` wrote, read and checked for the report."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from mlsp.baselines import BASELINES
from mlsp.comparisons.networks_table import TABLE_FILE as NETWORKS_FILE
from mlsp.evaluation.benchmark_results import (
    CROSS_FILE,
    DISTORTIONS_FILE,
    PLACES_FILE,
    PREDICTIONS_FILE,
    SUMMARY_FILE,
)
from mtl.runtime.files import InputError
from mtl.runtime.tables.csv_tables import read_table

NETWORK_COLUMNS = {
    "parameters": ("parameters (millions)", 1),
    "srocc": ("SROCC", 3),
    "plcc": ("PLCC", 3),
    "rmse": ("RMSE", 3),
    "mae": ("MAE", 3),
    "epoch_seconds": ("s per epoch", 1),
    "training_seconds": ("s of training", 0),
    "prediction_ms": ("ms per picture", 1),
}
"""Columns of a comparison of networks that are shown, with their titles and digits."""

Place = tuple[str, str]
"""Database and protocol."""
Row = Mapping[str, str]


@dataclass(frozen=True)
class Tables:
    """The tables of a folder of `deepfl benchmark`."""

    folder: Path
    summary: Sequence[Row]
    distortions: Sequence[Row]
    cross: Sequence[Row]
    predictions: Sequence[Row]
    networks: Sequence[Row]
    """Of a comparison of networks; empty for another benchmark."""
    roots: Mapping[str, Path]
    """The folder of each database's pictures when the benchmark ran."""

    @property
    def places(self) -> list[Place]:
        """Databases and protocols, in the order of the summary."""
        return list(dict.fromkeys((row["database"], row["protocol"]) for row in self.summary))


def read_benchmark(folder: Path) -> Tables:
    """Read the tables of a benchmark; those without rows were not written.

    Raises:
        InputError: the folder is not of a benchmark, or a table is damaged.
    """
    if not (folder / SUMMARY_FILE).is_file():
        raise InputError(
            f"{folder}: is not a benchmark ({SUMMARY_FILE} is missing); give a folder that"
            " `deepfl benchmark` wrote"
        )
    place = ("database", "protocol", "method")

    def rows(name: str, *needed: str, numbers: Sequence[str] = ()) -> list[dict[str, str]]:
        path = folder / name
        found = read_table(path, (*place, *needed, *numbers)) if path.is_file() else []
        for row in found:
            for column in row:
                if column in numbers or _is_measured(str(column)):
                    _checked(path, column, row[column], column in numbers)
        return found

    path = folder / NETWORKS_FILE
    networks = read_table(path, ("title", "init", *NETWORK_COLUMNS)) if path.is_file() else []
    for row in networks:
        for column in NETWORK_COLUMNS:
            _checked(path, column, row[column], needed=False)
    return Tables(
        folder,
        rows(SUMMARY_FILE, "srocc_median", numbers=("repetitions",)),
        rows(DISTORTIONS_FILE, "distortion", "srocc_median"),
        rows(CROSS_FILE, "tested_on", "srocc_median", numbers=("pictures",)),
        rows(PREDICTIONS_FILE, "image", numbers=("score", "predicted")),
        networks,
        _roots(folder / PLACES_FILE),
    )


def _is_measured(column: str) -> bool:
    return column.startswith("gap_") or column.endswith(("_median", "_q1", "_q3"))


def _checked(path: Path, column: str, value: str | None, needed: bool) -> None:
    try:
        if (value or needed) and not isfinite(float(value or "")):
            raise ValueError("it is not finite")
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{path}: {column} {value!r} is not a number; run `deepfl benchmark` again"
        ) from error


def _roots(path: Path) -> dict[str, Path]:
    if not path.is_file():
        return {}
    try:
        return {str(name): Path(root) for name, root in json.loads(path.read_text()).items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: is damaged ({error}); delete it") from error


def trained_rows(benchmark: Tables, place: Place) -> list[Row]:
    """Return the methods that predict scores on the raters' scale; metrics have their own."""
    return [
        row
        for row in of_place(benchmark.summary, place)
        if row["srocc_median"] and row.get("rmse_median")
    ]


def is_own(row: Row) -> bool:
    """Tell whether a method regresses on a network's features, and not on a baseline's."""
    return row["method"].rpartition(" ")[0] not in BASELINES


def best_row(benchmark: Tables, place: Place, *, own: bool = False) -> Row | None:
    """Return the trained method with the highest median SROCC; None if no method was trained.

    Args:
        benchmark: the tables.
        place: database and protocol.
        own: choose among the methods on networks' features, if there are any.
    """
    rows = trained_rows(benchmark, place)
    if own:
        rows = [row for row in rows if is_own(row)] or rows
    return max(rows, key=lambda row: float(row["srocc_median"]), default=None)


def of_place(rows: Sequence[Row], place: Place) -> list[Row]:
    """Return the rows of a database and protocol."""
    return [row for row in rows if (row["database"], row["protocol"]) == place]
