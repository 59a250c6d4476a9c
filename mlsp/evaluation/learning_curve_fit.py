"""The curve of test SROCC against training pictures: its fit, and bounds by bootstrapping.

KonIQ-10k, doi:10.1109/TIP.2020.2967829 (arXiv:1910.06180), section 6.2.3, figure 10 and table 4:

    f(x) = 1 - (x^a + b)^-1

is fitted to all points by least squares. It rises, to 1 for x to infinity, where a > 0. The paper
does not bound b: its own table 4 needs one of either sign (-1.9 for KonIQ-10k's test set,
above 0 for LIVE in the Wild). Here the smallest size decides: f is at least -1 there, which any
correlation is, and defined from there on.

"95% observational confidence bounds by bootstrapping" are taken as bounds of what one more
repetition would measure: repetitions are drawn with replacement, each with all its sizes, the curve
is fitted again, and a residual of the first fit is added. The bounds of the curve itself are those
without the residual. Few repetitions make both too narrow: a resample of n has (n - 1) / n of the
variance.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.optimize
from jaxtyping import Float

from mlsp.evaluation.benchmarking import Row

FEWEST_SIZES = 2  # with a correlation, for a curve

# Of a: below the lowest the curve is flat, above the highest a thousand pictures more or less than
# another thousand decide between 0 and 1.
EXPONENTS = (1e-6, 2.0)
STARTS = (0.03, 0.1, 0.2, 0.3, 0.5, 1.0)  # of a
# Of x^a + b at the smallest size: f is -1 at the lowest, and 1 - 1e-6 at the highest.
DENOMINATORS = (0.5, 1e6)

RESAMPLES = 500
COVERAGE = 0.95  # nominal, of all bounds


@dataclass(frozen=True)
class Curve:
    """f(x) = 1 - (x^a + b)^-1."""

    a: float
    b: float

    def __call__(self, x: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Return the SROCC expected of x training pictures, from the fewest it was fitted to on."""
        return 1 - 1 / (np.asarray(x, np.float64) ** self.a + self.b)


@dataclass(frozen=True)
class Bounds:
    """A fitted curve at some sizes, with its 95 % bounds."""

    sizes: Float[np.ndarray, " n"]
    srocc: Float[np.ndarray, " n"]
    low: Float[np.ndarray, " n"]
    """Of the curve."""
    high: Float[np.ndarray, " n"]
    observed_low: Float[np.ndarray, " n"]
    """Of one more repetition."""
    observed_high: Float[np.ndarray, " n"]


def fit_curve(
    sizes: Float[np.ndarray, " n"], srocc: Float[np.ndarray, " n"], *, start: Curve | None = None
) -> Curve:
    """Return the curve with the least squared error found from several starts, or from one.

    Args:
        sizes: training pictures of each point, 1 or more.
        srocc: of each point; what is not finite is left out.
        start: a curve to begin at, in the place of the several.

    Raises:
        ValueError: the finite points have fewer than two different sizes, or a size is below 1.
    """
    sizes, srocc = np.asarray(sizes, np.float64), np.asarray(srocc, np.float64)
    known = np.isfinite(srocc)
    x, y = sizes[known], srocc[known]
    if len(set(x.tolist())) < FEWEST_SIZES or x.min() < 1:
        raise ValueError("a curve needs finite points of two or more sizes, none below 1")
    first = x.min()

    # Of a and of d = first^a + b, which is what the bounds are of.
    def residual(p: np.ndarray) -> np.ndarray:
        return 1 - 1 / (x ** p[0] - first ** p[0] + p[1]) - y

    def jacobian(p: np.ndarray) -> np.ndarray:
        power, least = x ** p[0], first ** p[0]
        inner = 1 / (power - least + p[1]) ** 2
        return np.stack([inner * (power * np.log(x) - least * np.log(first)), inner], axis=1)

    if start is not None:
        begun = [(start.a, first**start.a + start.b)]
    else:
        level = np.mean(y[x == first])
        begun = [(a, 1 / max(1 - level, 1 / DENOMINATORS[1])) for a in STARTS]
    low, high = np.array([EXPONENTS, DENOMINATORS]).T
    found = [
        scipy.optimize.least_squares(
            residual,
            np.clip(np.array(p, np.float64), low, high),
            jacobian,  # type: ignore[arg-type]
            bounds=(low, high),
            x_scale="jac",
        )
        for p in begun
    ]
    a, d = min(found, key=lambda each: each.cost).x
    return Curve(float(a), float(d - first**a))


def extrapolate(
    rows: Sequence[Row],
    sizes: Float[np.ndarray, " n"],
    rng: np.random.Generator,
    *,
    number: int = RESAMPLES,
) -> tuple[Curve, Bounds]:
    """Fit the rows of one method, and return the curve and its bounds at other sizes.

    Args:
        rows: as `learning_curve.learning_curve` returns them.
        sizes: no smaller than the smallest of the rows.
        rng: of the resampled repetitions and residuals.
        number: of resamples.

    Raises:
        ValueError: as `fit_curve`; or a size is smaller than all that were tried.
    """
    x = np.array([float(row["training"]) for row in rows])
    y = np.array([float(row["srocc"]) for row in rows])
    sizes = np.asarray(sizes, np.float64)
    if sizes.min() < x.min():
        raise ValueError(f"size {sizes.min():g} is below {x.min():g}, the smallest that was tried")
    curve = fit_curve(x, y)
    residuals = (y - curve(x))[np.isfinite(y)]
    # A repetition with a correlation at one size only could make a resample without a curve.
    known = np.isfinite(y)
    of = np.array([int(row["repetition"]) for row in rows])
    members = [np.flatnonzero((of == k) & known) for k in np.unique(of)]
    members = [rows for rows in members if len(set(x[rows].tolist())) >= FEWEST_SIZES]
    if not members:
        raise ValueError(f"no repetition has a correlation at {FEWEST_SIZES} or more sizes")
    drawn = np.empty((number, len(sizes)))
    for k in range(number):
        chosen = np.concatenate([members[m] for m in rng.integers(len(members), size=len(members))])
        # Sizes of references may differ between repetitions: a resample can begin above the first.
        drawn[k] = fit_curve(x[chosen], y[chosen], start=curve)(np.maximum(sizes, x[chosen].min()))
    observed = np.minimum(drawn + rng.choice(residuals, drawn.shape), 1)
    tails = ((1 - COVERAGE) / 2, (1 + COVERAGE) / 2)
    low, high = np.quantile(drawn, tails, axis=0)
    observed_low, observed_high = np.quantile(observed, tails, axis=0)
    return curve, Bounds(sizes, curve(sizes), low, high, observed_low, observed_high)
