"""The programme, its bound, and the removal of near-duplicates, against slow and plain ones."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlsp.choosing import selection as module
from mlsp.choosing.near_duplicates import unit_scaled, without_nearest
from mlsp.choosing.selection import equal_bins, select, uniform_target


def value_of(bins: np.ndarray, rows: list[int] | np.ndarray) -> float:
    """The programme's value, from its definition."""
    total = 0.0
    for column in bins.T:
        counts = np.bincount(column)
        level_low, level_high = 0.0, float(counts.max())
        for _ in range(100):  # the level by bisection
            level = (level_low + level_high) / 2
            if np.minimum(counts, level).sum() < len(rows):
                level_low = level
            else:
                level_high = level
        target = np.minimum(counts, level_high)
        total += np.abs(np.bincount(column[rows], minlength=len(counts)) - target).sum()
    return total


def best_value(bins: np.ndarray, number: int) -> float:
    return min(value_of(bins, list(rows)) for rows in combinations(range(len(bins)), number))


@st.composite
def tiny(draw) -> tuple[np.ndarray, int]:
    n, d = draw(st.integers(2, 9)), draw(st.integers(1, 3))
    cells = draw(st.lists(st.integers(0, 3), min_size=n * d, max_size=n * d))
    return np.array(cells).reshape(n, d), draw(st.integers(1, n))


@given(tiny())
def test_few_photographs_are_chosen_as_well_as_can_be(problem):
    bins, number = problem
    found = select(bins, number)
    assert found.chosen.sum() == number
    best = best_value(bins, number)
    assert found.value == pytest.approx(value_of(bins, np.flatnonzero(found.chosen)), abs=1e-6)
    assert found.value == pytest.approx(best, abs=1e-4)
    assert found.bound <= best + 1e-4 and 0 <= found.gap <= 1e-3


def test_the_bound_holds_whatever_the_multipliers():
    rng = np.random.default_rng(3)
    bins = rng.integers(0, 4, (10, 3))
    rows, copies = np.unique(bins, axis=0, return_counts=True)
    programme = module._programme(rows, copies, 4)
    best = best_value(bins, 4)
    bounds = [programme.bound(rng.uniform(-1, 3, len(programme.target))) for _ in range(500)]
    assert max(bounds) <= best + 1e-9
    assert max(bounds) > min(bounds)


def skewed(n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(n, 1))
    values = np.exp(0.7 * (common + rng.normal(size=(n, 3))))
    return np.column_stack([equal_bins(column, 12) for column in values.T])


@given(st.integers(0, 1000), st.integers(1, 120))
def test_rounding_keeps_the_number_and_the_order_of_bound_and_value(seed, number):
    bins = skewed(120, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "TREE_GROUPS", 0)
        found = select(bins, number)
    assert found.chosen.sum() == number
    assert found.value == pytest.approx(value_of(bins, np.flatnonzero(found.chosen)), abs=1e-4)
    assert 0 <= found.bound <= found.value and 0 <= found.gap <= 1
    order = np.random.default_rng(seed).permutation(len(bins))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "TREE_GROUPS", 0)
        again = select(bins[order], number)
    assert (again.value, again.bound) == (found.value, found.bound)
    assert sorted(map(tuple, bins[order][again.chosen])) == sorted(map(tuple, bins[found.chosen]))


def test_a_choice_is_far_more_uniform_than_chance_and_the_tree_is_no_worse_than_rounding():
    bins = skewed(400, 0)
    found = select(bins, 60)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "TREE_GROUPS", 0)
        rounded = select(bins, 60)
    rng = np.random.default_rng(0)
    random = np.mean([value_of(bins, rng.choice(400, 60, replace=False)) for _ in range(20)])
    assert found.value <= rounded.value < 0.7 * random
    assert rounded.bound <= found.bound <= found.value
    assert rounded.gap < 0.1


def test_independent_uniform_indicators_are_met_exactly():
    grid = np.array([(a, b) for a in range(4) for b in range(4) for _ in range(1 + 3 * (a == b))])
    found = select(grid, 16)
    assert (found.value, found.bound, found.gap) == (0, 0, 0)
    for column in grid[found.chosen].T:
        assert np.array_equal(np.bincount(column), [4, 4, 4, 4])


def test_all_can_be_chosen_and_too_many_cannot():
    bins = skewed(20, 1)
    assert select(bins, 20).chosen.all() and select(bins, 20).value == 0
    for number in (0, 21):
        with pytest.raises(ValueError, match="cannot be chosen"):
            select(bins, number)


def test_of_photographs_with_the_same_bins_the_first_are_chosen():
    found = select(np.zeros((6, 2), int), 3)
    assert found.chosen.tolist() == [True] * 3 + [False] * 3


@given(st.lists(st.integers(0, 40), min_size=1, max_size=20), st.data())
def test_the_target_is_level_where_bins_allow_it(counts, data):
    counts = np.array(counts)
    number = data.draw(st.integers(0, int(counts.sum())))
    target = uniform_target(counts, number)
    assert target.sum() == pytest.approx(number)
    assert (target <= counts).all()
    short = target < counts - 1e-9
    if short.any():
        assert np.allclose(target[short], target.max())
    with pytest.raises(ValueError, match="fewer"):
        uniform_target(counts, int(counts.sum()) + 1)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), st.integers(1, 50))
def test_bins_are_numpys(values, bins):
    values = np.round(np.array(values), 3)
    found = equal_bins(values, bins)
    assert found.min() >= 0 and found.max() < bins
    assert (np.diff(found[np.argsort(values)]) >= 0).all()
    if np.ptp(values) > 0:
        edges = np.linspace(values.min(), values.max(), bins + 1)
        width = edges[1] - edges[0]
        assert (values >= edges[found] - 1e-6 * width).all()
        assert (values <= edges[found + 1] + 1e-6 * width).all()
    else:
        assert not found.any()


def plain_removal(indicators: np.ndarray, clusters: np.ndarray, number: int) -> np.ndarray:
    """All distances, again for each photograph that is left out."""
    there = np.ones(len(indicators), bool)
    space = ((indicators[:, None] - indicators[None]) ** 2).sum(-1)
    distances = np.sqrt(space + (clusters[:, None] != clusters[None]))
    np.fill_diagonal(distances, np.inf)
    while there.sum() > number:
        left = np.where(there[:, None] & there[None], distances, np.inf)
        i, j = sorted(np.unravel_index(left.argmin(), left.shape))
        others = [np.delete(left[a], [b]).min() for a, b in ((i, j), (j, i))]
        there[i if others[0] < others[1] else j] = False
    return there


@given(st.integers(0, 10_000), st.integers(2, 40), st.integers(1, 45), st.data())
def test_near_duplicates_leave_as_by_all_distances(seed, n, kinds, data):
    rng = np.random.default_rng(seed)
    indicators, clusters = rng.random((n, 3)), rng.integers(0, kinds, n)
    number = data.draw(st.integers(1, n))
    found = without_nearest(indicators, clusters, number)
    assert found.sum() == number
    assert np.array_equal(found, plain_removal(indicators, clusters, number))


def test_copies_leave_first_and_clusters_keep_what_looks_alike_apart():
    rng = np.random.default_rng(0)
    indicators = rng.random((30, 7))
    indicators[20:] = indicators[:10] + 1e-6
    clusters = np.zeros(30, int)
    stay = without_nearest(indicators, clusters, 20)
    assert (stay[:10] ^ stay[20:]).all() and stay[10:20].all()
    apart = np.array([*[0] * 20, *[1] * 10])
    other = without_nearest(indicators, apart, 20)
    # No pair within a cluster is as close as those copies, but all are closer than 1.
    assert np.array_equal(other, plain_removal(indicators, apart, 20))
    assert (other[:10] & other[20:]).any()
    with pytest.raises(ValueError, match="cannot stay"):
        without_nearest(indicators, clusters, 31)


def test_columns_are_scaled_to_one_and_constants_to_zero():
    values = np.array([[1.0, 5.0], [3.0, 5.0], [2.0, 5.0]])
    assert unit_scaled(values).tolist() == [[0, 0], [1, 0], [0.5, 0]]
