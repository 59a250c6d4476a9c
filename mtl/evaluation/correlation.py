"""Correlation between predicted and true scores."""

import numpy as np
import scipy.stats
from jaxtyping import Float

# Numbers that spread over so many steps of float32 at their size count as constant: networks and
# metrics compute in float32, and what they say of equal pictures differs by as much.
STEPS = 4
STEP = float(np.finfo(np.float32).eps)  # relative to a number, at most


def srocc(predicted: Float[np.ndarray, " n"], true: Float[np.ndarray, " n"]) -> float:
    """Return Spearman's rank-order correlation, -1..1, ties at their mean rank.

    NaN where one of the two is constant or holds a number that is not finite.

    Raises:
        ValueError: the two differ in length.
    """
    x, y = _pair(predicted, true)
    if is_constant(x) or is_constant(y):
        return float("nan")
    return plcc(scipy.stats.rankdata(x), scipy.stats.rankdata(y))


def plcc(predicted: Float[np.ndarray, " n"], true: Float[np.ndarray, " n"]) -> float:
    """Return Pearson's linear correlation, -1..1, of the numbers as they are.

    NaN where one of the two is constant or holds a number that is not finite.

    Raises:
        ValueError: the two differ in length.
    """
    x, y = _pair(predicted, true)
    if is_constant(x) or is_constant(y):
        return float("nan")
    x, y = _centred(x), _centred(y)
    return float(np.clip(x @ y / np.sqrt((x @ x) * (y @ y)), -1, 1))


def krocc(predicted: Float[np.ndarray, " n"], true: Float[np.ndarray, " n"]) -> float:
    """Return Kendall's rank correlation tau-b, -1..1.

    NaN where one of the two is constant or holds a number that is not finite.

    Raises:
        ValueError: the two differ in length.
    """
    x, y = _pair(predicted, true)
    if is_constant(x) or is_constant(y):
        return float("nan")
    return float(scipy.stats.kendalltau(x, y).statistic)


def is_constant(values: Float[np.ndarray, " n"]) -> bool:
    """Tell whether numbers have no correlation with any others.

    So it is where there are none, where they differ by rounding alone, or where one is not finite.
    """
    values = np.asarray(values, np.float64)
    if not len(values) or not np.isfinite(values).all():
        return True
    largest = float(np.abs(values).max())
    # Halves, so that the difference of the largest numbers there are does not overflow.
    return float(values.max() / 2 - values.min() / 2) <= STEPS / 2 * STEP * largest


def _pair(predicted: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.asarray(predicted, np.float64), np.asarray(true, np.float64)
    if x.shape != y.shape or x.ndim != 1:
        raise ValueError(f"predicted has shape {x.shape}, true {y.shape}; both must be (n,)")
    return x, y


def _centred(values: np.ndarray) -> np.ndarray:
    """Return numbers with mean 0, the largest of them about 1 in size, whatever their unit."""
    values = values / np.abs(values).max()
    values = values - values.mean()
    return values / np.abs(values).max()
