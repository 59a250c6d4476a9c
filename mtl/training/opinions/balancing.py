"""Weights by how rare a score is, and the classes that scores fall into.

KonIQ-10k-LT (D. Yuan, L. Wang), section V, Proportion Weighted Balancing: the range of scores is
cut into K = 20 segments of equal width, and a picture whose segment holds the share p of the
training part weighs w = 1 / (p + ε), equation (1); a loss is the mean of w_i L_i, equation (5).

DeepBIQ, arXiv:1602.05531, sections 2.3 and 3.3: five classes, bad [0, 20], poor ]20, 40], fair
]40, 60], good ]60, 80] and excellent ]80, 100]; a picture weighs the number of pictures in the
largest class over that in its own.

What the papers leave open: ε is "a small constant", here 1e-6; a score on an edge belongs to the
segment below it, as in DeepBIQ and as `bucketize` of the common frameworks has it; "the range of
possible scores" is an argument, and what lies outside counts as the nearest segment's. The weights
are not scaled to mean 1: Adam does not see the scale of a loss.
"""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

SEGMENTS = 20  # K of equal width; KonIQ-10k-LT, section I
EPSILON = 1e-6  # of equation (1)

CLASSES = 5  # DeepBIQ, section 2.3


def segments_of(
    scores: Float[Any, "..."], lowest: float, highest: float, segments: int
) -> Int[Any, "..."]:
    """Return the number 0..segments - 1 of each score's segment ]b_k, b_(k+1)], the first with b_0.

    Works on NumPy's and on JAX's arrays, inside compiled programs too.

    Raises:
        ValueError: the range is empty or there is no segment.
    """
    if not (lowest < highest and np.isfinite(highest - lowest)) or segments < 1:
        raise ValueError(f"{segments} segments of {lowest}..{highest}: the range is empty")
    xp = np if isinstance(scores, np.ndarray) else jnp
    # Multiplied before it is divided, so that scores on an edge such as 60 of 100 are exact.
    place = xp.ceil((scores - lowest) * segments / (highest - lowest)) - 1
    return xp.clip(place, 0, segments - 1).astype(np.int32)


def class_centres(lowest: float, highest: float) -> Float[np.ndarray, " c"]:
    """Return the middle of each of the five classes: 10, 30, ... 90 on a scale of 0..100."""
    return lowest + (highest - lowest) * (np.arange(CLASSES) + 0.5) / CLASSES


@dataclass(frozen=True)
class SegmentWeights:
    """Weight of a picture by the segment its score is in."""

    lowest: float
    highest: float
    weights: Float[np.ndarray, " k"]

    def __call__(self, scores: Float[Any, " n"]) -> Float[Any, " n"]:
        """Return the weights of scores, NumPy in and NumPy out, or JAX."""
        place = segments_of(scores, self.lowest, self.highest, len(self.weights))
        if isinstance(scores, np.ndarray):
            return self.weights[place]
        return jnp.asarray(self.weights, jnp.float32)[place]


def segment_weights(
    scores: Float[np.ndarray, " n"],
    lowest: float | None = None,
    highest: float | None = None,
) -> SegmentWeights:
    """Weigh by Proportion Weighted Balancing of a training part's scores; equal scores weigh 1.

    Args:
        scores: of the training part.
        lowest: of the possible scores; of these scores where not given.
        highest: of the possible scores; of these scores where not given.

    Raises:
        ValueError: the lowest possible score is above the highest.
    """
    scores = np.asarray(scores)
    lowest = float(scores.min()) if lowest is None else lowest
    highest = float(scores.max()) if highest is None else highest
    if lowest == highest:
        return SegmentWeights(lowest - 0.5, highest + 0.5, np.ones(SEGMENTS))
    place = segments_of(scores, lowest, highest, SEGMENTS)
    proportions = np.bincount(place, minlength=SEGMENTS) / len(scores)
    return SegmentWeights(lowest, highest, 1 / (proportions + EPSILON))


def proportion_weights(scores: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Weigh training pictures by Proportion Weighted Balancing over the scores' own range."""
    scores = np.asarray(scores)
    return segment_weights(scores)(scores)


def class_weights(classes: Int[np.ndarray, " n"]) -> Float[np.ndarray, " c"]:
    """Weigh each class by the largest frequency over its own; 1 for a class nobody is in.

    DeepBIQ, section 3.3.
    """
    numbers = np.bincount(classes, minlength=CLASSES)
    return np.where(numbers > 0, numbers.max() / np.maximum(numbers, 1), 1.0)
