"""Pictures of data sets, runs and benchmarks, drawn with matplotlib and written as PNG."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from itertools import product
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from jaxtyping import Float, UInt8

from distortions import DISTORTIONS, distort
from fr_metrics import METRICS
from mlsp.protocol import fit_logistic5, logistic5
from mtl.files import write_atomically
from mtl.kadis.recipes import LEVELS, named_seed

matplotlib.use("Agg")
from matplotlib import pyplot

DOTS_PER_INCH = 110
TILE_WIDTH = 150  # pixels of one picture in a contact sheet
SHEET_COLUMNS = 2  # of types, five levels each

PANEL_COLUMNS = 4  # of scatter plots
DARK = 0.6  # SROCC from which the text on a cell is white

BEFORE, AFTER = "#b3432b", "#2b6ab3"


def contact_sheet(out: Path, photo: UInt8[np.ndarray, "h w 3"], *, seed: int = 0) -> None:
    """All distortions at all levels of one photograph, with names, as a PNG file."""
    height = max(1, round(TILE_WIDTH * photo.shape[0] / photo.shape[1]))
    tile = (TILE_WIDTH, height)
    rows = -(-len(DISTORTIONS) // SHEET_COLUMNS)
    gap = 0.03
    label = 0.30  # inches above each row of pictures
    cell = (TILE_WIDTH / DOTS_PER_INCH + gap, height / DOTS_PER_INCH)
    width = SHEET_COLUMNS * (len(LEVELS) * cell[0] + 0.25)
    figure = pyplot.figure(figsize=(width, rows * (cell[1] + label) + 0.1), dpi=DOTS_PER_INCH)
    total = figure.get_size_inches()
    for k, distortion in enumerate(DISTORTIONS.values()):
        column, row = divmod(k, rows)
        left = column * width / SHEET_COLUMNS + 0.1
        top = total[1] - row * (cell[1] + label) - 0.05
        figure.text(
            left / total[0],
            (top - 0.2) / total[1],
            f"{distortion.id:02d} {distortion.name.replace('_', ' ')}"
            f"   ({distortion.parameter}: {', '.join(f'{a:g}' for a in distortion.levels)})",
            fontsize=7.5,
        )
        for j, level in enumerate(LEVELS):
            image = distort(
                photo, distortion.id, level, seed=named_seed(seed, distortion.id, level)
            )
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
    _save(out, figure)


def score_histograms(
    out: Path,
    raw: Mapping[str, Float[np.ndarray, " n"]],
    equalized: Mapping[str, Float[np.ndarray, " n"]],
    bins: int = 20,
) -> None:
    """Histograms of each metric's scores before and after equalisation (the paper's figure 5)."""
    figure, axes = pyplot.subplots(
        2,
        len(raw),
        figsize=(1.9 * len(raw) + 0.6, 4.2),
        dpi=DOTS_PER_INCH,
        squeeze=False,
        layout="constrained",
    )
    for k, metric in enumerate(raw):
        title = METRICS[metric].title
        for row, values, color in ((0, raw, BEFORE), (1, equalized, AFTER)):
            axes[row, k].hist(values[metric], bins=bins, color=color)
            axes[row, k].tick_params(labelsize=7)
        axes[0, k].set_title(title, fontsize=10)
        axes[1, k].set_xlim(0, 1)
    axes[0, 0].set_ylabel("images\nbefore", fontsize=9)
    axes[1, 0].set_ylabel("images\nafter", fontsize=9)
    figure.supxlabel("score", fontsize=9)
    _save(out, figure)


def scatter(
    out: Path,
    predictions: Mapping[str, tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]],
    label: str,
) -> None:
    """True against predicted score of test pictures, one panel per method, with the logistic.

    Args:
        out: PNG file.
        predictions: true and predicted scores by panel title.
        label: what the true scores are.
    """
    columns = min(PANEL_COLUMNS, len(predictions))
    rows = -(-len(predictions) // columns)
    figure, axes = pyplot.subplots(
        rows,
        columns,
        figsize=(3.6 * columns, 3.4 * rows),
        dpi=DOTS_PER_INCH,
        squeeze=False,
        layout="constrained",
    )
    for panel in axes.flat[len(predictions) :]:
        panel.axis("off")
    for panel, (title, (true, predicted)) in zip(axes.flat, predictions.items(), strict=False):
        panel.plot(predicted, true, "o", color=AFTER, alpha=0.5, markersize=3)
        if len(set(predicted)) > 1:
            x = np.linspace(predicted.min(), predicted.max(), 100)
            fitted = fit_logistic5(predicted, true)
            panel.plot(x, logistic5(x, *fitted), color=BEFORE, linewidth=1.5)
        panel.set_title(title, fontsize=9)
        panel.tick_params(labelsize=8)
    figure.supxlabel("predicted", fontsize=10)
    figure.supylabel(label, fontsize=10)
    _save(out, figure)


def cross_matrices(
    out: Path, matrices: Mapping[str, Float[np.ndarray, "d d"]], databases: Sequence[str]
) -> None:
    """SROCC by training database (rows) and test database (columns), one panel per method.

    Args:
        out: PNG file.
        matrices: by method; NaN where nothing was measured.
        databases: in the order of rows and columns.
    """
    side = 1.0 + 0.75 * len(databases)
    figure, axes = pyplot.subplots(
        1,
        len(matrices),
        figsize=(side * len(matrices), side),
        dpi=DOTS_PER_INCH,
        squeeze=False,
        layout="constrained",
    )
    places = range(len(databases))
    for panel, (method, matrix) in zip(axes[0], matrices.items(), strict=True):
        panel.imshow(matrix, vmin=0, vmax=1, cmap="Blues")
        for row, column in product(places, places):
            value = matrix[row, column]
            if np.isfinite(value):
                color = "white" if value > DARK else "black"
                panel.text(column, row, f"{value:.3f}", ha="center", va="center", color=color)
        panel.set_xticks(places, databases, rotation=45, ha="right", fontsize=8)
        panel.set_yticks(places, databases, fontsize=8)
        panel.set_xlabel("tested on", fontsize=9)
        panel.set_title(method, fontsize=9)
    axes[0, 0].set_ylabel("trained on", fontsize=9)
    _save(out, figure)


def _save(out: Path, figure) -> None:
    data = BytesIO()
    figure.savefig(data, format="png")
    pyplot.close(figure)
    write_atomically(out, data.getvalue())
