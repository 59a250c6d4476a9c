"""The section on a benchmark: its tables, scatter plots, and the worst predictions."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from mlsp.comparisons.networks_table import FIGURE_FILE as NETWORKS_PICTURE
from mlsp.comparisons.networks_table import TABLE_FILE as NETWORKS_FILE
from mlsp.evaluation import figures
from mlsp.evaluation.benchmark_results import (
    CROSS_FILE,
    DISTORTIONS_FILE,
    PREDICTIONS_FILE,
    REPETITIONS_FILE,
    SUMMARY_FILE,
)
from mlsp.report.benchmark_tables import NETWORK_COLUMNS, Row, Tables, of_place
from mlsp.report.web_page import Block, Figure, Missing, Number, Section, Table, beside
from mlsp.report.worst_predictions import WORST, not_there, worst_predictions
from mtl.evaluation.correlation import srocc

TABLES = (
    *(SUMMARY_FILE, REPETITIONS_FILE, DISTORTIONS_FILE, CROSS_FILE, PREDICTIONS_FILE),
    NETWORKS_FILE,
)
CROSS_PICTURE = "cross.png"

TITLES = {
    "srocc": "SROCC",
    "plcc": "PLCC",
    "plcc_logistic": "PLCC after logistic",
    "krocc": "KROCC",
    "rmse": "RMSE",
    "mae": "MAE",
    "within_1_sigma": "within 1σ",
    "within_2_sigma": "within 2σ",
    "within_3_sigma": "within 3σ",
    "gap_srocc": "gap of SROCC",
    "gap_plcc": "gap of PLCC",
}


@dataclass(frozen=True)
class Benchmark:
    """Links to a benchmark's tables, which are files beside the page."""

    template: ClassVar[str] = "report/templates/benchmark.html.jinja"

    files: Sequence[tuple[str, str]]
    """Name in the benchmark's folder, name in the report's."""


def benchmark_section(
    out: Path,
    benchmark: Tables,
    number: int,
    *,
    ratings: Sequence[Path] = (),
    worst: int | str = WORST,
) -> Section:
    """Draw a benchmark's pictures, copy its tables, and return the section that shows them.

    Args:
        out: the report's folder.
        benchmark: its tables.
        number: of the benchmark in the report, from 1; part of its files' names.
        ratings: folders to look for the pictures in, before those the benchmark names.
        worst: how many of the worst predictions to show of each database, or why none are shown.
    """
    name = f"benchmark-{number}"
    there = [file for file in TABLES if (benchmark.folder / file).is_file()]
    files = [(file, f"{name}-{file}") for file in there]
    for file, copy in files:
        shutil.copyfile(benchmark.folder / file, out / copy)
    if isinstance(worst, str):
        errors: list[Block] = [Missing(worst)]
    else:
        errors = worst_predictions(out, benchmark, number, ratings, worst)
    parts = {
        "networks": ("The networks", _networks(out, benchmark, number)),
        "scatter": ("Predicted against true scores", _scatter(out, benchmark, number)),
        "types": ("SROCC by distortion type", _types(benchmark)),
        "cross": ("Across databases", _cross(out, benchmark, number)),
        "worst": ("Worst errors", errors),
    }
    return Section(
        name,
        f"Benchmark: {benchmark.folder.name or benchmark.folder}",
        [Benchmark(files), _summary(benchmark)],
        [Section(f"{name}-{part}", title, body) for part, (title, body) in parts.items() if body],
    )


def _value(row: Row, column: str) -> Number:
    return Number(float(row[column]) if row.get(column) else None)


def _measure(row: Row, measure: str) -> Number:
    """Return median and quartiles, errors on the raters' scale with the digits of correlations."""
    values = [row.get(f"{measure}_{which}") for which in ("median", "q1", "q3")]
    if not all(values):
        return _value(row, f"{measure}_median")
    median, low, high = (float(value or 0) for value in values)
    return Number(median, quartiles=(low, high))


def _measures(rows: Sequence[Row]) -> list[str]:
    """Return the names of a table's measures, those without any value left out."""
    ending = "_median"
    return [
        column.removesuffix(ending)
        for column in rows[0]
        if column.endswith(ending) and any(row[column] for row in rows)
    ]


def _summary(benchmark: Tables) -> Table:
    rows = benchmark.summary
    measures = _measures(rows)
    gaps = [name for name in rows[0] if name.startswith("gap_")]
    # A database and protocol that all rows share are named once, which leaves room for measures.
    alone = len(benchmark.places) == 1
    names = ["method"] if alone else ["database", "protocol", "method"]
    which = f"{benchmark.places[0][0]}, {benchmark.places[0][1]} split. " if alone else ""
    return Table(
        [*names, "splits", *(TITLES.get(name, name) for name in [*measures, *gaps])],
        [
            (
                *(row[name] for name in names),
                int(float(row["repetitions"])),
                *(_measure(row, name) for name in measures),
                *(_value(row, name) for name in gaps),
            )
            for row in rows
        ],
        f"{which}SROCC, PLCC, KROCC: 1 is best. RMSE, MAE: on the scale of the ratings."
        f"{_left_out(rows)}",
    )


def _networks(out: Path, benchmark: Tables, number: int) -> list[Block]:
    """Return table and figure of a comparison of networks; nothing for another benchmark."""
    if not benchmark.networks:
        return []
    table = Table(
        ["network", "starts from", *(title for title, _ in NETWORK_COLUMNS.values())],
        [
            (
                row["title"],
                row["init"],
                *(
                    Number(float(row[name]) if row[name] else None, digits)
                    for name, (_, digits) in NETWORK_COLUMNS.items()
                ),
            )
            for row in benchmark.networks
        ],
        "Medians over the splits. Seconds are those of the training steps; a prediction is of one"
        " picture at the size of training.",
    )
    drawn = benchmark.folder / NETWORKS_PICTURE
    if not drawn.is_file():
        return [not_there(benchmark, NETWORKS_PICTURE), table]
    path = out / _picture("networks", number)
    shutil.copyfile(drawn, path)
    return [Figure(beside(path, "SROCC of the networks against their size and time")), table]


def _left_out(rows: Sequence[Row]) -> str:
    """Say how many splits are in no median; tables of older versions do not count them."""
    number = sum(int(row.get("without_correlation") or 0) for row in rows)
    if not number:
        return ""
    return f" {number} splits without a correlation (constant predictions or scores) are left out."


def _picture(kind: str, benchmark: int, k: int = 1) -> str:
    """Return a picture file's name: the first of its kind has no numbers."""
    return f"{kind}.png" if (benchmark, k) == (1, 1) else f"{kind}-{benchmark}-{k}.png"


def _scatter(out: Path, benchmark: Tables, number: int) -> list[Block]:
    """Draw predicted against true scores, one picture for each database and protocol."""
    if not benchmark.predictions:
        return [not_there(benchmark, PREDICTIONS_FILE)]
    found: list[Block] = []
    for k, place in enumerate(benchmark.places, start=1):
        rows = of_place(benchmark.predictions, place)
        panels = {}
        for method in dict.fromkeys(row["method"] for row in rows):
            of_method = [row for row in rows if row["method"] == method]
            true = np.array([float(row["score"]) for row in of_method])
            predicted = np.array([float(row["predicted"]) for row in of_method])
            title = f"{method}\nmedian split, SROCC {srocc(predicted, true):.3f}"
            panels[title.replace("$", r"\$")] = (true, predicted)
        if not panels:
            continue
        database, protocol = place
        path = out / _picture("scatter", number, k)
        figures.scatter(path, panels, f"{database}: score".replace("$", r"\$"))
        found.append(
            Figure(
                beside(path, f"Scatter plots: {database}, {protocol}"),
                f"{database}, {protocol}: pictures of the test part of each method's median split,"
                " with the logistic that is fitted before the linear correlation.",
            )
        )
    return found


def _types(benchmark: Tables) -> list[Block]:
    """Return a table for each database and protocol: distortion types by methods."""
    if not benchmark.distortions:
        return [
            Missing(
                f"{DISTORTIONS_FILE} is not there: the ratings name no distortion types. A column"
                " distortion in the table of ratings, and",
                "deepfl benchmark",
                "again, make it.",
            )
        ]
    found: list[Block] = []
    for place in benchmark.places:
        rows = of_place(benchmark.distortions, place)
        if not rows:
            continue
        methods = list(dict.fromkeys(row["method"] for row in rows))
        cells = {(row["distortion"], row["method"]): _measure(row, "srocc") for row in rows}
        kinds = dict.fromkeys(row["distortion"] for row in rows)
        found.append(
            Table(
                ["distortion", *methods],
                [
                    (kind, *(cells.get((kind, method), Number(None)) for method in methods))
                    for kind in kinds
                ],
                f"{', '.join(place)}: SROCC within each type.",
            )
        )
    return found


def _cross(out: Path, benchmark: Tables, number: int) -> list[Block]:
    """Copy the matrix of databases, and return it with its table."""
    if not benchmark.cross:
        return [
            Missing(
                f"{CROSS_FILE} is not there: one database was benchmarked.",
                "deepfl benchmark FIRST SECOND --model RUN --out OUT",
                "tests what was trained on each on all of the others.",
            )
        ]
    names = {"database": "trained on", "tested_on": "tested on"}
    names |= {"protocol": "protocol", "method": "method"}
    measures = _measures(benchmark.cross)
    table = Table(
        [*names.values(), "pictures", *(TITLES.get(name, name) for name in measures)],
        [
            (
                *(row[name] for name in names),
                int(float(row["pictures"])),
                *(_measure(row, measure) for measure in measures),
            )
            for row in benchmark.cross
        ],
    )
    drawn = benchmark.folder / CROSS_PICTURE
    if not drawn.is_file():
        return [not_there(benchmark, CROSS_PICTURE), table]
    path = out / _picture("cross", number)
    shutil.copyfile(drawn, path)
    picture = beside(path, "Matrix of databases: trained on by tested on")
    return [
        Figure(picture, "SROCC by training database (rows) and test database (columns)."),
        table,
    ]
