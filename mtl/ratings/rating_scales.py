"""The scale of a table's scores and the deviations in their unit, told from the figures alone.

The names of columns, of the file and of the database say nothing: `MOS,SD` is `score,sd`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from mtl.evaluation.correlation import srocc
from mtl.ratings.distributions import RATINGS, expected_score
from mtl.runtime.files import InputError
from mtl.runtime.tables.columns import SCORE, STD, named_like
from mtl.runtime.tables.csv_tables import Row

SD = "SD"
"""KonIQ-10k's standard deviation of the ratings, whose counts stand beside it."""

# Scores are on the scale of the counted ratings if they differ from their means by less than this,
# the median of all pictures; ratings are 1 apart.
SAME_SCALE = 0.5

NO_STD = "the table has no column std"
OTHER_SCALE = "SD is that of the ratings, which are on another scale than the scores"

# KonIQ-10k's scores where they are not on the scale of the counts, as in its table with the
# official split.
KONIQ_SCALE = (0.0, 100.0)

# A deviation with n - 1 is at most sqrt(n / (n - 1)) times that of the population: of two ratings,
# the fewest that have one.
FEWEST_RATINGS = 2
# Means and deviations that are rounded to one decimal differ from their own by this at most.
ROUNDING = 0.05

# Scores and counts of the same ratings rank pictures alike, KonIQ-10k's with an SROCC of 0.99. Of
# unrelated ones ten pictures have less than this in one case of fourteen.
OPPOSED, FEWEST_RANKED = -0.5, 10


def read_deviations(rows: Sequence[Row], column: str) -> Float[np.ndarray, " n"]:
    """Return a column of standard deviations.

    Raises:
        InputError: one of them is no number, or is negative.
    """
    values = [row.number(column) for row in rows]
    for row, value in zip(rows, values, strict=True):
        if value < 0:
            raise row.error(f"{column} is {value:g}; deviations must be at least 0")
    return np.array(values)


def scale_and_deviations(
    rows: Sequence[Row],
    found: Mapping[str, str],
    scores: Float[np.ndarray, " n"],
    distributions: Float[np.ndarray, "n k"] | None,
) -> tuple[tuple[float, float] | None, Float[np.ndarray, " n"] | None, str]:
    """Return the ends of the scale, the deviations, and the reason where there are none.

    The scale is 1..K where K ratings are counted and their means are the scores, and 1..5 where
    there are no counts and all scores and deviations could be those of ratings 1..5. Scores beside
    counts on another scale and an SD are 0..100, as KonIQ-10k's. The scale is None otherwise.

    SD is in the unit of the scores unless counts show that they are on another scale.

    Args:
        rows: of the table.
        found: its columns, by the keys of `mtl.runtime.tables.columns.USUAL`.
        scores: as they are in the table, or the mean ratings.
        distributions: shares of the ratings, where they are counted.
    """
    sd = named_like(rows[0], SD)
    column = found.get(STD, sd)
    values = None if column is None else read_deviations(rows, column)
    if distributions is None:
        five = values is not None and _can_be_ratings(scores, values, RATINGS)
        scale = (1.0, float(RATINGS)) if five else None
        return scale, values, "" if values is not None else NO_STD
    most = distributions.shape[1]
    apart = np.abs(scores - expected_score(distributions))
    if ((scores >= 1) & (scores <= most)).all() and np.median(apart) < SAME_SCALE:
        return (1.0, float(most)), values, "" if values is not None else NO_STD
    low, high = KONIQ_SCALE
    published = sd is not None and SCORE in found and ((scores >= low) & (scores <= high)).all()
    scale = KONIQ_SCALE if published else None
    if STD in found:
        return scale, values, ""
    return scale, None, NO_STD if sd is None else OTHER_SCALE


def check_same_direction(
    table: Path,
    score: str,
    scores: Float[np.ndarray, " n"],
    distributions: Float[np.ndarray, "n k"],
) -> None:
    """Refuse a score that falls where the mean of the counted ratings rises.

    Args:
        table: for messages.
        score: its column.
        scores: as they are in the table.
        distributions: shares of the ratings.

    Raises:
        InputError: the scores are those of the counts turned round, or rank the pictures the other
            way.
    """
    means = expected_score(distributions)
    apart, from_turned = (
        np.median(np.abs(scores - its)) for its in (means, distributions.shape[1] + 1 - means)
    )
    mirrored = from_turned < SAME_SCALE and apart >= 2 * SAME_SCALE
    opposed = len(scores) >= FEWEST_RANKED and srocc(means, scores) < OPPOSED
    if mirrored or opposed:
        raise InputError(
            f"{table}: {score} falls where the ratings that c1 (worst), c2, ... count rise;"
            " turn one of them round, or remove it"
        )


def _can_be_ratings(
    means: Float[np.ndarray, " n"], deviations: Float[np.ndarray, " n"], most: int
) -> bool:
    """Return whether ratings 1..most can have these means and deviations, but for rounding.

    Of all ratings with one mean, those at the two ends alone have the largest variance,
    (mean - 1)(most - mean).
    """
    if ((means < 1) | (means > most)).any():
        return False
    variances = (means - 1 + ROUNDING) * (most - means + ROUNDING)
    largest = np.sqrt(variances * FEWEST_RATINGS / (FEWEST_RATINGS - 1))
    return bool((deviations <= largest + ROUNDING).all())
