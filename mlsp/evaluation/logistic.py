"""The five-parameter logistic between predictions and scores.

H. R. Sheikh, M. F. Sabir, A. C. Bovik 2006, doi:10.1109/TIP.2006.881959, equations 10 and 11.
"""

from collections.abc import Sequence
from itertools import product

import numpy as np
import scipy.optimize
import scipy.special
from jaxtyping import Float

from mtl.evaluation.correlation import is_constant, plcc

# With as many pictures as parameters the logistic would go through all of them.
PARAMETERS = 5
FEWEST_PICTURES = PARAMETERS + 1

# Where fits of the logistic begin: slopes per deviation of the predictions, either way, and places
# as quantiles of the predictions.
STEEPNESS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
PLACES = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98)
REFINED = 4  # of the best beginnings
EVALUATIONS = 400  # of a refinement
LOWEST = (0.0, 0.0, -np.inf, 0.0, -np.inf)  # of b1 ... b5: the curve does not fall

# What is fitted is rounded to this part of a deviation. Far finer than it matters; but where steps
# are the best curves, their valley is flat, and the last digit would say where a search in it ends.
GRAIN = 2.0**-32


def logistic5(
    x: Float[np.ndarray, " n"], b1: float, b2: float, b3: float, b4: float, b5: float
) -> Float[np.ndarray, " n"]:
    """b1 (1/2 - 1 / (1 + exp(b2 (x - b3)))) + b4 x + b5, computed without overflow.

    Sheikh, Sabir, Bovik 2006, doi:10.1109/TIP.2006.881959, equations 10 and 11.
    """
    return b1 * (scipy.special.expit(b2 * (np.asarray(x, np.float64) - b3)) - 0.5) + b4 * x + b5


def fit_logistic5(
    predicted: Float[np.ndarray, " n"], true: Float[np.ndarray, " n"]
) -> tuple[float, float, float, float, float]:
    """The b1 ... b5 with which `logistic5` of the predictions has the least squared error found.

    Among those that rise, or fall, throughout, as a mapping of scores has to: without that, a few
    pictures bend the curve to and fro and the correlation after it flatters.
    The same, but for rounding, after any change of the predictions' scale, offset or direction;
    never worse than the straight line of least squares, which fewer than six pictures get. Constant
    predictions get a constant, the mean.

    Raises:
        ValueError: the two differ in length, are empty, or are not finite.
    """
    x, y = _pair(predicted, true)
    scaled = _scaled(x, y)
    if scaled is None:
        return 0.0, 1.0, 0.0, 0.0, float(y.mean())
    u, v, slope, spread = scaled
    b1, b2, b3, b4, b5 = _fit_scaled(u, v)
    # u = slope (x - mean), v = (y - mean) / spread
    b4 *= spread * slope
    return (
        b1 * spread,
        b2 * slope,
        float(x.mean()) + b3 / slope,
        b4,
        float(y.mean()) + spread * b5 - b4 * float(x.mean()),
    )


def plcc_logistic(predicted: Float[np.ndarray, " n"], true: Float[np.ndarray, " n"]) -> float:
    """Pearson correlation after the five-parameter logistic; NaN if one of the two is constant.

    At least the absolute correlation of the predictions as they are, since the line is among the
    logistics.

    Raises:
        ValueError: as `fit_logistic5`.
    """
    x, y = _pair(predicted, true)
    scaled = _scaled(x, y)
    if scaled is None or is_constant(y):
        return float("nan")
    u, v, _, _ = scaled
    fitted = logistic5(u, *_fit_scaled(u, v))
    # Where nothing rises the best curve is flat: uncorrelated, though neither side is constant.
    return 0.0 if is_constant(fitted) else plcc(fitted, v)


def _pair(predicted: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.asarray(predicted, np.float64), np.asarray(true, np.float64)
    if x.shape != y.shape or x.ndim != 1 or not len(x):
        raise ValueError(f"predicted has shape {x.shape}, true {y.shape}; both must be (n,)")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("predictions and scores must be finite")
    return x, y


def _scaled(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, float, float] | None:
    """Both with mean 0 and deviation 1, positively correlated, and the scales; None: x constant.

    Rounded to GRAIN, so that they are the same numbers for predictions on any scale. A constant y
    stays 0, with scale 1.
    """
    u, v = x - x.mean(), y - y.mean()
    deviation, spread = float(np.sqrt(np.mean(u**2))), float(np.sqrt(np.mean(v**2)))
    if is_constant(x) or deviation == 0 or not np.isfinite(1 / deviation):
        return None
    if is_constant(y) or spread == 0:
        v, spread = np.zeros_like(y), 1.0
    slope = (1.0 if u @ v >= 0 else -1.0) / deviation
    return _rounded(u * slope), _rounded(v / spread), slope, spread


def _rounded(values: np.ndarray) -> np.ndarray:
    return np.round(values / GRAIN) * GRAIN


def _fit_scaled(u: np.ndarray, v: np.ndarray) -> tuple[float, ...]:
    """b1 ... b5 for predictions and scores of mean 0 and deviation 1, positively correlated.

    For given b2 and b3 the others are a linear problem, in which b1 and b4 are not negative. The
    best of a grid of such problems are refined in all five within those bounds.
    """
    # Of uncorrelated data the sign is a matter of rounding.
    slope = max(0.0, float(u @ v / (u @ u)))
    line = (0.0, 1.0, 0.0, slope, 0.0)
    if len(u) < FEWEST_PICTURES:
        return line

    def residual(b: np.ndarray) -> np.ndarray:
        return logistic5(u, *b) - v

    def jacobian(b: np.ndarray) -> np.ndarray:
        share = scipy.special.expit(b[1] * (u - b[2]))
        bend = b[0] * share * (1 - share)
        return np.stack([share - 0.5, bend * (u - b[2]), -bend * b[1], u, np.ones_like(u)], axis=1)

    def error(b: Sequence[float]) -> float:
        found = float(np.sum(residual(np.asarray(b)) ** 2))
        return found if np.isfinite(found) else np.inf

    starts = [line]
    for b2, b3 in product(STEEPNESS, np.quantile(u, PLACES)):
        share = scipy.special.expit(b2 * (u - b3)) - 0.5
        offset = float(share.mean())  # those of u and v are 0
        (b1, b4), _ = scipy.optimize.nnls(np.stack([share - offset, u], axis=1), v)
        starts.append((float(b1), b2, float(b3), float(b4), -float(b1) * offset))
    starts.sort(key=error)
    found = [line, *starts[:REFINED]]
    with np.errstate(all="ignore"):  # a step may go too far; what is not finite is not chosen
        for start in starts[:REFINED]:
            refined = scipy.optimize.least_squares(
                residual, start, jacobian, bounds=(LOWEST, np.inf), max_nfev=EVALUATIONS
            )
            if np.isfinite(refined.x).all():
                b1, b2, b3, b4, b5 = map(float, refined.x)
                found.append((b1, b2, b3, b4, b5))
    return min(found, key=error)
