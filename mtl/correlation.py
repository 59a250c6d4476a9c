"""Correlation between predicted and true scores."""

import numpy as np
import scipy.stats
from jaxtyping import Float


def srocc(predicted: Float[np.ndarray, " n"], true: Float[np.ndarray, " n"]) -> float:
    """Spearman rank-order correlation, -1..1, ties at their mean rank; NaN if one is constant."""
    return plcc(scipy.stats.rankdata(predicted), scipy.stats.rankdata(true))


def plcc(predicted: Float[np.ndarray, " n"], true: Float[np.ndarray, " n"]) -> float:
    """Pearson linear correlation, -1..1, of the numbers as they are; NaN if one is constant.

    Raises:
        ValueError: the two differ in length.
    """
    x, y = np.asarray(predicted, np.float64), np.asarray(true, np.float64)
    if x.shape != y.shape or x.ndim != 1:
        raise ValueError(f"predicted has shape {x.shape}, true {y.shape}; both must be (n,)")
    x, y = x - x.mean(), y - y.mean()
    norm = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / norm) if norm > 0 else float("nan")
