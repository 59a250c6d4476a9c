"""Rated examples, from which regressors learn: features, scores, and weights of a training part."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mlsp.regression.standardisation import Standard
from mtl.evaluation.splits import Split
from mtl.runtime.files import InputError

# Weights of a training part's pictures from their scores:
# mtl.training.opinions.balancing.proportion_weights.
Weighting = Callable[[Float[np.ndarray, " n"]], Float[np.ndarray, " n"]]


@dataclass(frozen=True)
class Examples:
    """Rated pictures; row k of the features and score k are of one picture.

    Raises:
        ValueError: another number of scores than features, or features that are no matrix.
    """

    features: Float[np.ndarray, "n f"]
    """float16 or float32, which they stay on the device; one row per picture."""
    scores: Float[np.ndarray, " n"]
    """On any scale."""

    def __post_init__(self):
        if self.features.ndim != 2 or len(self.scores) != len(self.features):
            raise ValueError(
                f"{len(self.scores)} scores and features of shape {self.features.shape} do not go"
                " together"
            )


@dataclass(frozen=True)
class PlacedExamples:
    """Finite examples whose features are on the device."""

    features: Float[Array, "n f"]
    scores: Float[np.ndarray, " n"]
    """float64."""


@dataclass(frozen=True)
class Repetition:
    """A split of the examples, and what the regressors of this split are trained with."""

    split: Split
    """Training, validation and test rows; the test part may be empty."""
    standard: Standard
    """Of the training part."""
    targets: Float[np.ndarray, " n"]
    """The scores of all examples, standardised."""
    weights: Float[np.ndarray, " t"] | None
    """Of the training part, in the order of its rows; none weighs all alike."""
    seed: int
    """Of initial weights, order and dropout."""


def placed(examples: Examples) -> PlacedExamples:
    """Put examples on the device.

    Raises:
        InputError: features or scores are not finite.
    """
    features = on_device(examples.features)
    scores = np.asarray(examples.scores, np.float64)
    if not np.isfinite(scores).all():
        raise InputError("some scores are not finite numbers")
    if not bool(_finite(features)):
        raise InputError("some features are not finite numbers; extract them again")
    return PlacedExamples(features, scores)


def on_device(features: Float[np.ndarray, "n f"]) -> Float[Array, "n f"]:
    """Put features on the device; float16 stays, all else becomes float32."""
    half = features.dtype == np.float16
    return jax.device_put(np.asarray(features, np.float16 if half else np.float32))


def repetition_of(
    examples: PlacedExamples, split: Split, *, seed: int, weighting: Weighting | None = None
) -> Repetition:
    """Standardise and weigh examples by the training part of a split."""
    standard = Standard.of(examples.features, examples.scores, split.train)
    weights = None if weighting is None else weighting(examples.scores[split.train])
    return Repetition(split, standard, standard.scores(examples.scores), weights, seed)


def check_parts(split: Split, number: int) -> None:
    """Check that something can be learned from a split, and chosen by it.

    Raises:
        ValueError: it has no training or no validation pictures; names it by its number.
    """
    for part, rows in (("training", split.train), ("validation", split.validation)):
        if not len(rows):
            raise ValueError(f"split {number} has no {part} pictures")


@jax.jit
def _finite(features: Float[Array, "n f"]) -> Array:
    return jnp.isfinite(features).all()
