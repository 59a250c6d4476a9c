"""Training and test parts with opposite distributions of scores: KonIQ-10k-LT.

D. Yuan, L. Wang, "KonIQ-10k-LT: Overcoming Score Priors in Blind Image Quality Assessment Under
Imbalanced Distributions", section III: the scores, 0..100, fall into 20 bins of width 5; of the
lowest bin 0.1 is for training and 0.9 for testing, of the highest 0.9 and 0.1. Its remedy,
Proportion Weighted Balancing, is `mtl.training.opinions.balancing.proportion_weights`.

What the paper leaves open: the shares between the two ends, here rising evenly from bin to bin; the
draw, here at random within each bin; halves of pictures, here rounded up for training; the edges,
here in the bin below, as in mtl.training.opinions.balancing; and the validation part, as
"validation" and "test" name the same there. Here it is a share of each bin's training pictures, so
that it is distributed as the training part is: whoever chooses by it knows no more than whoever
trains.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from mtl.evaluation.splits import VALIDATION_SHARE, Split
from mtl.runtime.files import InputError
from mtl.training.opinions.balancing import segments_of

BINS = 20
LEAST_SHARE, LARGEST_SHARE = 0.1, 0.9  # of a bin, for training


@dataclass(frozen=True)
class ScoreScale:
    """The ends of the possible scores; those of KonIQ-10k's published ones where not given."""

    lowest: float = 0.0
    highest: float = 100.0


KONIQ_SCALE = ScoreScale()


def training_shares() -> Float[np.ndarray, " b"]:
    """Return the share for training of each bin's pictures, from the lowest scores on."""
    return np.linspace(LEAST_SHARE, LARGEST_SHARE, BINS)


def opposing_split(
    scores: Float[np.ndarray, " n"],
    *,
    seed: int,
    repetition: int = 0,
    scale: ScoreScale = KONIQ_SCALE,
    validation: float = VALIDATION_SHARE,
    references: Sequence[str] | None = None,
) -> Split:
    """Return a random split in which high scores are for training and low ones for testing.

    Args:
        scores: of the pictures, each of its own content.
        seed: decides, with the repetition, which pictures of a bin are which.
        repetition: number of the split.
        scale: the possible scores, which are cut into bins.
        validation: share, 0..1, of the training pictures of each bin that validate.
        references: of each picture, to make sure that all are different.

    Raises:
        InputError: scores outside the range, pictures that share a reference, or so few that a
            part is empty.
        ValueError: the range is empty, or the share of validation is not within 0..1.
    """
    scores = np.asarray(scores, np.float64)
    if not 0 <= validation <= 1:
        raise ValueError(f"the share of validation {validation} must be within 0..1")
    lowest, highest = scale.lowest, scale.highest
    if not ((scores >= lowest) & (scores <= highest)).all():
        raise InputError(
            f"scores of {scores.min():g}..{scores.max():g} are not all within"
            f" {lowest:g}..{highest:g}; give the scale's lowest and highest score"
        )
    if references is not None and len(set(references)) < len(scores):
        raise InputError(
            "an opposing split parts pictures by their scores and would part those of one"
            " reference; use it with a database where each picture has its own content"
        )
    bins = segments_of(scores, lowest, highest, BINS)
    rng = np.random.default_rng([seed, repetition])
    parts: tuple[list[np.ndarray], ...] = ([], [], [])
    for number, share in enumerate(training_shares()):
        rows = rng.permutation(np.flatnonzero(bins == number))
        trained = _rounded(share * len(rows))
        validated = _rounded(validation * trained)
        bounds = (trained - validated, trained)
        for part, chosen in zip(parts, np.split(rows, bounds), strict=True):
            part.append(chosen)
    train, validated, test = (np.sort(np.concatenate(part)) for part in parts)
    if not (len(train) and len(test)) or (validation > 0 and not len(validated)):
        raise InputError(
            f"{len(scores)} pictures are too few for an opposing split; a part would be empty"
        )
    return Split(train, validated, test)


def gap(balanced: Mapping[str, float], opposed: Mapping[str, float]) -> dict[str, float]:
    """Return how much each measure loses by the opposing split: balanced minus opposed.

    Section IV, tables I and II: PLCC and SRCC on KonIQ-10k less those on KonIQ-10k-LT. (CNNIQA's
    gap of SRCC is printed as 0.091 there and is 0.752 - 0.659 = 0.093.)

    Raises:
        ValueError: the two have different measures.
    """
    if balanced.keys() != opposed.keys():
        raise ValueError(f"{sorted(balanced)} and {sorted(opposed)} are different measures")
    return {name: balanced[name] - opposed[name] for name in balanced}


def _rounded(number: float) -> int:
    """Round to the nearest integer, halves up; what is a half but for rounding errors is one."""
    return int(np.floor(number + 0.5 + 1e-9))
