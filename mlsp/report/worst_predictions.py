"""The pictures that a benchmark's best method judged worst, as cards with their scores."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
from jaxtyping import UInt8

from mlsp.evaluation.benchmark_results import PLACES_FILE, PREDICTIONS_FILE
from mlsp.report.benchmark_tables import Place, Row, Tables, best_row, is_own, of_place
from mlsp.report.web_page import Block, Missing, Picture, beside
from mtl.runtime.files import InputError, write_atomically
from mtl.runtime.pictures import encode_png, read_picture

WORST = 12  # predictions shown of each database
THUMBNAIL = 256  # pixels of the longer side


@dataclass(frozen=True)
class Card:
    """A picture with its true and its predicted score."""

    image: str
    true: float
    predicted: float
    thumbnail: Picture | str
    """The reason, if the picture cannot be shown."""

    @property
    def is_shown(self) -> bool:
        """True if the picture could be read."""
        return isinstance(self.thumbnail, Picture)


@dataclass(frozen=True)
class Worst:
    """The worst test predictions of one method on one database, the worst first."""

    template: ClassVar[str] = "report/templates/worst.html.jinja"

    place: Place
    method: str
    is_own: bool
    """True if the method regresses on a network's features."""
    cards: Sequence[Card]
    searched: str
    """The folders that were searched for the pictures."""


def not_there(benchmark: Tables, name: str) -> Missing:
    """Return the paragraph on a file that a benchmark did not write."""
    command = f"deepfl benchmark ... --out {benchmark.folder}"
    return Missing(f"{benchmark.folder / name} is not there;", command, "writes it.")


def worst_predictions(
    out: Path, benchmark: Tables, number: int, ratings: Sequence[Path], worst: int
) -> list[Block]:
    """Return the worst test predictions on each database, by its first protocol.

    They are those of the best method: of the methods on networks' features, where there are any.

    Args:
        out: the report's folder, for the thumbnails.
        benchmark: its tables.
        number: of the benchmark in the report, from 1; part of the thumbnails' names.
        ratings: folders to look for the pictures in, before those the benchmark names.
        worst: how many to show of each database.
    """
    if not worst:
        return [Missing("Left out;", f"--worst {WORST}", "shows them.")]
    if not benchmark.predictions:
        return [not_there(benchmark, PREDICTIONS_FILE)]
    first: dict[str, Place] = {}
    for place in benchmark.places:
        first.setdefault(place[0], place)
    found: list[Block] = []
    for of, (database, place) in enumerate(first.items(), start=1):
        best = best_row(benchmark, place, own=True)
        if best is None:
            problem = f"{database}: no method predicts scores on the scale of the ratings."
            found.append(Missing(problem))
            continue
        rows = [r for r in of_place(benchmark.predictions, place) if r["method"] == best["method"]]
        if not rows:
            found.append(not_there(benchmark, PREDICTIONS_FILE))
            continue
        rows = sorted(rows, key=lambda r: -abs(float(r["predicted"]) - float(r["score"])))[:worst]
        roots = [*ratings, *([benchmark.roots[database]] if database in benchmark.roots else [])]
        cards = [
            _card(out / f"worst-{number}-{of}-{k:02d}.png", row, roots)
            for k, row in enumerate(rows, start=1)
        ]
        searched = ", ".join(map(str, roots)) or f"{PLACES_FILE} does not say where they are"
        found.append(Worst(place, best["method"], is_own(best), cards, searched))
    return found


def _card(path: Path, row: Row, roots: Sequence[Path]) -> Card:
    """Write the thumbnail of a prediction's picture, if that can be read."""
    name = row["image"]
    file = next((root / name for root in roots if (root / name).is_file()), None)
    try:
        image = None if file is None else read_picture(file)
        problem = "picture not found"
    except InputError as error:
        image, problem = None, str(error)
    thumbnail: Picture | str = problem
    if image is not None:
        write_atomically(path, encode_png(_small(image)))
        thumbnail = beside(path, name)
    return Card(name, float(row["score"]), float(row["predicted"]), thumbnail)


def _small(image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "_ _ 3"]:
    """Return a picture scaled down by area interpolation: its longer side is at most 256 pixels."""
    height, width = image.shape[:2]
    scale = THUMBNAIL / max(height, width)
    if scale >= 1:
        return image
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)
