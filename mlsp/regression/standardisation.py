"""Features and scores with mean 0 and deviation 1 over a training part."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int


@dataclass(frozen=True)
class Standard:
    """Standardisation by a training part's statistics."""

    feature_mean: Float[np.ndarray, " f"]
    feature_deviation: Float[np.ndarray, " f"]
    score_mean: float
    score_deviation: float

    @classmethod
    def of(cls, features: Float[Array, "n f"], scores: np.ndarray, rows: np.ndarray) -> "Standard":
        """Measure mean and deviation of some rows; a constant column keeps deviation 1."""
        mean, deviation = statistics(features, jnp.asarray(rows))
        spread = float(np.std(scores[rows]))
        return cls(
            np.asarray(mean),
            np.asarray(deviation),
            float(np.mean(scores[rows])),
            spread if spread > 0 else 1.0,
        )

    def features(self, features: Float[np.ndarray, "n f"]) -> Float[np.ndarray, "n f"]:
        """Return features with mean 0 and deviation 1 over the training part."""
        return (np.asarray(features, np.float32) - self.feature_mean) / self.feature_deviation

    def scores(self, scores: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Return scores with mean 0 and deviation 1 over the training part."""
        return ((scores - self.score_mean) / self.score_deviation).astype(np.float32)

    def back(self, standardised: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Return standardised scores on the users' scale."""
        return standardised.astype(np.float64) * self.score_deviation + self.score_mean


@jax.jit
def statistics(
    features: Float[Array, "n f"], rows: Int[Array, " t"]
) -> tuple[Float[Array, " f"], Float[Array, " f"]]:
    """Return mean and deviation of some rows; the deviation of a constant feature is 1.

    Measured from the first of the rows, a constant is 0 exactly, whatever is rounded.
    """
    first = features[rows[0]].astype(jnp.float32)
    difference = features[rows].astype(jnp.float32) - first
    mean = difference.mean(axis=0)
    deviation = jnp.sqrt(((difference - mean) ** 2).mean(axis=0))
    return first + mean, jnp.where(deviation > 0, deviation, 1)
