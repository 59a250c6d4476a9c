"""Settings that all figures share: matplotlib without a screen, resolution, colours."""

from io import BytesIO
from pathlib import Path

import matplotlib

from mtl.runtime.files import write_atomically

matplotlib.use("Agg")
from matplotlib import pyplot

DOTS_PER_INCH = 110
PANEL_COLUMNS = 4  # of small plots
BEFORE, AFTER = "#b3432b", "#2b6ab3"


def save(out: Path, figure) -> None:
    """Write a pyplot figure as a PNG file, and close it."""
    data = BytesIO()
    figure.savefig(data, format="png")
    pyplot.close(figure)
    write_atomically(out, data.getvalue())
