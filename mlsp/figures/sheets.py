"""Sheets of distorted pictures with their names."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from distortions import DISTORTIONS, Distortion, distort
from mlsp.figures.drawing import DOTS_PER_INCH, pyplot, save
from mtl.kadis.recipes import LEVELS, named_seed

TILE_WIDTH = 150  # pixels of one picture in a contact sheet
SHEET_COLUMNS = 2  # of types, five levels each


def contact_sheet(out: Path, photo: UInt8[np.ndarray, "h w 3"], *, seed: int = 0) -> None:
    """Draw all distortions at all levels of one photograph, with their names, as a PNG file."""

    def versions(distortion: Distortion) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
        for level in LEVELS:
            yield distort(photo, distortion.id, level, seed=named_seed(seed, distortion.id, level))

    rows = {
        f"{type_title(d.id)}   ({d.parameter}: {', '.join(f'{a:g}' for a in d.levels)})": versions(
            d
        )
        for d in DISTORTIONS.values()
    }
    sheet(out, rows, photo.shape[:2])


def type_title(distortion: int) -> str:
    """Return the number and name of a distortion type, as a person reads them."""
    return f"{distortion:02d} {DISTORTIONS[distortion].name.replace('_', ' ')}"


def sheet(
    out: Path,
    rows: Mapping[str, Iterable[UInt8[np.ndarray, "_ _ 3"]]],
    shape: tuple[int, int],
) -> None:
    """Draw rows of up to five pictures, each row with a title, in two columns, as a PNG file.

    Args:
        out: PNG file.
        rows: pictures by title; a row may make them while it is drawn.
        shape: height and width of the pictures.
    """
    height = max(1, round(TILE_WIDTH * shape[0] / shape[1]))
    tile = (TILE_WIDTH, height)
    columns = min(SHEET_COLUMNS, len(rows))
    down = -(-len(rows) // columns)
    gap = 0.03
    label = 0.30  # inches above each row of pictures
    cell = (TILE_WIDTH / DOTS_PER_INCH + gap, height / DOTS_PER_INCH)
    width = columns * (len(LEVELS) * cell[0] + 0.25)
    figure = pyplot.figure(figsize=(width, down * (cell[1] + label) + 0.1), dpi=DOTS_PER_INCH)
    total = figure.get_size_inches()
    for k, (title, images) in enumerate(rows.items()):
        column, row = divmod(k, down)
        left = column * width / columns + 0.1
        top = total[1] - row * (cell[1] + label) - 0.05
        figure.text(left / total[0], (top - 0.2) / total[1], title, fontsize=7.5)
        for j, image in enumerate(images):
            # Distorted at full size, shown small: the strongest levels stay visible.
            shown = cv2.resize(image, tile, interpolation=cv2.INTER_AREA)
            axes = figure.add_axes(
                (
                    (left + j * cell[0]) / total[0],
                    (top - label - cell[1] + 0.06) / total[1],
                    (cell[0] - gap) / total[0],
                    cell[1] / total[1],
                )
            )
            axes.imshow(shown, interpolation="nearest", aspect="auto")
            axes.axis("off")
    save(out, figure)
