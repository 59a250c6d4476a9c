"""The section on a data set: what it holds, how it looks, how its scores are distributed."""

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
from mlsp.report.held import Held
from mlsp.report.web_page import Block, Missing, Number, Picture, Section, Table, beside
from mtl.kadis.generate import EQUALIZATION
from mtl.kadis.records import DataSet
from mtl.published.export import photographs_folder, pristine_again
from mtl.runtime.files import InputError

SHEET, HISTOGRAMS = "distortions.png", "histograms.png"

TRIED = 20  # photographs, until one can still be read
LISTED = 200  # photographs left out that are named


@dataclass(frozen=True)
class DataSummary:
    """The size of a data set, and its splits."""

    template: ClassVar[str] = "report/templates/data.html.jinja"

    held: Held
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
    """Whether the photograph's crop is the one that the data set stores."""
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
    out: Path, held: Held, photos: Path | None = None, shown: str | None = None
) -> Section:
    """Draw the data set's pictures and return the section that describes it.

    Args:
        out: the report's folder.
        held: the data set.
        photos: folder of its photographs, where they are not where they were.
        shown: the photograph on the contact sheet; the first that can be read if not given.

    Raises:
        InputError: there is no folder `photos`.
    """
    splits = [
        (name, held.photographs(name), int(np.count_nonzero(held.in_split(name))))
        for name in dict.fromkeys(held.splits)
    ]
    rejected = [(each["file"], each["reason"]) for each in held.rejected[:LISTED]]
    sheet_block = _contact_sheet(out / SHEET, held, photos, shown)
    scores_block = _scores(out / HISTOGRAMS, held)
    rejected_block = Rejected(rejected, len(held.rejected))
    return Section(
        "data",
        "The data set",
        [DataSummary(held, splits)],
        [
            Section("sheet", "How it looks", [sheet_block]),
            Section("counts", "Images per type and level", [_counts(held)]),
            Section("scores", "Scores before and after equalisation", [scores_block]),
            Section("rejected", "Photographs left out", [rejected_block]),
        ],
    )


def _contact_sheet(path: Path, held: Held, photos: Path | None, shown: str | None) -> ContactSheet:
    """Draw all types on one photograph, or else what the data set stores."""
    folder = photographs_folder(held.folder, photos)
    found = None if folder is None else _photograph(folder, held, shown)
    name, is_stored = None, False
    if found is not None:
        name, photo = found
        contact_sheet(path, photo)
    elif held.plan["store"] == "recipe":
        name, is_stored = held.references[0], True
        contact_sheet(path, DataSet(held.folder).pristine(held.splits[0], held.places[0]))
    else:
        sheet(path, _stored_rows(held), tuple(held.plan["size"]))
    return ContactSheet(beside(path, "Contact sheet: distortion types by level"), name, is_stored)


def _photograph(
    folder: Path, held: Held, shown: str | None
) -> tuple[str, UInt8[np.ndarray, "h w 3"]] | None:
    """Return a photograph's name and pristine crop; None where none of the first can be read."""
    names = [shown] if shown else list(dict.fromkeys(held.references))[:TRIED]
    for name in names:
        try:
            return name, pristine_again(folder, held.plan, name)
        except InputError:
            continue  # the next one will do
    return None


def _stored_rows(held: Held) -> dict[str, Iterator[UInt8[np.ndarray, "h w 3"]]]:
    """Return stored images by level, for each type those of the first photograph that has it."""
    stored = DataSet(held.folder)

    def images(rows: Sequence[int]) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
        for row in rows:
            yield stored.image(held.splits[row], held.places[row]).image

    found = {}
    for distortion in sorted(set(held.distortions.tolist())):
        of_type = np.flatnonzero(held.distortions == distortion)
        first = held.references[int(of_type[0])]
        rows = [row for row in of_type.tolist() if held.references[row] == first]
        found[type_title(distortion)] = images(sorted(rows, key=held.levels.__getitem__))
    return found


def _counts(held: Held) -> Table:
    """Count the images of each type and level."""
    levels = held.plan["levels"]
    counts = {
        distortion: [
            int(np.count_nonzero((held.distortions == distortion) & (held.levels == level)))
            for level in levels
        ]
        for distortion in held.plan["types"]
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


def _scores(path: Path, held: Held) -> Block:
    """Draw the histograms of the training split's scores, and list their quartiles."""
    fitted = held.folder / EQUALIZATION
    try:
        equalization = HistogramEqualization.from_json(fitted.read_text())
    except (OSError, ValueError) as error:
        return Missing(f"{fitted} is missing or damaged ({error}); generate the data set again.")
    training = held.in_split("train")
    raw = {metric: scores[training] for metric, scores in held.scores.items()}
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
