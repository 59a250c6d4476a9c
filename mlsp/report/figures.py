"""Pictures of data sets, runs and benchmarks, drawn with matplotlib and written as PNG."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import BytesIO
from itertools import product
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from jaxtyping import Float, UInt8

from distortions import DISTORTIONS, Distortion, distort
from fr_metrics import METRICS
from mlsp.evaluation.measures import fit_logistic5, logistic5
from mtl.kadis.recipes import LEVELS, named_seed
from mtl.runtime.files import write_atomically

matplotlib.use("Agg")
from matplotlib import pyplot

DOTS_PER_INCH = 110
TILE_WIDTH = 150  # pixels of one picture in a contact sheet
SHEET_COLUMNS = 2  # of types, five levels each

PANEL_COLUMNS = 4  # of small plots
BINS = 20  # of a histogram
DARK = 0.6  # SROCC from which the text on a cell is white

BEFORE, AFTER = "#b3432b", "#2b6ab3"


def contact_sheet(out: Path, photo: UInt8[np.ndarray, "h w 3"], *, seed: int = 0) -> None:
    """All distortions at all levels of one photograph, with names, as a PNG file."""

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
    """Number and name of a distortion type, as a person reads them."""
    return f"{distortion:02d} {DISTORTIONS[distortion].name.replace('_', ' ')}"


def sheet(
    out: Path,
    rows: Mapping[str, Iterable[UInt8[np.ndarray, "_ _ 3"]]],
    shape: tuple[int, int],
) -> None:
    """Rows of up to five pictures, each row with a title, in two columns, as a PNG file.

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


def score_histograms(
    out: Path,
    raw: Mapping[str, Float[np.ndarray, " n"]],
    equalized: Mapping[str, Float[np.ndarray, " n"]],
) -> None:
    """Histograms of each metric's scores before and after equalisation (the paper's figure 5).

    Args:
        out: PNG file.
        raw: scores by metric.
        equalized: the same, equalised to 0..1.
    """
    columns = min(PANEL_COLUMNS, len(raw))
    bands = -(-len(raw) // columns)
    figure, axes = pyplot.subplots(
        2 * bands,
        columns,
        figsize=(2.6 * columns, 3.4 * bands + 0.3),
        dpi=DOTS_PER_INCH,
        squeeze=False,
        layout="constrained",
    )
    for panel in axes[-2:, len(raw) - columns * (bands - 1) :].flat:
        panel.axis("off")
    for k, metric in enumerate(raw):
        band, column = divmod(k, columns)
        for below, values, color in ((0, raw, BEFORE), (1, equalized, AFTER)):
            panel = axes[2 * band + below, column]
            panel.hist(values[metric], bins=BINS, color=color)
            panel.tick_params(labelsize=8)
        axes[2 * band, column].set_title(METRICS[metric].title, fontsize=10)
        axes[2 * band + 1, column].set_xlim(0, 1)
    for band in range(bands):
        axes[2 * band, 0].set_ylabel("images\nbefore", fontsize=9)
        axes[2 * band + 1, 0].set_ylabel("images\nafter", fontsize=9)
    figure.supxlabel("score", fontsize=9)
    save(out, figure)


def training_curves(out: Path, log: Sequence[Mapping[str, float]], best: float) -> None:
    """Losses, then a panel per metric with SROCC and PLCC on the validation split, by epoch.

    Args:
        out: PNG file.
        log: rows of a run's log.csv, at least one.
        best: the epoch that was kept, marked in each panel.
    """
    metrics = {"mean": "mean of the metrics"} | {m: METRICS[m].title for m in logged_metrics(log)}
    count = 1 + len(metrics)
    rows = -(-count // PANEL_COLUMNS)
    figure, axes = pyplot.subplots(
        rows,
        PANEL_COLUMNS,
        figsize=(2.6 * PANEL_COLUMNS, 2.1 * rows + 0.3),
        dpi=DOTS_PER_INCH,
        squeeze=False,
        sharex=True,
        layout="constrained",
    )
    epochs = [row["epoch"] for row in log]
    losses, *panels = axes.flat
    for name, color in (("train_loss", BEFORE), ("validation_loss", AFTER)):
        label = name.removesuffix("_loss").replace("train", "training")
        losses.plot(epochs, [row[name] for row in log], ".-", color=color, label=label)
    losses.set_yscale("log")
    losses.set_title("loss", fontsize=10)
    losses.legend(frameon=False, fontsize=7)
    measured: list[float] = []
    for panel, (metric, title) in zip(panels, metrics.items(), strict=False):
        for measure, color in (("srocc", AFTER), ("plcc", BEFORE)):
            column = f"mean_{measure}" if metric == "mean" else f"{measure}_{metric}"
            values = [row.get(column, np.nan) for row in log]
            measured += [value for value in values if np.isfinite(value)]
            panel.plot(epochs, values, ".-", color=color, linewidth=1, label=measure.upper())
        panel.set_title(title, fontsize=10)
        panel.axhline(0, color="0.7", linewidth=0.8)
    panels[0].legend(frameon=False, fontsize=7)
    lowest = min([0.0, *measured])
    for panel in panels[: len(metrics)]:
        panel.set_ylim(lowest - 0.05, 1.05)  # one scale, so that metrics can be compared
    for panel in axes.flat[:count]:
        panel.axvline(best, color="0.6", linewidth=0.8, linestyle=":")
        panel.tick_params(labelsize=8, labelbottom=True)
        panel.set_xlim(min(epochs) - 0.5, max(epochs) + 0.5)
        panel.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    for panel in axes.flat[count:]:
        panel.axis("off")
    figure.supxlabel("epoch", fontsize=9)
    save(out, figure)


def logged_metrics(log: Sequence[Mapping[str, float]]) -> list[str]:
    """The metrics whose correlations a run's log holds, in the paper's order."""
    return [metric for metric in METRICS if f"srocc_{metric}" in log[0]]


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


def save(out: Path, figure) -> None:
    """Write a figure of pyplot as a PNG file, and close it."""
    data = BytesIO()
    figure.savefig(data, format="png")
    pyplot.close(figure)
    write_atomically(out, data.getvalue())
