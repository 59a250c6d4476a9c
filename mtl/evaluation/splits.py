"""Splits into training, validation and test parts that share no reference.

DeepFL-IQA, arXiv:2001.08113, section V-B: random splits of 60 % training, 20 % validation and 20 %
test "on the basis of the content of reference images so there is no content overlapping".
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

VALIDATION_SHARE, TEST_SHARE = 0.2, 0.2
FEWEST_GROUPS = 3  # one for each part
FEWEST_PICTURES = 3  # to learn from or to test on; two always correlate with 1 or -1


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


def with_validation(split: Split, groups: Sequence[str], *, seed: int) -> Split:
    """Return a split without a validation part with one that is drawn from its training part.

    A quarter of the training groups, at least one, validates: the ratio of DeepFL-IQA's 60/20.

    Args:
        split: row numbers.
        groups: of each row.
        seed: decides which groups are drawn.

    Raises:
        ValueError: the training part has fewer than two groups.
    """
    names = sorted({groups[row] for row in split.train})
    if len(names) < 2:
        raise ValueError("has no validation part and too few training pictures to draw one from")
    share = VALIDATION_SHARE / (1 - TEST_SHARE)
    order = np.random.default_rng(seed).permutation(len(names))
    drawn = {names[k] for k in order[: max(1, round(share * len(names)))]}
    validates = np.array([groups[row] in drawn for row in split.train], bool)
    return Split(split.train[~validates], split.train[validates], split.test)


def restricted(split: Split, rows: Int[np.ndarray, " u"]) -> Split:
    """Return a split of some rows with the places of its row numbers among them.

    Args:
        split: row numbers, all of which are among `rows`.
        rows: row numbers, rising.
    """
    return Split(*(np.searchsorted(rows, part) for part in _parts(split).values()))


def check_sides(split: Split, groups: Sequence[str]) -> None:
    """Check that no group is in two parts of a split.

    Raises:
        ValueError: one is; names it and the parts.
    """
    sides: dict[str, str] = {}
    for name, rows in _parts(split).items():
        for row in rows:
            side = sides.setdefault(groups[row], name)
            if side != name:
                raise ValueError(
                    f"pictures of {groups[row]} are in the {side} and the {name} set; put them in"
                    " one"
                )


def check_split(
    split: Split,
    groups: Sequence[str],
    scores: Float[np.ndarray, " n"],
    *,
    fewest: int = FEWEST_PICTURES,
    fewest_validation: int = 1,
) -> None:
    """Check that a split can be learned from, chosen by and tested on.

    Args:
        split: row numbers.
        groups: of each row.
        scores: of each row; those of a part that needs three or more pictures must differ.
        fewest: pictures of the training and of the test part.
        fewest_validation: pictures that choosing needs: one for an error, three for a correlation.

    Raises:
        ValueError: a group is in two parts, a part has too few pictures or one score only; says
            which.
    """
    check_sides(split, groups)
    for name, rows in _parts(split).items():
        needed = fewest_validation if name == "validation" else fewest
        if len(rows) < needed:
            remedy = "rate more pictures" if len(rows) else "put pictures of some references there"
            raise ValueError(
                f"the {name} part has {len(rows)} pictures; at least {needed} are needed; {remedy}"
            )
        if needed >= FEWEST_PICTURES and np.ptp(scores[rows]) == 0:
            raise ValueError(
                f"all pictures of the {name} part have the score {scores[rows[0]]:g}; there is"
                " nothing to tell apart"
            )


def _parts(split: Split) -> dict[str, Int[np.ndarray, " n"]]:
    return {"training": split.train, "validation": split.validation, "test": split.test}
