"""The table of conventional methods: `deepfl benchmark --baseline NAME` regresses on any row.

A row and a module are all that a method needs. A program that uses this package may add rows of
its own before it starts a benchmark.
"""

from distortions import _matlab
from fr_metrics.operations import resize
from mlsp.baselines import brisque
from mlsp.baselines.baseline import Baseline

BASELINES: dict[str, Baseline] = {
    "brisque": Baseline(
        title="BRISQUE",
        describe=brisque.brisque,
        length=brisque.LENGTH,
        fit=None,
        reference="doi:10.1109/TIP.2012.2214050",
        verified=True,
        program=(brisque, _matlab, resize),
    ),
}
"""Conventional no-reference methods by the name that tables, files and the command line use."""
