"""Tables and pictures of benchmarks.

`mlsp.evaluation.benchmark_run` lists the files.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from mlsp.evaluation import figures
from mlsp.evaluation.benchmarking import Benchmark, Row
from mlsp.evaluation.imbalance import gap
from mtl.evaluation.splits import Split
from mtl.runtime.files import write_atomically
from mtl.runtime.tables.csv_tables import table_text

REPETITIONS_FILE, SUMMARY_FILE = "repetitions.csv", "summary.csv"
DISTORTIONS_FILE, CROSS_FILE = "distortions.csv", "cross.csv"
PREDICTIONS_FILE, PLACES_FILE = "predictions.csv", "benchmark.json"
CROSS_PICTURE = "cross.png"


@dataclass(frozen=True)
class Judged:
    """Hold a benchmark on one database by one protocol."""

    database: str
    protocol: str
    names: Sequence[str]
    """Of the pictures."""
    scores: Float[np.ndarray, " n"]
    result: Benchmark
    references: Sequence[str] = ()
    """Of the pictures, where the benchmark was made from a database."""
    splits: Sequence[Split] = ()
    """Likewise, by repetition."""
    root: Path | None = None
    """Folder that the names are relative to, where they are files."""


def write_results(out: Path, tested: Sequence[Judged]) -> None:
    """Write the tables of benchmarks, and where their pictures are, for `deepfl report`.

    A table without rows is not written, and one of an earlier run is removed.
    """
    tables: dict[str, list[Row]] = {
        REPETITIONS_FILE: [],
        DISTORTIONS_FILE: [],
        CROSS_FILE: [],
        PREDICTIONS_FILE: [],
    }
    for each in tested:
        place: Row = {"database": each.database, "protocol": each.protocol}
        tables[REPETITIONS_FILE] += [place | row for row in each.result.repetitions]
        tables[DISTORTIONS_FILE] += [place | row for row in each.result.distortions]
        tables[CROSS_FILE] += [place | row for row in each.result.cross]
        tables[PREDICTIONS_FILE] += [
            place
            | {
                "method": method,
                "image": each.names[i],
                "score": float(each.scores[i]),
                "predicted": float(p),
            }
            for method, (split, predicted) in each.result.median_tests.items()
            for i, p in zip(split.test, predicted, strict=True)
        ]
    for name, rows in tables.items():
        if rows:
            write_atomically(out / name, table_text(_aligned(rows)))
        else:
            (out / name).unlink(missing_ok=True)
    places = {t.database: str(t.root.resolve()) for t in tested if t.root is not None}
    write_atomically(out / PLACES_FILE, json.dumps(places, indent=1))
    write_atomically(out / SUMMARY_FILE, table_text(_aligned(summary(tested))))


def summary(tested: Sequence[Judged]) -> list[Row]:
    """Return a row per database, protocol and method; opposing ones have gaps of SROCC and PLCC."""
    rows: list[Row] = []
    balanced: dict[tuple[str, str], Row] = {}
    for each in sorted(tested, key=lambda t: t.protocol == "opposing"):
        for found in each.result.summary:
            row: Row = {"database": each.database, "protocol": each.protocol, **found}
            key = (each.database, str(found["method"]))
            if each.protocol == "opposing" and key in balanced:
                measures = ("srocc", "plcc")
                before, after = (
                    {m: float(r[f"{m}_median"]) for m in measures} for r in (balanced[key], row)
                )
                row |= {f"gap_{m}": value for m, value in gap(before, after).items()}
            balanced.setdefault(key, row)
            rows.append(row)
    return rows


def draw_scatter(out: Path, tested: Judged) -> None:
    """Draw the predictions of each method's median repetition against the scores."""
    median = {str(row["method"]): row["srocc_median"] for row in tested.result.summary}
    panels = {
        f"{method}\nmedian split, SROCC {median[method]:.3f}": (
            tested.scores[split.test],
            predicted,
        )
        for method, (split, predicted) in tested.result.median_tests.items()
    }
    name = f"scatter-{tested.database}-{tested.protocol}.png"
    figures.scatter(out / name, panels, f"{tested.database}: score")


def draw_cross(out: Path, tested: Sequence[Judged]) -> None:
    """Draw the cross-database matrix, where there are several databases."""
    databases = list(dict.fromkeys(each.database for each in tested))
    others = (str(row["tested_on"]) for each in tested for row in each.result.cross)
    databases = list(dict.fromkeys([*databases, *others]))  # one that failed is tested on alone
    matrices: dict[str, np.ndarray] = {}
    for each in tested:
        trained = databases.index(each.database)
        if each.protocol != tested[0].protocol:
            continue
        for row in each.result.cross:
            method = str(row["method"])
            matrix = matrices.setdefault(method, np.full([len(databases)] * 2, np.nan))
            matrix[trained, databases.index(str(row["tested_on"]))] = row["srocc_median"]
        for row in each.result.summary:
            if row["method"] in matrices:
                matrices[str(row["method"])][trained, trained] = row["srocc_median"]
    if matrices:
        figures.cross_matrices(out / CROSS_PICTURE, matrices, databases)
    else:
        (out / CROSS_PICTURE).unlink(missing_ok=True)


def _aligned(rows: Sequence[Row]) -> list[Row]:
    """Return the rows with the same columns, empty where there is no value or it is NaN."""
    columns = dict.fromkeys(name for row in rows for name in row)

    def shown(value: float | str | int) -> float | str | int:
        return "" if isinstance(value, float) and np.isnan(value) else value

    return [{name: shown(row.get(name, "")) for name in columns} for row in rows]
