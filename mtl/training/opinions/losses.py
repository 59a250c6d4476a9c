"""Losses between predicted and human opinions: of a score, or of the distribution of ratings.

KonIQ-10k, doi:10.1109/TIP.2020.2967829 (arXiv:1910.06180), section 5.2. A picture's ratings 1..N
(N = 5) have the shares p = (p_1, ..., p_N); the network predicts p̂ by a soft-max, or the score q̂ by
a linear output. These losses are means over the pictures of a batch, in float32 or wider; with
weights w_i (mtl.training.opinions.balancing) the mean of w_i L_i.

`plcc_loss` and `norm_in_norm` compare a batch as a whole. They do not see a positive slope or an
offset of the predictions, which `line_onto` finds afterwards. With weights a picture of weight w
counts as w pictures.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jaxtyping import Array, Float

from mtl.network.model import Opinion
from mtl.ratings.distributions import RATINGS, expected_score
from mtl.training.opinions.balancing import CLASSES, class_centres

# Added to a variance or a norm, so that equal predictions have a finite gradient; the value is that
# of the authors' program of norm-in-norm.
TINY = 1e-8

HUBER_DELTA = 1 / 9  # section 5.2.2, after DeepRN (doi:10.1109/ICME.2018.8486528)


def mean_absolute_error(
    predicted: Float[Array, "n 1"],
    target: Float[Array, "n 1"],
    weights: Float[Array, " n"] | None = None,
) -> Float[Array, ""]:
    """L(q, q̂) = |q - q̂|.

    Raises:
        ValueError: the shapes differ (broadcasting would hide it).
    """
    _check(predicted, target)
    return _mean(jnp.abs(predicted - target)[:, 0], weights)


def mean_squared_error(
    predicted: Float[Array, "n 1"],
    target: Float[Array, "n 1"],
    weights: Float[Array, " n"] | None = None,
) -> Float[Array, ""]:
    """L(q, q̂) = (q - q̂)².

    Raises:
        ValueError: the shapes differ.
    """
    _check(predicted, target)
    return _mean(((predicted - target) ** 2)[:, 0], weights)


def cross_entropy(
    log_predicted: Float[Array, "n r"],
    target: Float[Array, "n r"],
    weights: Float[Array, " n"] | None = None,
) -> Float[Array, ""]:
    """L(p, p̂) = -Σ_n p_n log p̂_n, from the logarithms; a rating nobody gave (p_n = 0) adds nothing.

    From logarithms because a soft-max that underflows has none.

    Raises:
        ValueError: the shapes differ.
    """
    _check(log_predicted, target)
    given = target > 0
    terms = jnp.where(given, target * jnp.where(given, log_predicted, 0), 0)
    return -_mean(terms.sum(axis=-1), weights)


def huber(
    predicted: Float[Array, "n r"],
    target: Float[Array, "n r"],
    delta: float = HUBER_DELTA,
    weights: Float[Array, " n"] | None = None,
) -> Float[Array, ""]:
    """L(p, p̂) = Σ_n h(p_n - p̂_n), h(x) = x²/2 where |x| <= δ and δ (|x| - δ/2) elsewhere.

    P. J. Huber 1964, doi:10.1214/aoms/1177703732.

    Raises:
        ValueError: the shapes differ.
    """
    _check(predicted, target)
    size = jnp.abs(predicted - target)
    inside = jnp.minimum(size, delta)
    # Within δ the second term is nothing, beyond it the first is δ²/2: one formula, no branch.
    return _mean((inside**2 / 2 + delta * (size - inside)).sum(axis=-1), weights)


def earth_movers_distance(
    predicted: Float[Array, "n r"],
    target: Float[Array, "n r"],
    weights: Float[Array, " n"] | None = None,
) -> Float[Array, ""]:
    """L(p, p̂) = (1/N Σ_n (c_n - ĉ_n)²)^(1/2), c and ĉ the cumulative distributions.

    The root is taken per picture. Where both are equal the gradient, which is not defined, is 0.
    H. Talebi, P. Milanfar 2018, doi:10.1109/TIP.2018.2831899, with r = 2.

    Raises:
        ValueError: the shapes differ.
    """
    _check(predicted, target)
    squares = jnp.mean(jnp.cumsum(predicted - target, axis=-1) ** 2, axis=-1)
    differs = squares > 0
    return _mean(jnp.where(differs, jnp.sqrt(jnp.where(differs, squares, 1)), 0), weights)


def plcc_loss(
    predicted: Float[Array, "n 1"],
    target: Float[Array, "n 1"],
    weights: Float[Array, " n"] | None = None,
) -> Float[Array, ""]:
    """(1 - PLCC) / 2 of the batch, 0..1; 1/2 where one of the two is constant.

    Raises:
        ValueError: the shapes differ.
    """
    _check(predicted, target)
    share = _shares(predicted, weights)
    x, y = (v - (share * v).sum() for v in (predicted[:, 0], target[:, 0]))
    covariance, x2, y2 = ((share * product).sum() for product in (x * y, x * x, y * y))
    return (1 - covariance / jnp.sqrt((x2 + TINY) * (y2 + TINY))) / 2


def norm_in_norm(
    predicted: Float[Array, "n 1"],
    target: Float[Array, "n 1"],
    weights: Float[Array, " n"] | None = None,
    p: float = 1.0,
    q: float = 2.0,
) -> Float[Array, ""]:
    """Σ_i |â_i - a_i|^p / c^p, 0..1, of predictions and scores with mean 0 and q-norm 1.

    â_i = (q̂_i - mean q̂) / ‖q̂ - mean q̂‖_q, a_i likewise of the scores q_i, and with n pictures
    c = 2^max(1, 1/q) n^max(0, 1/p - 1/q): for p = 1 and q = 2, the paper's choice, the sum of the
    absolute differences over 2 √n; for p = q = 2 it is (1 - PLCC) / 2.
    D. Li, T. Jiang, M. Jiang 2020, doi:10.1145/3394171.3413804 (arXiv:2008.03889).

    Raises:
        ValueError: the shapes differ, or an exponent is below 1.
    """
    _check(predicted, target)
    if p < 1 or q < 1:
        raise ValueError(f"the exponents p {p} and q {q} must be at least 1")
    n = len(predicted)
    share = _shares(predicted, weights)

    def normalised(x):
        x = x - (share * x).sum()
        return x / (n * (share * jnp.abs(x) ** q).sum() + TINY**q) ** (1 / q)

    difference = jnp.abs(normalised(predicted[:, 0]) - normalised(target[:, 0])) ** p
    scale = 2 ** max(1.0, 1 / q) * n ** max(0.0, 1 / p - 1 / q)
    return n * (share * difference).sum() / scale**p


def line_onto(
    predicted: Float[np.ndarray, " n"], true: Float[np.ndarray, " n"]
) -> tuple[float, float]:
    """Return slope and offset that bring predictions onto the scores' scale, never turned round.

    The straight line of least squares; where its slope is not positive, the line that gives the
    predictions the scores' mean and deviation. Equal predictions keep slope 1.
    """
    x, y = np.asarray(predicted, np.float64), np.asarray(true, np.float64)
    mean, deviation = x.mean(), x.std()
    slope = 1.0
    # Not above zero alone: predictions that differ by rounding have no scale.
    if deviation > np.finfo(np.float32).eps * np.abs(x).max():
        fitted = float(np.mean((x - mean) * (y - y.mean()))) / deviation**2
        slope = fitted if fitted > 0 else float(y.std() / deviation)
    return slope, float(y.mean() - slope * mean)


def opinion_scores(
    opinion: Opinion, outputs: Float[np.ndarray, "n k"]
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, "n r"] | None]:
    """Return scores on the raters' scale, and the distributions they are the means of, if any.

    Of classes (Opinion.classes) the score is the expectation over their centres.

    Args:
        opinion: what the outputs mean.
        outputs: of the network's last layer.
    """
    outputs = np.asarray(outputs, np.float64)
    if opinion.outputs == 1:
        return opinion.lowest + (opinion.highest - opinion.lowest) * outputs[:, 0], None
    distribution = scipy.special.softmax(outputs, axis=1)
    if opinion.classes:
        return distribution @ class_centres(opinion.lowest, opinion.highest), distribution
    return expected_score(distribution), distribution


@dataclass(frozen=True)
class OpinionLoss:
    """A loss as a function of what the network's last layer gives."""

    outputs: int
    """Units of the last layer: 1 for a score, CLASSES for classes, RATINGS for a distribution,
    whose function takes that of any number of ratings."""
    function: Callable[..., Array]
    """(outputs (n, k), targets (n, k), weights (n,) or none) → mean loss; the outputs are taken
    before the soft-max."""
    scale_free: bool = False
    """Whether slope and offset of the outputs are left to `line_onto`."""
    distributed: bool = False
    """Whether it is of the distribution of the ratings."""


def _softmax_cross_entropy(outputs, target, weights=None):
    return cross_entropy(jax.nn.log_softmax(outputs), target, weights)


# KonIQ-10k's five, in its order; two of a batch as a whole; DeepBIQ's classes
# (mtl.training.opinions.balancing).
LOSSES: Mapping[str, OpinionLoss] = {
    "mae": OpinionLoss(1, mean_absolute_error),
    "mse": OpinionLoss(1, mean_squared_error),
    "cross_entropy": OpinionLoss(RATINGS, _softmax_cross_entropy, distributed=True),
    "huber": OpinionLoss(
        RATINGS,
        lambda outputs, target, weights=None: huber(
            jax.nn.softmax(outputs), target, weights=weights
        ),
        distributed=True,
    ),
    "emd": OpinionLoss(
        RATINGS,
        lambda outputs, target, weights=None: earth_movers_distance(
            jax.nn.softmax(outputs), target, weights
        ),
        distributed=True,
    ),
    "plcc": OpinionLoss(1, plcc_loss, scale_free=True),
    "norm-in-norm": OpinionLoss(1, norm_in_norm, scale_free=True),
    "classes": OpinionLoss(CLASSES, _softmax_cross_entropy),
}


def _mean(each: Float[Array, " n"], weights: Float[Array, " n"] | None) -> Float[Array, ""]:
    return jnp.mean(each if weights is None else weights * each)


def _shares(predicted: Array, weights: Array | None) -> Array:
    """Return the shares of the pictures of a batch in its sums; they add up to 1."""
    if weights is None:
        return jnp.full(len(predicted), 1 / len(predicted), predicted.dtype)
    return weights / weights.sum()


def _check(predicted: Array, target: Array) -> None:
    if predicted.shape != target.shape:
        raise ValueError(f"predicted has shape {predicted.shape}, target {target.shape}")
