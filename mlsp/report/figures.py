"""Figures of data sets and training runs, for the report."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from fr_metrics import METRICS
from mlsp.figures.drawing import AFTER, BEFORE, DOTS_PER_INCH, PANEL_COLUMNS, pyplot, save

BINS = 20  # of a histogram


def score_histograms(
    out: Path,
    raw: Mapping[str, Float[np.ndarray, " n"]],
    equalized: Mapping[str, Float[np.ndarray, " n"]],
) -> None:
    """Draw each metric's scores as histograms before and after equalisation (paper, figure 5).

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
    """Draw losses, then a panel per metric with SROCC and PLCC on the validation split, by epoch.

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
    """Return the metrics whose correlations a run's log holds, in the paper's order."""
    return [metric for metric in METRICS if f"srocc_{metric}" in log[0]]
