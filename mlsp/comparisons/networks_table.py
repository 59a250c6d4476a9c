"""The table and the figure of a comparison of networks."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mlsp.evaluation.benchmarking import Row
from mlsp.figures.drawing import DOTS_PER_INCH, pyplot, save
from mtl.network.model import functional_model
from mtl.network.networks import find_network
from mtl.network.weights import load_config
from mtl.runtime.files import write_atomically
from mtl.runtime.tables.csv_tables import table_text

TABLE_FILE, FIGURE_FILE = "networks.csv", "networks.png"
MEASURES = ("srocc", "plcc", "rmse", "mae")
MILLION = 1e6
CONVOLUTION = 4  # dimensions of its kernel

AXES = {
    "parameters": "parameters (millions)",
    "prediction_ms": "milliseconds per picture",
    "epoch_seconds": "seconds per training epoch",
}
MARKERS, COLOURS = "osD^vP*X<>", 10  # COLOURS: of matplotlib's cycle C0, C1, ...


def network_row(
    network: str,
    start: str,
    model: Path,
    summary: Mapping[str, float | str | int],
    times: Mapping[str, float],
) -> Row:
    """Return what the table says of a network, but for the prediction's size and time.

    Parameters are counted as Keras counts them, with the statistics of batch normalisations, which
    gives the numbers of KonIQ-10k's table 2. Convolutions, a depthwise and a pointwise one being
    two, are not the depth of that table, which counts the layers of Keras' programs.

    Args:
        network: its name.
        start: imagenet, random or a folder.
        model: folder of a fine-tuned one.
        summary: of its tests, see `mlsp.evaluation.benchmarking.Benchmark`.
        times: medians of best_epoch, epoch_seconds and training_seconds.

    Returns:
        network, title, init, share (of the channels), parameters and body_parameters (millions),
        convolutions, features (of the head), mlsp_length, splits, median srocc, plcc, rmse and mae
        with the quartiles of the SROCC, best_epoch, epoch_seconds, training_seconds.
    """
    config, row = load_config(model), find_network(network)
    shapes = functional_model(config).shapes
    sizes = {name: int(np.prod(shape)) for name, shape in shapes.items()}
    body = [name for name in shapes if name.startswith("body/")]
    return {
        "network": network,
        "title": row.title,
        "init": start,
        "share": config.width,
        "parameters": sum(sizes.values()) / MILLION,
        "body_parameters": sum(sizes[name] for name in body) / MILLION,
        "convolutions": sum(len(shapes[name]) == CONVOLUTION for name in body),
        "features": round(row.features * config.width),
        "mlsp_length": round(row.length * config.width),
        "splits": summary["repetitions"],
        **{name: summary[f"{name}_median"] for name in MEASURES},
        **{f"srocc_{which}": summary[f"srocc_{which}"] for which in ("q1", "q3")},
        **times,
    }


def write_networks(out: Path, rows: Sequence[Row]) -> None:
    """Write networks.csv; a measure without a value is empty."""

    def shown(value: float | str | int) -> float | str | int:
        return "" if isinstance(value, float) and np.isnan(value) else value

    text = table_text([{name: shown(value) for name, value in row.items()} for row in rows])
    write_atomically(out / TABLE_FILE, text)


def draw_networks(out: Path, rows: Sequence[Row]) -> None:
    """Draw the SROCC, with quartiles, against parameters, prediction time and training time.

    A network is left out of a panel whose value it lacks.
    """
    figure, axes = pyplot.subplots(
        1, len(AXES), figsize=(12, 4), dpi=DOTS_PER_INCH, sharey=True, layout="constrained"
    )
    shown = [row for row in rows if np.isfinite(float(row["srocc"]))]
    for panel, (column, label) in zip(axes, AXES.items(), strict=True):
        for place, row in enumerate(shown):
            median, low, high = (float(row[name]) for name in ("srocc", "srocc_q1", "srocc_q3"))
            panel.errorbar(
                float(row[column]),
                median,
                [[median - low], [high - median]],
                fmt=MARKERS[place % len(MARKERS)],
                color=f"C{place % COLOURS}",
                capsize=3,
                markersize=8,
                label=str(row["title"]),
            )
        known = [value for row in shown if np.isfinite(value := float(row[column]))]
        panel.set_xlim(0, 1.1 * max(known, default=1.0))
        panel.set_xlabel(label, fontsize=10)
        panel.tick_params(labelsize=8)
        panel.grid(alpha=0.3)
        panel.margins(y=0.15)
    splits = max((int(row["splits"]) for row in rows), default=0)
    label = "SROCC, test part" if splits < 2 else f"SROCC, median and quartiles of {splits} splits"
    axes[0].set_ylabel(label, fontsize=10)
    if shown:
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right", fontsize=9)
    save(out / FIGURE_FILE, figure)
