"""Correlations: equal to SciPy's, and none where one side is constant."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from mtl.evaluation.correlation import is_constant, krocc, plcc, srocc
from mtl.ratings.resampling import weighted_plcc

ALL = (plcc, srocc, krocc)


@given(
    st.floats(-1e300, 1e300, allow_subnormal=False),
    st.integers(2, 1000),
    st.integers(0, 9),
)
def test_a_constant_has_no_correlation(constant, number, seed):
    other = np.random.default_rng(seed).normal(size=number)
    for correlation in ALL:
        assert np.isnan(correlation(np.full(number, constant), other))
        assert np.isnan(correlation(other, np.full(number, constant)))


@pytest.mark.parametrize("constant", [0.1, 0.3, 1 / 3, 1e-300, 1e300, 123456.789])
def test_equal_numbers_but_for_rounding_are_constant(constant):
    # Sums in another order: the last digit differs, and decides nothing, in float32 either.
    limits = np.finfo(np.float32)
    numbers = [np.float64(constant)]
    if float(limits.tiny) < constant < float(limits.max):
        numbers.append(np.float32(constant))
    for number in numbers:
        noisy = np.array([number, np.nextafter(number, 2 * number), number, number])
        for correlation in ALL:
            assert np.isnan(correlation(noisy, np.arange(4.0)))


def test_what_is_not_finite_has_no_correlation():
    for wrong in (np.nan, np.inf):
        assert is_constant(np.array([1.0, wrong, 3.0]))
        assert all(np.isnan(c(np.array([1, wrong, 3]), np.arange(3.0))) for c in ALL)
    assert is_constant(np.array([])) and is_constant(np.array([2.0]))


@given(st.integers(0, 1000), st.floats(1e-200, 1e200), st.floats(-1e3, 1e3))
def test_equal_to_scipy_on_any_scale(seed, scale, offset):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(2, 30))
    y = np.round(y, 1)  # ties
    scaled = (x + offset) * scale
    assert plcc(scaled, y) == pytest.approx(scipy.stats.pearsonr(x, y).statistic, abs=1e-9)
    assert srocc(scaled, y) == pytest.approx(scipy.stats.spearmanr(scaled, y).statistic)
    assert krocc(scaled, y) == pytest.approx(scipy.stats.kendalltau(scaled, y).statistic)


def test_lengths_must_agree():
    for correlation in ALL:
        with pytest.raises(ValueError, match="both must be"):
            correlation(np.arange(3.0), np.arange(4.0))


def test_a_resample_of_one_picture_has_no_correlation():
    x, y = np.array([0.1, 0.2, 0.3]), np.array([3.0, 1.0, 2.0])
    found = weighted_plcc(x, y, np.array([[3, 0, 0], [0, 3, 0], [1, 1, 1]]))
    assert np.isnan(found[:2]).all()
    assert found[2] == pytest.approx(plcc(x, y))
