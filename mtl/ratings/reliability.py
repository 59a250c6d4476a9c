"""How far scores of a crowd can be trusted: agreement of its raters, and with experts.

KonIQ-10k, doi:10.1109/TIP.2020.2967829 (arXiv:1910.06180), sections 4.2 and 4.3.

The paper gives an intra-class correlation of 0.46 and does not say which. Every image is rated by
other workers, so that raters are no factor and it is the one-way one, ICC(1) of P. E. Shrout,
J. L. Fleiss 1979, doi:10.1037/0033-2909.86.2.420 (there ICC(1,1)): from the published counts c1 ...
c5 of KonIQ-10k it comes out as 0.474. With n_j ratings of image j, N in all and k images,

    MSB = sum n_j (mean_j - mean)^2 / (k - 1),   MSW = sum (s_ij - mean_j)^2 / (N - k),
    n_0 = (N - sum n_j^2 / N) / (k - 1),         ICC(1) = (MSB - MSW) / (MSB + (n_0 - 1) MSW);

n_0 in the place of a common n is the estimator of variance components for unequal numbers (S. R.
Searle, G. Casella, C. E. McCulloch, "Variance Components", 1992, section 3.6). ICC(k) is that of
means of n_0 ratings, (MSB - MSW) / MSB.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from mtl.evaluation.correlation import plcc
from mtl.ratings.resampling import interval, resamples, weighted_plcc, weighted_srocc

RESAMPLES = 1000  # of images, for intervals of what costs little


@dataclass(frozen=True)
class Estimate:
    """A number with its bootstrap interval of nominally 95 %."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class IntraClass:
    """Intra-class correlations."""

    single: Estimate
    """ICC(1), of single ratings."""
    mean: Estimate
    """ICC(k), of means of `ratings` ratings."""
    ratings: float
    """n_0."""


@dataclass(frozen=True)
class ExpertAgreement:
    """MOS of the crowd against experts."""

    images: int
    slope: float
    """Of the line of least squares from the crowd's MOS to the experts'."""
    offset: float
    plcc: Estimate
    srocc: Estimate
    rmse: Estimate
    """After the line, on the experts' scale."""


def intra_class(
    value: Float[np.ndarray, " r"],
    image: Int[np.ndarray, " r"],
    images: int,
    rng: np.random.Generator,
    *,
    number: int = RESAMPLES,
) -> IntraClass:
    """One-way random-effects correlations, with intervals from resampled images.

    NaN where there are fewer than two images, no image has two ratings, or all ratings are equal.

    Args:
        value: of each rating, on any scale.
        image: 0 ... images - 1, which it is of.
        images: some may be without ratings, and do not count.
        rng: of the resamples.
        number: of resamples.
    """
    n = np.bincount(image, minlength=images)
    rated = n > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.bincount(image, value, minlength=images) / n
    within = np.bincount(image, (value - mean[image]) ** 2, minlength=images)[rated]
    n, mean = n[rated], mean[rated]
    if len(n) < 2:
        nothing = Estimate(np.nan, np.nan, np.nan)
        return IntraClass(nothing, nothing, float(n.mean()) if len(n) else np.nan)
    weights = np.concatenate([np.ones((1, len(n)), int), resamples(len(n), number, rng)])
    single, of_means, typical = _one_way(n, mean, within, weights)
    return IntraClass(_estimate(single), _estimate(of_means), float(typical[0]))


def _one_way(
    n: np.ndarray, mean: np.ndarray, within: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """ICC(1), ICC(k) and n_0 where image j counts weights[:, j] times."""
    mean = mean - mean.mean()  # sums of squares lose no digits
    images = weights.sum(axis=1)
    total, of_squares = weights @ n, weights @ n**2
    with np.errstate(divide="ignore", invalid="ignore"):
        grand = (weights @ (n * mean)) / total
        between = (weights @ (n * mean**2) - total * grand**2) / (images - 1)
        inside = (weights @ within) / (total - images)
        typical = (total - of_squares / total) / (images - 1)
        single = (between - inside) / (between + (typical - 1) * inside)
        return single, (between - inside) / between, typical


def against_experts(
    crowd: Float[np.ndarray, " n"],
    experts: Float[np.ndarray, " n"],
    rng: np.random.Generator,
    *,
    number: int = RESAMPLES,
) -> ExpertAgreement:
    """Fit a line from the crowd's MOS to the experts', and compare; section 4.2.

    There MOS_experts = 1.12 MOS_crowd - 10.43, with an RMSE of 11.35 of 100. The line is not
    applied to any score.

    Args:
        crowd: MOS of images.
        experts: their scores of the same images, on any scale.
        rng: of the resampled images of the intervals.
        number: of resamples.

    Raises:
        ValueError: fewer than three images, or one of the two is constant.
    """
    if len(crowd) != len(experts) or len(crowd) < 3:
        raise ValueError(f"{len(crowd)} and {len(experts)} scores; three or more pairs are needed")
    if np.ptp(crowd) == 0 or np.ptp(experts) == 0:
        raise ValueError("the scores of one side are all the same; there is no line")
    weights = np.concatenate([np.ones((1, len(crowd)), int), resamples(len(crowd), number, rng)])
    linear = weighted_plcc(crowd, experts, weights)
    total = weights.sum(axis=1, keepdims=True)
    centred = experts - (weights * experts).sum(axis=1, keepdims=True) / total
    variance = (weights * centred**2).sum(axis=1) / total[:, 0]
    # What a line of least squares leaves is the variance times 1 - PLCC^2.
    rmse = np.sqrt(variance * np.clip(1 - linear**2, 0, None))
    slope = float(plcc(crowd, experts) * np.std(experts) / np.std(crowd))
    ranks = weighted_srocc(crowd, experts, weights)
    return ExpertAgreement(
        len(crowd),
        slope,
        float(np.mean(experts) - slope * np.mean(crowd)),
        _estimate(linear),
        _estimate(ranks),
        _estimate(rmse),
    )


def _estimate(values: np.ndarray) -> Estimate:
    """The first value, and the interval of the others."""
    return Estimate(float(values[0]), *interval(values[1:]))
