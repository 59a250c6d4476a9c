"""The report's part on benchmarks: their tables, scatter plots, and the worst predictions."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from mlsp.evaluation import figures
from mlsp.evaluation.benchmark_results import (
    CROSS_FILE,
    DISTORTIONS_FILE,
    PLACES_FILE,
    PREDICTIONS_FILE,
    REPETITIONS_FILE,
    SUMMARY_FILE,
)
from mlsp.report.report_data import beside
from mlsp.report.report_tables import Place, Row, Tables, best_row, is_own, of_place
from mlsp.report.web_page import (
    Markup,
    Number,
    Section,
    element,
    figure,
    joined,
    missing,
    paragraph,
    table,
)
from mtl.evaluation.correlation import srocc
from mtl.runtime.files import InputError, write_atomically
from mtl.runtime.pictures import encode_png, read_picture

TABLES = (SUMMARY_FILE, REPETITIONS_FILE, DISTORTIONS_FILE, CROSS_FILE, PREDICTIONS_FILE)
CROSS_PICTURE = "cross.png"

WORST = 12  # predictions shown of each database
THUMBNAIL = 256  # pixels of the longer side

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


def benchmark_section(
    out: Path,
    benchmark: Tables,
    number: int,
    *,
    ratings: Sequence[Path] = (),
    worst: int | str = WORST,
) -> Section:
    """Draw a benchmark's pictures, copy its tables, and write them down.

    Args:
        out: the report's folder.
        benchmark: what was read.
        number: of the benchmark in the report, from 1; part of its files' names.
        ratings: folders to look for the pictures in, before those the benchmark names.
        worst: how many of the worst predictions to show of each database, or why none are shown.
    """
    name = f"benchmark-{number}"
    copies = [
        element("a", file, href=f"{name}-{file}")
        for file in TABLES
        if (benchmark.folder / file).is_file()
    ]
    for file in TABLES:
        if (benchmark.folder / file).is_file():
            shutil.copyfile(benchmark.folder / file, out / f"{name}-{file}")
    links = joined(*(joined(", " if k else "", link) for k, link in enumerate(copies)))
    return Section(
        name,
        f"Benchmark: {benchmark.folder.name or benchmark.folder}",
        [
            paragraph(
                "Each method is trained and tested on the same splits; no reference picture is in"
                " two parts of a split. Medians over the splits, quartiles in brackets. The tables"
                " as files: ",
                links,
                ".",
            ),
            _summary(benchmark),
        ],
        [
            Section(
                f"{name}-scatter",
                "Predicted against true scores",
                _scatter(out, benchmark, number),
            ),
            Section(f"{name}-types", "SROCC by distortion type", _types(benchmark)),
            Section(f"{name}-cross", "Across databases", _cross(out, benchmark, number)),
            Section(
                f"{name}-worst",
                "Worst errors",
                [missing(worst)]
                if isinstance(worst, str)
                else _worst(out, benchmark, number, ratings, worst),
            ),
        ],
    )  # fmt: skip


def _value(row: Row, column: str) -> Number:
    return Number(float(row[column]) if row.get(column) else None)


def _measure(row: Row, measure: str) -> Number:
    """Median and quartiles; errors on the raters' scale with as many digits as correlations."""
    values = [row.get(f"{measure}_{which}") for which in ("median", "q1", "q3")]
    if not all(values):
        return _value(row, f"{measure}_median")
    median, low, high = (float(value or 0) for value in values)
    return Number(median, quartiles=(low, high))


def _measures(rows: Sequence[Row]) -> list[str]:
    """Names of the measures of a table, those without any value left out."""
    ending = "_median"
    return [
        column.removesuffix(ending)
        for column in rows[0]
        if column.endswith(ending) and any(row[column] for row in rows)
    ]


def _summary(benchmark: Tables) -> Markup:
    rows = benchmark.summary
    measures = _measures(rows)
    gaps = [name for name in rows[0] if name.startswith("gap_")]
    # What all rows share is said once, which leaves room for the measures.
    alone = len(benchmark.places) == 1
    names = ["method"] if alone else ["database", "protocol", "method"]
    which = f"{benchmark.places[0][0]}, {benchmark.places[0][1]} split. " if alone else ""
    return table(
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
        caption=f"{which}SROCC, PLCC, KROCC: 1 is best. RMSE, MAE: on the scale of the ratings."
        f"{_left_out(rows)}",
    )


def _left_out(rows: Sequence[Row]) -> str:
    """Say how many splits are in no median; tables of older versions do not count them."""
    number = sum(int(row.get("without_correlation") or 0) for row in rows)
    if not number:
        return ""
    return f" {number} splits without a correlation (constant predictions or scores) are left out."


def _arrays(rows: Sequence[Row]) -> tuple[np.ndarray, np.ndarray]:
    """True and predicted scores."""
    return (
        np.array([float(row["score"]) for row in rows]),
        np.array([float(row["predicted"]) for row in rows]),
    )


def _picture(kind: str, benchmark: int, k: int = 1) -> str:
    """A picture file's name: the first of its kind has no numbers."""
    return f"{kind}.png" if (benchmark, k) == (1, 1) else f"{kind}-{benchmark}-{k}.png"


def _scatter(out: Path, benchmark: Tables, number: int) -> list[Markup]:
    if not benchmark.predictions:
        return [_not_there(benchmark, PREDICTIONS_FILE)]
    found = []
    for k, place in enumerate(benchmark.places, start=1):
        rows = of_place(benchmark.predictions, place)
        panels = {}
        for method in dict.fromkeys(row["method"] for row in rows):
            true, predicted = _arrays([row for row in rows if row["method"] == method])
            title = f"{method}\nmedian split, SROCC {srocc(predicted, true):.3f}"
            panels[title.replace("$", r"\$")] = (true, predicted)
        if not panels:
            continue
        database, protocol = place
        path = out / _picture("scatter", number, k)
        figures.scatter(path, panels, f"{database}: score".replace("$", r"\$"))
        found.append(
            figure(
                beside(path, f"Scatter plots: {database}, {protocol}"),
                f"{database}, {protocol}: pictures of the test part of each method's median split,"
                " with the logistic that is fitted before the linear correlation.",
            )
        )
    return found


def _types(benchmark: Tables) -> list[Markup]:
    if not benchmark.distortions:
        return [
            missing(
                f"{DISTORTIONS_FILE} is not there: the ratings name no distortion types. A column"
                " distortion in the table of ratings, and ",
                element("code", "deepfl benchmark"),
                " again, make it.",
            )
        ]
    found = []
    for place in benchmark.places:
        rows = of_place(benchmark.distortions, place)
        if not rows:
            continue
        methods = list(dict.fromkeys(row["method"] for row in rows))
        cells = {(row["distortion"], row["method"]): _measure(row, "srocc") for row in rows}
        kinds = dict.fromkeys(row["distortion"] for row in rows)
        found.append(
            table(
                ["distortion", *methods],
                [
                    (kind, *(cells.get((kind, method), Number(None)) for method in methods))
                    for kind in kinds
                ],
                caption=f"{', '.join(place)}: SROCC within each type.",
            )
        )
    return found


def _cross(out: Path, benchmark: Tables, number: int) -> list[Markup]:
    if not benchmark.cross:
        return [
            missing(
                f"{CROSS_FILE} is not there: one database was benchmarked. ",
                element("code", "deepfl benchmark FIRST SECOND --model RUN --out OUT"),
                " tests what was trained on each on all of the others.",
            )
        ]
    measures = _measures(benchmark.cross)
    rows = [
        (
            *(row[name] for name in ("database", "tested_on", "protocol", "method")),
            int(float(row["pictures"])),
            *(_measure(row, measure) for measure in measures),
        )
        for row in benchmark.cross
    ]
    titles = (TITLES.get(name, name) for name in measures)
    found = [table(["trained on", "tested on", "protocol", "method", "pictures", *titles], rows)]
    if not (benchmark.folder / CROSS_PICTURE).is_file():
        return [_not_there(benchmark, CROSS_PICTURE), *found]
    path = out / _picture("cross", number)
    shutil.copyfile(benchmark.folder / CROSS_PICTURE, path)
    drawn = figure(
        beside(path, "Matrix of databases: trained on by tested on"),
        "SROCC by training database (rows) and test database (columns).",
    )
    return [drawn, *found]


def _not_there(benchmark: Tables, name: str) -> Markup:
    return missing(
        f"{benchmark.folder / name} is not there; ",
        element("code", f"deepfl benchmark ... --out {benchmark.folder}"),
        " writes it.",
    )


def _worst(
    out: Path, benchmark: Tables, number: int, ratings: Sequence[Path], worst: int
) -> list[Markup]:
    """The worst test predictions on each database, by its first protocol, of the best method.

    Of the methods on networks' features, where there are any: they are what the report is of.
    """
    if not worst:
        return [missing("Left out; ", element("code", f"--worst {WORST}"), " shows them.")]
    if not benchmark.predictions:
        return [_not_there(benchmark, PREDICTIONS_FILE)]
    first: dict[str, Place] = {}
    for place in benchmark.places:
        first.setdefault(place[0], place)
    found: list[Markup] = []
    for of, (database, place) in enumerate(first.items(), start=1):
        best = best_row(benchmark, place, own=True)
        if best is None:
            found.append(
                missing(f"{database}: no method predicts scores on the scale of the ratings.")
            )
            continue
        rows = [r for r in of_place(benchmark.predictions, place) if r["method"] == best["method"]]
        if not rows:
            found.append(_not_there(benchmark, PREDICTIONS_FILE))
            continue
        rows = sorted(rows, key=lambda r: -abs(float(r["predicted"]) - float(r["score"])))[:worst]
        roots = [*ratings, *([benchmark.roots[database]] if database in benchmark.roots else [])]
        cards, seen = [], 0
        for k, row in enumerate(rows, start=1):
            path = out / f"worst-{number}-{of}-{k:02d}.png"
            shown, is_there = _thumbnail(path, row["image"], roots)
            seen += is_there
            cards.append(element("li", shown, _scores(row)))
        kind = "the regressor on networks' features" if is_own(best) else "the trained method"
        found.append(
            paragraph(
                f"{database}, {place[1]}: the {len(rows)} test pictures that ",
                element("b", best["method"]),
                f", {kind} with the highest SROCC, judged worst in its median split.",
            )
        )
        if not seen:
            where = ", ".join(map(str, roots)) or f"{PLACES_FILE} does not say where they are"
            found.append(
                missing(
                    f"The pictures were not found ({where}). ",
                    element("code", "deepfl report RUN --benchmark FOLDER --ratings FOLDER"),
                    " names the folder that holds them.",
                )
            )
        found.append(element("ol", *cards, class_="cards"))
    return found


def _scores(row: Row) -> Markup:
    true, predicted = float(row["score"]), float(row["predicted"])
    return element(
        "small",
        element("b", row["image"]),
        element("br"),
        f"true {true:.3f}, predicted {predicted:.3f}, error {predicted - true:+.3f}",
    )


def _thumbnail(path: Path, name: str, roots: Sequence[Path]) -> tuple[Markup, bool]:
    """A small copy of a picture in the report's folder, and whether the picture could be read."""
    file = next((root / name for root in roots if (root / name).is_file()), None)
    if file is None:
        return missing("picture not found"), False
    try:
        image = read_picture(file)
    except InputError as error:
        return missing(str(error)), False
    write_atomically(path, encode_png(small(image)))
    return figure(beside(path, name)), True


def small(image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "_ _ 3"]:
    """A picture scaled down by area interpolation so that its longer side is at most 256 pixels."""
    height, width = image.shape[:2]
    scale = THUMBNAIL / max(height, width)
    if scale >= 1:
        return image
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)
