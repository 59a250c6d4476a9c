"""Metrics as a user names them."""

from collections.abc import Sequence

from fr_metrics import METRICS
from mtl.runtime.files import InputError


def chosen_metrics(names: Sequence[str]) -> tuple[str, ...]:
    """Return the named metrics in the order of `METRICS`; all of them when none is named.

    Raises:
        InputError: one is not known.
    """
    for name in names:
        if name not in METRICS:
            raise InputError(f"{name}: is not a metric; known are {' '.join(METRICS)}")
    return tuple(m for m in METRICS if m in names) or tuple(METRICS)
