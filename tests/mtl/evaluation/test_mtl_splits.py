"""Splits: what can be learned from, and a validation part where a table has none."""

import numpy as np
import pytest

from mtl.evaluation.splits import Split, check_split, with_validation

GROUPS = [f"r{k // 3}" for k in range(30)]
SCORES = np.arange(30.0)


def split(train, validation, test) -> Split:
    return Split(*(np.array(list(rows), int) for rows in (train, validation, test)))


def test_validation_is_drawn_by_group_from_the_training_part():
    whole = split(range(24), (), range(24, 30))
    drawn = with_validation(whole, GROUPS, seed=0)
    check_split(drawn, GROUPS, SCORES)
    assert len(drawn.validation) == 6  # a quarter of eight groups
    assert sorted([*drawn.train, *drawn.validation]) == list(range(24))
    assert np.array_equal(drawn.test, whole.test)
    again = with_validation(whole, GROUPS, seed=0)
    assert np.array_equal(again.validation, drawn.validation)
    others = [with_validation(whole, GROUPS, seed=seed).validation.tolist() for seed in range(9)]
    assert len({tuple(rows) for rows in others}) > 1
    with pytest.raises(ValueError, match="no validation part and too few"):
        with_validation(split(range(3), (), range(3, 30)), GROUPS, seed=0)


@pytest.mark.parametrize(
    ("parts", "scores", "problem"),
    [
        ((range(23), range(23, 26), range(26, 30)), SCORES, "of r7 are in the training and the"),
        (((), range(15), range(15, 30)), SCORES, "training part has 0 pictures; at least 3"),
        ((range(15), range(15, 30), ()), SCORES, "test part has 0 pictures"),
        ((range(27), (), range(27, 30)), SCORES, "validation part has 0 pictures; at least 1"),
        ((range(12), range(12, 24), range(24, 30)), np.minimum(SCORES, 24), "test part have the"),
        ((range(12), range(12, 24), range(24, 30)), np.maximum(SCORES, 12), "training part have"),
    ],
)
def test_splits_that_cannot_be_used(parts, scores, problem):
    with pytest.raises(ValueError, match=problem):
        check_split(split(*parts), GROUPS, scores)
