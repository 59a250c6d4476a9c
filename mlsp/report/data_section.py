"""The section on a data set: its size, its pictures, the distribution of its scores."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import UInt8

from distortions import DISTORTIONS
from fr_metrics import METRICS, HistogramEqualization
from mlsp.figures.sheets import contact_sheet, sheet, type_title
from mlsp.report import figures
from mlsp.report.data_summary import DataSummary
from mlsp.report.web_page import Block, Missing, Number, Picture, Section, Table, beside
from mtl.kadis import EQUALIZATION
from mtl.kadis.photographs import photographs_folder, pristine_again
from mtl.kadis.records import DataSet
from mtl.runtime.files import InputError

SHEET, HISTOGRAMS = "distortions.png", "histograms.png"

TRIED = 20  # photographs, until one can still be read
LISTED = 200  # photographs left out that are named


@dataclass(frozen=True)
class DataFacts:
    """The size of a data set, and its splits."""

    template: ClassVar[str] = "report/templates/data.html.jinja"

    data: DataSummary
    splits: Sequence[tuple[str, int, int]]
    """Name, photographs, images."""


@dataclass(frozen=True)
class ContactSheet:
    """Pictures of distortion types by level."""

    template: ClassVar[str] = "report/templates/sheet.html.jinja"

    picture: Picture
    photograph: str | None
    """On which all types are shown; None where images of the data set are shown instead."""
    is_stored: bool
    """True if the crop shown is the one that the data set stores."""
    types: int = len(DISTORTIONS)


@dataclass(frozen=True)
class Scores:
    """The distribution of each metric's scores."""

    template: ClassVar[str] = "report/templates/scores.html.jinja"

    histograms: Picture
    rows: Sequence[tuple[str, str, Number, Number, Number, Number, Number]]
    """Metric, which scores are better, lowest, three quartiles, highest."""


@dataclass(frozen=True)
class Rejected:
    """Photographs that could not be used."""

    template: ClassVar[str] = "report/templates/rejected.html.jinja"

    rows: Sequence[tuple[str, str]]
    """File and reason of the first of them."""
    total: int


def data_section(
    out: Path, data: DataSummary, photos: Path | None = None, shown: str | None = None
) -> Section:
    """Draw the data set's pictures and return the section that describes it.

    Args:
        out: the report's folder.
        data: the data set.
        photos: folder of its photographs, where they are not where they were.
        shown: the photograph on the contact sheet; the first that can be read if not given.

    Raises:
        InputError: there is no folder `photos`.
    """
    splits = [
        (name, data.photographs(name), int(np.count_nonzero(data.in_split(name))))
        for name in dict.fromkeys(data.splits)
    ]
    rejected = [(each["file"], each["reason"]) for each in data.rejected[:LISTED]]
    looks = _contact_sheet(out / SHEET, data, photos, shown)
    scores = _scores(out / HISTOGRAMS, data)
    left_out = Rejected(rejected, len(data.rejected))
    return Section(
        "data",
        "The data set",
        [DataFacts(data, splits)],
        [
            Section("sheet", "How it looks", [looks]),
            Section("counts", "Images per type and level", [_counts(data)]),
            Section("scores", "Scores before and after equalisation", [scores]),
            Section("rejected", "Photographs left out", [left_out]),
        ],
    )


def _contact_sheet(
    path: Path, data: DataSummary, photos: Path | None, shown: str | None
) -> ContactSheet:
    """Draw all types on one photograph; if none can be read, draw images of the data set."""
    folder = photographs_folder(data.folder, photos)
    found = None if folder is None else _photograph(folder, data, shown)
    name, is_stored = None, False
    if found is not None:
        name, photo = found
        contact_sheet(path, photo)
    elif data.plan["store"] == "recipe":
        name, is_stored = data.references[0], True
        contact_sheet(path, DataSet(data.folder).pristine(data.splits[0], data.places[0]))
    else:
        sheet(path, _stored_rows(data), tuple(data.plan["size"]))
    return ContactSheet(beside(path, "Contact sheet: distortion types by level"), name, is_stored)


def _photograph(
    folder: Path, data: DataSummary, shown: str | None
) -> tuple[str, UInt8[np.ndarray, "h w 3"]] | None:
    """Return a photograph's name and pristine crop; None where none of the first can be read."""
    names = [shown] if shown else list(dict.fromkeys(data.references))[:TRIED]
    for name in names:
        try:
            return name, pristine_again(folder, data.plan, name)
        except InputError:
            continue  # the next one will do
    return None


def _stored_rows(data: DataSummary) -> dict[str, Iterator[UInt8[np.ndarray, "h w 3"]]]:
    """Return stored images by level, for each type those of the first photograph that has it."""
    stored = DataSet(data.folder)

    def images(rows: Sequence[int]) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
        for row in rows:
            yield stored.image(data.splits[row], data.places[row]).image

    found = {}
    for distortion in sorted(set(data.distortions.tolist())):
        of_type = np.flatnonzero(data.distortions == distortion)
        first = data.references[int(of_type[0])]
        rows = [row for row in of_type.tolist() if data.references[row] == first]
        found[type_title(distortion)] = images(sorted(rows, key=data.levels.__getitem__))
    return found


def _counts(data: DataSummary) -> Table:
    """Count the images of each type and level."""
    levels = data.plan["levels"]
    counts = {
        distortion: [
            int(np.count_nonzero((data.distortions == distortion) & (data.levels == level)))
            for level in levels
        ]
        for distortion in data.plan["types"]
    }
    most = max(1, *(max(row) for row in counts.values()))
    return Table(
        ["type", *(f"level {level}" for level in levels), "all"],
        [
            (
                type_title(distortion),
                *(Number(count, digits=0, share=count / most) for count in row),
                sum(row),
            )
            for distortion, row in counts.items()
        ],
        caption="Both splits together; the stronger the colour, the more.",
    )


def _scores(path: Path, data: DataSummary) -> Block:
    """Draw the histograms of the training split's scores, and list their quartiles."""
    fitted = data.folder / EQUALIZATION
    try:
        equalization = HistogramEqualization.from_json(fitted.read_text())
    except (OSError, ValueError) as error:
        return Missing(f"{fitted} is missing or damaged ({error}); generate the data set again.")
    training = data.in_split("train")
    raw = {metric: scores[training] for metric, scores in data.scores.items()}
    figures.score_histograms(path, raw, equalization.transform(raw))
    rows = [
        (
            METRICS[metric].title,
            "higher" if METRICS[metric].higher_is_better else "lower",
            *map(Number, np.quantile(scores, (0, 0.25, 0.5, 0.75, 1)).tolist()),
        )
        for metric, scores in raw.items()
    ]
    return Scores(beside(path, "Histograms of the scores before and after equalisation"), rows)
