"""The picture of the histograms before and after, as KonIQ-10k's figure 2."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib import pyplot
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from mlsp.figures.drawing import AFTER, BEFORE, DOTS_PER_INCH, PANEL_COLUMNS, save

# As in the paper's figure: blue is what there was, red what was chosen.
ALL, CHOSEN = AFTER, BEFORE


@dataclass(frozen=True)
class Histogram:
    """Of one indicator, before and after."""

    title: str
    edges: Float[np.ndarray, " b+1"]
    before: Float[np.ndarray, " b"]
    """Shares of the photographs there were."""
    after: Float[np.ndarray, " b"]
    """Shares of the chosen."""


def histograms(out: Path, panels: Sequence[Histogram], before: int, after: int) -> None:
    """A panel per indicator, with a line at the share of a uniform histogram.

    Args:
        out: PNG file.
        panels: what to draw.
        before: number of photographs there were.
        after: number of the chosen.
    """
    rows = -(-len(panels) // PANEL_COLUMNS)
    figure, axes = pyplot.subplots(
        rows,
        PANEL_COLUMNS,
        figsize=(2.7 * PANEL_COLUMNS, 2.2 * rows + 0.4),
        dpi=DOTS_PER_INCH,
        squeeze=False,
        layout="constrained",
    )
    for panel in axes.flat[len(panels) :]:
        panel.axis("off")
    for panel, one in zip(axes.flat, panels, strict=False):
        for shares, color in ((one.before, ALL), (one.after, CHOSEN)):
            panel.stairs(100 * shares, one.edges, fill=True, color=color, alpha=0.35)
            panel.stairs(100 * shares, one.edges, color=color, linewidth=1)
        panel.axhline(100 / len(one.before), color="0.3", linewidth=0.8, linestyle=":")
        panel.set_title(one.title, fontsize=9)
        panel.tick_params(labelsize=7)
        panel.ticklabel_format(axis="x", style="sci", scilimits=(-3, 4))
        panel.xaxis.get_offset_text().set_fontsize(7)
    for row in range(rows):
        axes[row, 0].set_ylabel("% of photographs", fontsize=8)
    handles = [Rectangle((0, 0), 1, 1, color=c, alpha=0.6) for c in (ALL, CHOSEN)]
    labels = [f"all usable, trimmed: {before:,}", f"chosen: {after:,}"]
    line = Line2D([], [], color="0.3", linewidth=0.8, linestyle=":")
    figure.legend(
        [*handles, line],
        [*labels, "uniform"],
        loc="outside upper center",
        ncols=3,
        frameon=False,
        fontsize=9,
    )
    save(out, figure)
