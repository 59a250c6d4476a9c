"""Rank correlations of many resamples of images at once.

A bootstrap resample of n images is n weights: how often each image was drawn. The midranks of a
resample are sums of weights along the order of the values, which is the same in all resamples, so
that nothing is sorted again. Percentile intervals: B. Efron, R. Tibshirani, "An Introduction to the
Bootstrap", 1993, chapter 13.

`scipy.stats.bootstrap` does not serve here. Its interval is NaN as soon as one resample has no
correlation, as one in nine resamples of three images has none. Nor can it keep a resample for
several groups of raters, each of which has votes on other images.
"""

import numpy as np
from jaxtyping import Float, Int

from mtl.evaluation.correlation import STEP, STEPS

COVERAGE = 0.95  # nominal, of all intervals


def resamples(images: int, number: int, rng: np.random.Generator) -> Int[np.ndarray, "b n"]:
    """Bootstrap weights of images; each row sums to their number."""
    return rng.multinomial(images, np.full(images, 1 / images), size=number)


def weighted_srocc(
    x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"], weights: Int[np.ndarray, "b n"]
) -> Float[np.ndarray, " b"]:
    """Spearman's correlation where image k counts weights[:, k] times, -1..1.

    Ties, those of an image with itself too, have their mean rank. NaN if one side is constant.
    """
    return weighted_plcc(_ranks(x, weights), _ranks(y, weights), weights)


def weighted_plcc(
    x: Float[np.ndarray, "*b n"], y: Float[np.ndarray, "*b n"], weights: Int[np.ndarray, "b n"]
) -> Float[np.ndarray, " b"]:
    """Return Pearson's correlation where image k counts weights[:, k] times, -1..1.

    NaN where the images drawn all have the same x, or the same y.
    """
    total = weights.sum(axis=1, keepdims=True)
    varied = _varied(x, weights) & _varied(y, weights)
    with np.errstate(divide="ignore", invalid="ignore"):
        x = x - (weights * x).sum(axis=1, keepdims=True) / total
        y = y - (weights * y).sum(axis=1, keepdims=True) / total
        xx, yy, xy = ((weights * v).sum(axis=1) for v in (x * x, y * y, x * y))
        return np.where(varied, xy / np.sqrt(xx * yy), np.nan)


def _varied(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Tell for each resample whether the values drawn differ by more than rounding."""
    drawn = weights > 0
    high = np.where(drawn, values, -np.inf).max(axis=1)
    low = np.where(drawn, values, np.inf).min(axis=1)
    return high - low > STEPS * STEP * np.maximum(np.abs(high), np.abs(low))


def _ranks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Midranks 1 ... sum of the weights, for each row of weights."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    last = np.append(ordered[1:] != ordered[:-1], True)  # of each group of equal values
    group = np.cumsum(last) - last
    up_to = np.cumsum(weights[:, order], axis=1)[:, last]
    before = np.concatenate([np.zeros((len(weights), 1), up_to.dtype), up_to[:, :-1]], axis=1)
    ranks = np.empty(weights.shape)
    ranks[:, order] = ((before + up_to + 1) / 2)[:, group]
    return ranks


def interval(samples: Float[np.ndarray, " b"]) -> tuple[float, float]:
    """Lower and upper end of the percentile interval; infinite samples are in their order.

    NaN where no sample is a number.
    """
    known = samples[~np.isnan(samples)]
    if not len(known):
        return float("nan"), float("nan")
    tail = (1 - COVERAGE) / 2
    # Between an infinite and a finite sample nothing can be interpolated.
    method = "linear" if np.isfinite(known).all() else "inverted_cdf"
    low, high = np.quantile(known, (tail, 1 - tail), method=method)
    return float(low), float(high)
