"""The picture of a study: its scores, its raters, and what a group of them is worth."""

from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from mtl.ratings.groups import AsGoodAs, Groups
from mtl.ratings.scores import HIGHEST, LOWEST, Scores
from mtl.ratings.screening import Screening
from mtl.runtime.files import write_atomically

DOTS_PER_INCH = 110
KEPT, REMOVED = "#2b6ab3", "#b3432b"
BINS = 30
VOTES = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500, 1000)  # marked
LARGEST_RATIO = 20.0  # drawn; those above are at the edge


def draw_study(
    out: Path,
    scores: Scores,
    screening: Screening,
    groups: Groups | None,
    model: AsGoodAs | None,
) -> None:
    """Histograms of MOS and SD, raters with the thresholds, groups with the model, as PNG.

    Args:
        out: PNG file.
        scores: of the images that are written.
        screening: of all raters.
        groups: of the same images as the model's, where there is one; None draws none.
        model: None draws no line.
    """
    figure = Figure(figsize=(10.5, 7.4), dpi=DOTS_PER_INCH, layout="constrained")
    (mos, sd), (raters, curve) = figure.subplots(2, 2)
    mos.hist(scores.mos, bins=np.linspace(LOWEST, HIGHEST, BINS + 1), color=KEPT)
    mos.set_xlabel("MOS, 1..100")
    sd.hist(scores.sd, bins=BINS, color=KEPT)
    sd.set_xlabel("standard deviation of the ratings 1..5")
    for axes in (mos, sd):
        axes.set_ylabel("images")
    _raters(raters, screening)
    if groups is None:
        curve.axis("off")
    else:
        _curve(curve, groups, model)
    data = BytesIO()
    figure.savefig(data, format="png")
    write_atomically(out, data.getvalue())


def _raters(axes: Axes, screening: Screening) -> None:
    ratio = np.clip(screening.line_ratio, 0, LARGEST_RATIO)
    for chosen, color, label in (
        (screening.kept, KEPT, "kept"),
        (~screening.kept, REMOVED, "removed"),
    ):
        axes.plot(
            screening.plcc[chosen],
            ratio[chosen],
            "o",
            color=color,
            alpha=0.5,
            markersize=3,
            label=f"{label}: {chosen.sum()}",
        )
    axes.axvline(screening.settings.plcc, color="0.4", linestyle="--", linewidth=1)
    axes.axhline(screening.settings.line_ratio, color="0.4", linestyle="--", linewidth=1)
    axes.set_yscale("log")
    axes.set_xlabel("PLCC of a rater with the preliminary MOS")
    axes.set_ylabel("most frequent score / all others")
    axes.legend(frameon=False, fontsize=8)


def _curve(axes: Axes, groups: Groups, model: AsGoodAs | None) -> None:
    axes.fill_between(groups.votes, groups.low, groups.high, color=KEPT, alpha=0.2, linewidth=0)
    axes.plot(groups.votes, groups.srocc, "o-", color=KEPT, markersize=3, label="groups of raters")
    if model is not None:
        srocc, votes = model.srocc, model.votes.value
        worth = f", worth {votes:.1f} votes" if 0 < votes < np.inf else ""
        axes.axhline(srocc.value, color=REMOVED, label=f"predictions: {srocc.value:.3f}{worth}")
        axes.axhspan(srocc.low, srocc.high, color=REMOVED, alpha=0.12, linewidth=0)
    axes.set_xscale("log")
    axes.xaxis.set_minor_locator(NullLocator())
    inside = [n for n in VOTES if groups.votes[0] <= n <= groups.votes[-1]]
    axes.set_xticks(inside, [str(n) for n in inside])
    axes.set_xlabel("votes per image")
    axes.set_ylabel("SROCC with the MOS of half of the raters")
    axes.legend(frameon=False, fontsize=8)
