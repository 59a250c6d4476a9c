"""Figures of benchmarks: predictions against scores, and databases against each other."""

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path

import numpy as np
from jaxtyping import Float

from mlsp.evaluation.logistic import fit_logistic5, logistic5
from mlsp.figures.drawing import AFTER, BEFORE, DOTS_PER_INCH, PANEL_COLUMNS, pyplot, save

DARK = 0.6  # SROCC from which the text on a cell is white


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
    save(out, figure)


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
    save(out, figure)
