"""Splits into training, validation and test parts that share no reference.

DeepFL-IQA, arXiv:2001.08113, section V-B: random splits of 60 % training, 20 % validation and 20 %
test "on the basis of the content of reference images so there is no content overlapping".
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

VALIDATION_SHARE, TEST_SHARE = 0.2, 0.2
FEWEST_GROUPS = 3  # one for each part


@dataclass(frozen=True)
class Split:
    """Row indices of the three parts; no group is in two of them."""

    train: Int[np.ndarray, " a"]
    validation: Int[np.ndarray, " b"]
    test: Int[np.ndarray, " c"]


def split_by_group(groups: Sequence[str], *, seed: int, repetition: int) -> Split:
    """One random 60/20/20 split of the groups (references), at least one group in each part.

    Depends on the set of groups, the seed and the repetition, not on the rows' order.

    Raises:
        ValueError: there are fewer than three groups.
    """
    names = sorted(set(groups))
    if len(names) < FEWEST_GROUPS:
        raise ValueError(
            f"{len(names)} reference(s) cannot be split; at least {FEWEST_GROUPS} are needed"
        )
    order = np.random.default_rng([seed, repetition]).permutation(len(names))
    tests = max(1, round(TEST_SHARE * len(names)))
    validations = max(1, round(VALIDATION_SHARE * len(names)))
    place = {names[group]: position for position, group in enumerate(order)}
    position = np.array([place[group] for group in groups])
    return Split(
        np.flatnonzero(position >= tests + validations),
        np.flatnonzero((position >= tests) & (position < tests + validations)),
        np.flatnonzero(position < tests),
    )
