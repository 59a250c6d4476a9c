"""Judging, the five-parameter logistic, and tables per distortion."""

import warnings

import numpy as np
import pytest
import scipy.optimize
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mlsp.evaluation.logistic import (
    FEWEST_PICTURES,
    fit_logistic5,
    logistic5,
    plcc_logistic,
)
from mlsp.evaluation.measures import (
    MEASURES,
    distortion_table,
    judge,
    medians,
    quartiles,
    share_within,
    srocc_by_distortion,
)

lengths = st.integers(3, 40)
pairs = lengths.flatmap(
    lambda n: st.tuples(*[arrays(np.float64, n, elements=st.integers(-50, 50))] * 2)
)


def squared_error(parameters, x, y) -> float:
    return float(np.sum((logistic5(x, *parameters) - y) ** 2))


def test_the_logistic_is_the_papers_and_does_not_overflow():
    x = np.linspace(-3, 4, 9)
    b1, b2, b3, b4, b5 = 2.0, 1.5, 0.3, -0.2, 7.0
    expected = b1 * (1 / 2 - 1 / (1 + np.exp(b2 * (x - b3)))) + b4 * x + b5
    np.testing.assert_allclose(logistic5(x, b1, b2, b3, b4, b5), expected, rtol=1e-14)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert logistic5(np.array([-1e300, 1e300]), 2, 1e5, 0, 0, 5).tolist() == [4, 6]


@pytest.mark.parametrize("steep", [1.0, 4.0, 30.0])
def test_the_logistic_that_made_the_scores_is_found(steep):
    x = np.random.default_rng(0).uniform(20, 80, 300)
    y = logistic5(x, 40, steep / 17, 55, 0.1, 3)
    found = fit_logistic5(x, y)
    np.testing.assert_allclose(logistic5(x, *found), y, atol=1e-4)
    assert plcc_logistic(x, y) == pytest.approx(1, abs=1e-9)
    noisy = y + np.random.default_rng(1).normal(size=300)
    assert squared_error(fit_logistic5(x, noisy), x, noisy) <= squared_error(
        (40, steep / 17, 55, 0.1, 3), x, noisy
    )


def test_scipys_own_fit_from_the_truth_is_not_better():
    rng = np.random.default_rng(3)
    for _ in range(5):
        x = rng.normal(size=120)
        y = np.tanh(2 * x) + 0.3 * rng.normal(size=120)
        rising = ([0, 0, -np.inf, 0, -np.inf], np.inf)
        theirs, _ = scipy.optimize.curve_fit(
            logistic5, x, y, (2, 4, 0, 1e-3, 0), bounds=rising, max_nfev=5000
        )
        assert squared_error(fit_logistic5(x, y), x, y) <= squared_error(theirs, x, y) * (1 + 1e-6)


@given(pairs)
def test_the_logistic_never_turns_back(pair):
    x, y = pair
    if np.ptp(x) == 0:
        return
    steps = np.diff(logistic5(np.linspace(x.min(), x.max(), 200), *fit_logistic5(x, y)))
    slack = 1e-9 * max(1.0, float(np.ptp(y)))
    assert (steps >= -slack).all() or (steps <= slack).all()


@given(pairs)
def test_the_logistic_is_never_worse_than_the_straight_line(pair):
    x, y = pair
    error = squared_error(fit_logistic5(x, y), x, y)
    line = np.polynomial.Polynomial.fit(x, y, 1)(x) if np.ptp(x) else np.full_like(y, y.mean())
    assert error <= np.sum((line - y) ** 2) * (1 + 1e-7) + 1e-7
    mapped = plcc_logistic(x, y)
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        assert np.isnan(mapped)
    else:
        assert abs(scipy.stats.pearsonr(x, y).statistic) - 1e-7 <= mapped <= 1 + 1e-12


@given(
    pairs,
    st.floats(-6, 6).map(lambda e: 10.0**e),
    st.sampled_from([1.0, -1.0]),
    st.floats(-1e3, 1e3),
)
def test_the_scale_of_the_predictions_does_not_matter(pair, scale, sign, offset):
    x, y = pair
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return
    r = scipy.stats.pearsonr(x, y).statistic
    if abs(r) < 1e-6:  # neither direction is the right one
        return
    # Predictions around an offset keep few digits where the scale is small.
    moved = sign * scale * (x + offset)
    assert plcc_logistic(moved, y) == pytest.approx(plcc_logistic(x, y), abs=1e-6)


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (np.full(20, 0.1), np.arange(20.0)),
        (np.arange(20.0), np.full(20, 0.1)),
        (np.array([1e-300, 2e-300] * 5), np.arange(10.0)),
        (np.array([0.0] * 19 + [1e12]), np.arange(20.0)),
        (np.array([1.0, 2.0]), np.array([3.0, 1.0])),
        (np.array([0.0, 1.0] * 10), np.arange(20.0)),
    ],
)
def test_degenerate_predictions_give_finite_parameters_and_no_warning(x, y):
    found = fit_logistic5(x, y)
    assert np.isfinite(found).all() or np.ptp(x) < 1e-290
    assert np.isnan(plcc_logistic(x, y)) == (np.ptp(x) == 0 or np.ptp(y) == 0 or x[0] == 1e-300)


def test_few_pictures_get_the_straight_line():
    x, y = np.arange(FEWEST_PICTURES - 1.0), np.array([0.0, 3, 1, 4, 2])
    assert plcc_logistic(x, y) == pytest.approx(scipy.stats.pearsonr(x, y).statistic)
    for bad in (np.array([1.0, np.nan]), np.array([1.0, 2, 3])):
        with pytest.raises(ValueError, match=r"finite|shape"):
            fit_logistic5(bad, np.array([1.0, 2]))


def test_judging_says_every_measure():
    rng = np.random.default_rng(0)
    p, t = rng.normal(size=30), rng.integers(0, 5, 30).astype(float)
    measures = judge(p, t)
    assert tuple(measures) == MEASURES
    assert measures["mae"] == pytest.approx(np.abs(p - t).mean())
    assert measures["plcc"] == pytest.approx(scipy.stats.pearsonr(p, t).statistic)
    assert measures["plcc_logistic"] >= abs(measures["plcc"])


def test_quartiles_leave_out_what_is_not_finite():
    assert quartiles([1, 2, np.nan, 3, 4, 5]) == {"median": 3, "q1": 2, "q3": 4}
    assert all(np.isnan(v) for v in quartiles([np.nan]).values())


def test_the_share_within_the_raters_deviations():
    error, sigma = np.array([0.5, 1.0, 2.5, 0.0, 0.0]), np.array([1.0, 1.0, 1.0, 0.0, 2.0])
    found = share_within(error, np.zeros(5), sigma)
    assert found == {"within_1_sigma": 0.4, "within_2_sigma": 0.6, "within_3_sigma": 0.8}
    for bad in (-sigma, sigma[:4], np.full(5, np.nan)):
        with pytest.raises(ValueError, match="deviations"):
            share_within(error, np.zeros(5), bad)


def test_distortions_are_judged_one_by_one():
    rng = np.random.default_rng(0)
    kinds = ["jpeg", "blur", "jpeg", "noise"] * 10 + ["once"]
    p, t = rng.normal(size=41), rng.normal(size=41)
    found = srocc_by_distortion(p, t, kinds)
    assert list(found) == ["jpeg", "blur", "noise", "once"] and np.isnan(found["once"])
    of = np.array(kinds) == "jpeg"
    assert found["jpeg"] == pytest.approx(scipy.stats.spearmanr(p[of], t[of]).statistic)
    rows = distortion_table([{"a": 0.5, "b": np.nan}, {"a": 0.7}, {"a": 0.9, "b": 0.1}])
    assert [row["distortion"] for row in rows] == ["a", "b"]
    assert rows[0]["repetitions"] == 3 and rows[0]["srocc_median"] == pytest.approx(0.7)
    assert rows[1]["repetitions"] == 1 and rows[1]["srocc_q1"] == pytest.approx(0.1)


@pytest.mark.parametrize("constant", [0.1, 0.3, 1e-300, 3.3333333, -7e12])
def test_a_constant_has_no_correlation_of_any_kind(constant):
    true = np.random.default_rng(0).normal(size=10)
    for found in (judge(np.full(10, constant), true), judge(true, np.full(10, constant))):
        assert all(np.isnan(found[m]) for m in ("srocc", "plcc", "plcc_logistic", "krocc"))
        assert np.isfinite(found["rmse"]) and np.isfinite(found["mae"])


def test_repetitions_without_a_correlation_are_in_no_median():
    measured = [{"srocc": s, "rmse": r} for s, r in ((0.5, 1.0), (np.nan, 9.0), (0.7, 3.0))]
    row = medians(measured, ("srocc", "rmse"))
    assert (row["repetitions"], row["without_correlation"]) == (2, 1)
    assert row["srocc_median"] == pytest.approx(0.6) and row["rmse_median"] == 2.0
    none = medians(measured[1:2], ("srocc", "rmse"))
    assert (none["repetitions"], none["without_correlation"]) == (0, 1)
    assert np.isnan(none["rmse_median"]) and np.isnan(none["srocc_q1"])


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), min_size=1, max_size=12))
def test_small_whole_numbers_are_judged(pairs):
    """Uncorrelated ones among them, for which the best of all curves that rise is flat."""
    predicted, true = np.array(pairs, float).T
    found = judge(predicted, true)
    known = [np.isfinite(found[m]) for m in ("srocc", "plcc", "plcc_logistic", "krocc")]
    enough = len(pairs) >= 3 and np.ptp(predicted) > 0 and np.ptp(true) > 0
    assert known == [enough] * 4
    if enough:
        assert found["plcc_logistic"] >= abs(found["plcc"]) - 1e-7


def test_uncorrelated_numbers_have_a_correlation_of_zero():
    found = judge(np.array([0.0, 0, 1, 1, 2, 2]), np.array([1.0, 2, 1, 2, 1, 2]))
    assert found["srocc"] == found["plcc"] == found["plcc_logistic"] == 0
    assert judge(np.array([2.0, 1, 1, 0, 1, 2]), np.array([2.0, 2, 1, 2, 3, 2]))["plcc"] < 1e-9


def test_two_pictures_have_no_correlation():
    found = judge(np.array([1.0, 2.0]), np.array([3.0, 5.0]))
    assert np.isnan(found["srocc"]) and np.isnan(found["plcc_logistic"]) and found["mae"] == 2.5
    by_type = srocc_by_distortion(np.arange(5.0), np.arange(5.0), ["a", "a", "b", "b", "b"])
    assert np.isnan(by_type["a"]) and by_type["b"] == 1
