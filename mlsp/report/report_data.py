"""The report's part on a data set: what it holds, how it looks, how its scores are distributed."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from distortions import DISTORTIONS
from fr_metrics import METRICS, HistogramEqualization
from mlsp.features.data_sets import shard_stats
from mlsp.figures.sheets import contact_sheet, sheet, type_title
from mlsp.report import figures
from mlsp.report.web_page import (
    Markup,
    Number,
    Picture,
    Section,
    element,
    figure,
    joined,
    missing,
    paragraph,
    table,
)
from mtl.kadis.generate import EQUALIZATION
from mtl.kadis.plan import read_manifest
from mtl.kadis.records import DataSet
from mtl.published.export import photographs_folder, pristine_again
from mtl.runtime.files import InputError
from mtl.runtime.pictures import picture_size
from mtl.runtime.progress import progress_bar

SHEET, HISTOGRAMS = "distortions.png", "histograms.png"

TRIED = 20  # photographs, until one can still be read
LISTED = 200  # photographs left out that are named


@dataclass(frozen=True)
class Held:
    """What a data set holds, as its manifest and its stats say; every array is one per image."""

    folder: Path
    plan: Mapping[str, Any]
    rejected: Sequence[Mapping[str, str]]
    splits: Sequence[str]
    places: Sequence[int]
    """Numbers within the split."""
    references: Sequence[str]
    distortions: np.ndarray
    levels: np.ndarray
    scores: Mapping[str, np.ndarray]
    """Raw, by metric."""

    @property
    def images(self) -> int:
        """How many distorted images there are."""
        return len(self.references)

    def in_split(self, split: str) -> np.ndarray:
        """Which images are of a split."""
        return np.array([each == split for each in self.splits])

    def photographs(self, split: str | None = None) -> int:
        """How many photographs the images, of one split or all, were made of."""
        pairs = zip(self.references, self.splits, strict=True)
        return len({reference for reference, each in pairs if split in (None, each)})


def read_held(folder: Path, *, progress: bool = False) -> Held:
    """Read a data set's manifest and stats, no pixels.

    Raises:
        InputError: the folder is not a finished data set, or is damaged.
    """
    manifest = read_manifest(folder)
    plan = manifest["plan"]
    splits: list[str] = []
    places: list[int] = []
    described: list[tuple[str, int, int, tuple[float, ...]]] = []
    counts: Counter[str] = Counter()
    with progress_bar(len(plan["shards"]), "read scores", "shard", show=progress) as bar:
        for shard, stats in shard_stats(folder, plan):
            for record in stats["records"]:
                scores = tuple(record["scores"][metric] for metric in plan["metrics"])
                described.append(
                    (record["reference"], record["distortion"], record["level"], scores)
                )
                splits.append(shard.split)
                places.append(counts[shard.split])
                counts[shard.split] += 1
            bar.update()
    columns = np.array([scores for *_, scores in described], np.float64)
    return Held(
        folder,
        plan,
        manifest["rejected"],
        splits,
        places,
        [reference for reference, *_ in described],
        np.array([distortion for _, distortion, *_ in described]),
        np.array([level for _, _, level, _ in described]),
        {metric: columns[:, k] for k, metric in enumerate(plan["metrics"])},
    )


def data_section(
    out: Path, held: Held, photos: Path | None = None, shown: str | None = None
) -> Section:
    """Draw the data set's pictures and describe it.

    Args:
        out: the report's folder.
        held: the data set.
        photos: folder of its photographs, where they are not where they were.
        shown: the photograph on the contact sheet; the first that can be read if not given.

    Raises:
        InputError: there is no folder `photos`.
    """
    plan = held.plan
    names = list(dict.fromkeys(held.splits))
    rows = [
        (name, held.photographs(name), int(np.count_nonzero(held.in_split(name)))) for name in names
    ]
    height, width = plan["size"]
    types = len(plan["types"])
    given = f"{plan['types_per_reference']} distortion types"
    if plan["types_per_reference"] < types:
        given = f"{plan['types_per_reference']} of {types} distortion types"
    levels = len(plan["levels"])
    facts = paragraph(
        f"{held.photographs():,} photographs, cropped to {width}×{height} pixels, each with {given}"
        f" at {levels} level{'s' * (levels > 1)}: {held.images:,} images. No photograph is in more"
        " than one split."
    )
    return Section(
        "data",
        "The data set",
        [facts, table(["split", "photographs", "images"], rows)],
        [
            Section("sheet", "How it looks", _sheet(out, held, photos, shown)),
            Section("counts", "Images per type and level", [_counts(held)]),
            Section("scores", "Scores before and after equalisation", _histograms(out, held)),
            Section("rejected", "Photographs left out", _rejected(held)),
        ],
    )


def _sheet(out: Path, held: Held, photos: Path | None, shown: str | None) -> list[Markup]:
    path = out / SHEET
    folder = photographs_folder(held.folder, photos)
    found = None if folder is None else _photograph(folder, held, shown)
    if found is not None:
        name, photo = found
        contact_sheet(path, photo)
        caption = f"All {len(DISTORTIONS)} distortion types at five levels, shown on {name}."
    elif held.plan["store"] == "recipe":
        stored = DataSet(held.folder)
        contact_sheet(path, stored.pristine(held.splits[0], held.places[0]))
        caption = (
            f"All {len(DISTORTIONS)} distortion types at five levels, shown on"
            f" {held.references[0]}, whose crop the data set stores."
        )
    else:
        sheet(path, _stored_rows(held), tuple(held.plan["size"]))
        caption = (
            "Images of the data set, for each type those of the first photograph that has it, by"
            " level. Its photographs are no longer where they were: --photos FOLDER shows all"
            " types on one of them."
        )
    return [figure(beside(path, "Contact sheet: distortion types by level"), caption)]


def _photograph(
    folder: Path, held: Held, shown: str | None
) -> tuple[str, UInt8[np.ndarray, "h w 3"]] | None:
    """A photograph's name and pristine crop; None where none of the first can be read."""
    names = [shown] if shown else list(dict.fromkeys(held.references))[:TRIED]
    for name in names:
        try:
            return name, pristine_again(folder, held.plan, name)
        except InputError:
            continue  # the next one will do
    return None


def _stored_rows(held: Held) -> dict[str, Iterator[UInt8[np.ndarray, "h w 3"]]]:
    """Stored images by level, for each type those of the first photograph that has it."""
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


def _counts(held: Held) -> Markup:
    levels = held.plan["levels"]
    counts = {
        distortion: [
            int(np.count_nonzero((held.distortions == distortion) & (held.levels == level)))
            for level in levels
        ]
        for distortion in held.plan["types"]
    }
    most = max(max(row) for row in counts.values())
    rows = [
        (
            type_title(distortion),
            *(Number(n, digits=0, share=n / max(most, 1)) for n in row),
            sum(row),
        )
        for distortion, row in counts.items()
    ]
    return table(
        ["type", *(f"level {level}" for level in levels), "all"],
        rows,
        caption="Both splits together; the stronger the colour, the more.",
    )


def _histograms(out: Path, held: Held) -> list[Markup]:
    path = held.folder / EQUALIZATION
    try:
        equalization = HistogramEqualization.from_json(path.read_text())
    except (OSError, ValueError) as error:
        return [missing(f"{path} is missing or damaged ({error}); generate the data set again.")]
    training = held.in_split("train")
    raw = {metric: scores[training] for metric, scores in held.scores.items()}
    figures.score_histograms(out / HISTOGRAMS, raw, equalization.transform(raw))
    rows = [
        (
            METRICS[metric].title,
            "higher" if METRICS[metric].higher_is_better else "lower",
            *(Number(float(np.quantile(scores, q))) for q in (0, 0.25, 0.5, 0.75, 1)),
        )
        for metric, scores in raw.items()
    ]
    return [
        paragraph(
            f"{len(raw)} full-reference metrics score every image against its reference."
            " Equalisation, fitted on the training split, spreads each metric's scores evenly over"
            " 0..1, so that no metric outweighs the others in training."
        ),
        figure(
            beside(out / HISTOGRAMS, "Histograms of the scores before and after equalisation"),
            "Scores of the training split, by metric.",
        ),
        table(
            ["metric", "better is", "lowest", "first quartile", "median", "third quartile",
             "highest"],
            rows,
            caption="Raw scores of the training split.",
        ),
    ]  # fmt: skip


def _rejected(held: Held) -> list[Markup]:
    if not held.rejected:
        return [paragraph("None: every photograph could be used.")]
    rows = [(each["file"], each["reason"]) for each in held.rejected[:LISTED]]
    beyond = len(held.rejected) - len(rows)
    more = joined(f"{beyond:,} more are in ", element("code", "manifest.json"), ".")
    return [
        paragraph(f"{len(held.rejected):,} photographs could not be used."),
        table(["photograph", "why"], rows),
        *([paragraph(more)] if beyond else []),
    ]


def beside(path: Path, alt: str) -> Picture:
    """A picture file in the report's folder, for the page."""
    height, width = picture_size(path)
    return Picture(path.name, alt, width, height)
