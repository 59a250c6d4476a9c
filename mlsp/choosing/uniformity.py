"""How uniform the histograms of a choice are.

Uniformity is the entropy of the histogram divided by the logarithm of its number of bins: 1 where
all bins hold as many. Small sets have lower ones by chance, so that of random choices of K
photographs is given beside it.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from mlsp.choosing.indicators import CONTENT, INDICATORS

RANDOM_CHOICES = 20  # whose mean uniformity is given beside the choice's


@dataclass(frozen=True)
class Uniformity:
    """Of an indicator's histogram, 0..1."""

    bins: int
    before: float
    """Of the photographs there were to choose from."""
    random: float
    """Mean of random choices of as many photographs."""
    after: float
    """Of the chosen."""


def uniformity(bins: Int[np.ndarray, " n"], number: int) -> float:
    """Entropy of a histogram of `number` bins as a share of the largest possible, 0..1."""
    if number == 1:
        return 1.0
    shares = np.bincount(bins, minlength=number) / len(bins)
    shares = shares[shares > 0]
    return float(-(shares * np.log(shares)).sum() / np.log(number))


def uniformities(
    binned: Int[np.ndarray, "n d"], bins: int, final: Bool[np.ndarray, " n"]
) -> dict[str, Uniformity]:
    """By indicator, of a choice among photographs.

    Args:
        binned: a row per photograph there was to choose from, a column per indicator, the cluster
            last.
        bins: of each indicator but the content, which has as many as there are clusters.
        final: the chosen.
    """
    rng = np.random.default_rng(0)
    size = int(final.sum())
    random = [rng.choice(len(final), size, replace=False) for _ in range(RANDOM_CHOICES)]
    found = {}
    for name, column in zip([*INDICATORS, CONTENT], binned.T, strict=True):
        number = bins if name != CONTENT else int(column.max()) + 1
        chance = float(np.mean([uniformity(column[rows], number) for rows in random]))
        found[name] = Uniformity(
            number,
            *(
                round(value, 4)
                for value in (
                    uniformity(column, number),
                    chance,
                    uniformity(column[final], number),
                )
            ),
        )
    return found
