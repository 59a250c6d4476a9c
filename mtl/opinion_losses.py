"""Losses between predicted and human opinions: of a score, or of the distribution of ratings.

KonIQ-10k, doi:10.1109/TIP.2020.2967829 (arXiv:1910.06180), section 5.2. A picture's ratings 1..N
(N = 5) have the shares p = (p_1, ..., p_N); the network predicts p̂ by a soft-max, or the score q̂ by
a linear output. All losses here are means over the pictures of a batch, in float32 or wider.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jaxtyping import Array, Float

from mtl.model import Opinion

RATINGS = 5  # steps of the absolute category rating scale, 1 (bad) to 5 (excellent)

HUBER_DELTA = 1 / 9  # section 5.2.2, after DeepRN (doi:10.1109/ICME.2018.8486528)


def mean_absolute_error(
    predicted: Float[Array, "n 1"], target: Float[Array, "n 1"]
) -> Float[Array, ""]:
    """L(q, q̂) = |q - q̂|.

    Raises:
        ValueError: the shapes differ (broadcasting would hide it).
    """
    _check(predicted, target)
    return jnp.mean(jnp.abs(predicted - target))


def mean_squared_error(
    predicted: Float[Array, "n 1"], target: Float[Array, "n 1"]
) -> Float[Array, ""]:
    """L(q, q̂) = (q - q̂)².

    Raises:
        ValueError: the shapes differ.
    """
    _check(predicted, target)
    return jnp.mean((predicted - target) ** 2)


def cross_entropy(
    log_predicted: Float[Array, "n r"], target: Float[Array, "n r"]
) -> Float[Array, ""]:
    """L(p, p̂) = -Σ_n p_n log p̂_n, from the logarithms; a rating nobody gave (p_n = 0) adds nothing.

    From logarithms because a soft-max that underflows has none.

    Raises:
        ValueError: the shapes differ.
    """
    _check(log_predicted, target)
    given = target > 0
    terms = jnp.where(given, target * jnp.where(given, log_predicted, 0), 0)
    return -jnp.mean(terms.sum(axis=-1))


def huber(
    predicted: Float[Array, "n r"], target: Float[Array, "n r"], delta: float = HUBER_DELTA
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
    return jnp.mean((inside**2 / 2 + delta * (size - inside)).sum(axis=-1))


def earth_movers_distance(
    predicted: Float[Array, "n r"], target: Float[Array, "n r"]
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
    return jnp.mean(jnp.where(differs, jnp.sqrt(jnp.where(differs, squares, 1)), 0))


def expected_score(distribution: Float[Array, "n r"]) -> Float[Array, " n"]:
    """MOS(p) = Σ_n n p_n / Σ_n p_n, 1..N; of shares or counts, NumPy in and NumPy out, or JAX."""
    ratings = range(1, distribution.shape[-1] + 1)
    weighted = sum(n * distribution[..., n - 1] for n in ratings)
    return weighted / distribution.sum(axis=-1)


def opinion_scores(
    opinion: Opinion, outputs: Float[np.ndarray, "n k"]
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, "n r"] | None]:
    """Scores on the raters' scale, and the distributions they are the means of, if there are any.

    Args:
        opinion: what the outputs mean.
        outputs: of the network's last layer.
    """
    outputs = np.asarray(outputs, np.float64)
    if opinion.outputs == 1:
        return opinion.lowest + (opinion.highest - opinion.lowest) * outputs[:, 0], None
    distribution = scipy.special.softmax(outputs, axis=1)
    return expected_score(distribution), distribution


@dataclass(frozen=True)
class OpinionLoss:
    """A loss as a function of what the network's last layer gives."""

    outputs: int
    """Units of the last layer: 1 for a score, RATINGS for a distribution."""
    function: Callable[[Array, Array], Array]
    """(outputs (n, k), targets (n, k)) → mean loss; the outputs are taken before the soft-max."""


# The paper's five, in its order.
LOSSES: Mapping[str, OpinionLoss] = {
    "mae": OpinionLoss(1, mean_absolute_error),
    "mse": OpinionLoss(1, mean_squared_error),
    "cross_entropy": OpinionLoss(
        RATINGS, lambda outputs, target: cross_entropy(jax.nn.log_softmax(outputs), target)
    ),
    "huber": OpinionLoss(RATINGS, lambda outputs, target: huber(jax.nn.softmax(outputs), target)),
    "emd": OpinionLoss(
        RATINGS, lambda outputs, target: earth_movers_distance(jax.nn.softmax(outputs), target)
    ),
}


def _check(predicted: Array, target: Array) -> None:
    if predicted.shape != target.shape:
        raise ValueError(f"predicted has shape {predicted.shape}, target {target.shape}")
