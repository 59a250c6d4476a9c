"""The picture of a run's learning curves: losses and correlations against epochs."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from fr_metrics import METRICS
from mtl.runtime.files import write_atomically

PICTURE = "learning.png"

RGBA = tuple[float, float, float, float]

DOTS_PER_INCH = 110
TRAINING, VALIDATION = "#b3432b", "#2b6ab3"
# Nine strong colours of tab20 and two light ones; without its grey, which is the zero line's.
DISTINCT = [colormaps["tab20"](k) for k in (0, 2, 4, 6, 8, 10, 12, 16, 18, 1, 5)]


def learning_curve(out: Path, log: Sequence[Mapping[str, float]]) -> None:
    """Draw losses, and the correlations on the validation split, after each epoch, as a PNG file.

    Args:
        out: the file.
        log: the rows of a run's log; those without correlations have losses alone.
    """
    figure = Figure(figsize=(9.5, 3.4), dpi=DOTS_PER_INCH, layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = [row["epoch"] for row in log]
    for name, color in (("train_loss", TRAINING), ("validation_loss", VALIDATION)):
        label = {"train_loss": "training", "validation_loss": "validation"}[name]
        left.plot(epochs, [row[name] for row in log], "o-", color=color, label=label)
    left.set_yscale("log")
    left.set_ylabel("loss")
    left.legend(frameon=False)
    # A metric has its colour whichever others a run has.
    for metric, color in zip(METRICS, distinct_colors(len(METRICS)), strict=True):
        if f"srocc_{metric}" in log[0]:
            values = [row[f"srocc_{metric}"] for row in log]
            right.plot(epochs, values, linewidth=1, color=color, label=METRICS[metric].title)
    for name, label in (("mean_srocc", "mean"), ("srocc", "human scores")):
        if name in log[0]:
            right.plot(epochs, [row[name] for row in log], "ko-", label=label)
    if right.get_lines():
        right.legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    right.axhline(0, color="0.7", linewidth=0.8)
    right.set_ylabel("SROCC on the validation split")
    for axes in (left, right):
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
    data = BytesIO()
    figure.savefig(data, format="png")
    write_atomically(out, data.getvalue())


def distinct_colors(count: int) -> list[RGBA]:
    """Return so many different colours, those of `DISTINCT` as far as they suffice."""
    if count <= len(DISTINCT):
        return DISTINCT[:count]
    return [colormaps["turbo"](share) for share in np.linspace(0, 1, count)]
