"""The thresholds of 22: criterion and search against independent ones."""

import itertools

import numpy as np
import pytest
from scipy.optimize import fmin
from skimage.filters import threshold_multiotsu

from distortions import DISTORTIONS, distort
from distortions._matlab import rescale, to_8bit
from distortions.otsu import class_criterion, nelder_mead, otsu_thresholds
from distortions.spatial import quantization


@pytest.fixture(scope="module")
def values(chelsea):
    """Grey levels of a stretched photograph, some of which do not occur."""
    return to_8bit(rescale(chelsea.astype(float))).ravel()


@pytest.fixture(scope="module")
def histogram(values):
    return np.bincount(values, minlength=256)


def criterion_of_pixels(values: np.ndarray, thresholds: np.ndarray) -> float:
    """Variance between classes, straight from the grey levels of the pixels."""
    classes = np.searchsorted(thresholds, values)
    parts = [values[classes == k] for k in range(len(thresholds) + 1)]
    return sum(len(p) * (p.mean() - values.mean()) ** 2 for p in parts) / len(values)


def test_criterion_from_cumulative_sums_is_that_of_the_pixels(values, histogram):
    criterion = class_criterion(histogram)
    for thresholds in ([100], [30, 90, 140], [1, 20, 50, 100, 101, 150, 200]):
        edges = [-1, *thresholds, 255]
        total = sum(criterion[a + 1, b] for a, b in itertools.pairwise(edges))
        assert total == pytest.approx(criterion_of_pixels(values, np.array(thresholds)), rel=1e-12)


def test_classes_without_pixels_are_infeasible():
    histogram = np.zeros(256, dtype=np.int64)
    histogram[[10, 20]] = 5
    criterion = class_criterion(histogram)
    assert criterion[11, 19] == criterion[0, 9] == criterion[21, 255] == -np.inf
    assert criterion[0, 15] == criterion[16, 255] == pytest.approx(12.5)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_thresholds_reach_the_global_optimum_nearly(values, histogram, count):
    found = criterion_of_pixels(values, otsu_thresholds(histogram, count))
    best = criterion_of_pixels(values, threshold_multiotsu(values.reshape(-1, 1), count + 1))
    assert found == pytest.approx(best, rel=0.01)


@pytest.mark.parametrize("count", DISTORTIONS[22].levels)
def test_result_improves_on_equal_spacing(values, histogram, count):
    thresholds = otsu_thresholds(histogram, count)
    assert len(thresholds) == count
    assert (np.diff(thresholds) > 0).all()
    equal = np.floor(np.linspace(0, 255, count + 2)[1:-1] + 0.5)
    assert criterion_of_pixels(values, thresholds) > criterion_of_pixels(values, equal)


def rosenbrock(x):
    return sum(100 * (b - a * a) ** 2 + (1 - a) ** 2 for a, b in itertools.pairwise(x))


@pytest.mark.parametrize("start", [[-1.2, 1.0], [2.0, 2.0], [0.5, 1.5, -0.7]])
def test_simplex_search_makes_the_moves_of_an_independent_one(start):
    ours, theirs = [], []

    def record(seen):
        def cost(x):
            seen.append([float(v) for v in x])
            return float(rosenbrock(x))

        return cost

    result = nelder_mead(record(ours), start, 1e-4, 1e-4)
    expected = fmin(record(theirs), start, xtol=1e-4, ftol=1e-4, disp=False)
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-9)
    np.testing.assert_allclose(result, 1.0, atol=1e-2)
    np.testing.assert_allclose(ours[:60], theirs[:60], rtol=0, atol=1e-9)


def test_simplex_search_moves_a_coordinate_that_is_zero():
    seen = []
    nelder_mead(lambda x: seen.append(list(x)) or x[0] ** 2 + x[1] ** 2, [0.0, 2.0], 1e-3, 1e-3)
    np.testing.assert_allclose(seen[:3], [[0, 2], [0.00025, 2], [0, 2.1]], rtol=1e-15)


def test_simplex_search_gives_up():
    evaluations = []

    def unbounded(x):
        evaluations.append(x)
        return -sum(x)

    nelder_mead(unbounded, [1.0, 1.0], 1e-9, 1e-9)
    assert 400 <= len(evaluations) <= 403


def test_thresholds_need_as_many_levels(histogram):
    few = np.zeros(256, dtype=np.int64)
    few[:7] = 1
    with pytest.raises(ValueError, match=r"7 thresholds need at least 8 grey levels, .* has 7"):
        otsu_thresholds(few, 7)


@pytest.mark.parametrize("levels", [[*range(11)], [*range(20), 255], [0, *range(245, 256)]])
@pytest.mark.parametrize("count", [7, 10])
def test_clustered_levels(levels, count):
    histogram = np.zeros(256, dtype=np.int64)
    histogram[levels] = np.arange(len(levels)) + 1
    thresholds = otsu_thresholds(histogram, count)
    classes = np.searchsorted(thresholds, np.flatnonzero(histogram))
    assert len(np.unique(classes)) == count + 1


def test_quantization_maps_to_the_threshold_above():
    image = np.linspace(0, 1, 256).reshape(16, 16, 1).repeat(3, axis=2)
    histogram = np.full(256, 3)
    t = otsu_thresholds(histogram, 7) / 255
    result = quantization(image, 7)
    assert sorted(set(result.ravel())) == [0.0, *t[1:], 1.0]
    assert (result[image <= t[0]] == 0).all()
    assert (result[image > t[-1]] == 1).all()
    for below, above in itertools.pairwise(t):
        assert (result[(image > below) & (image <= above)] == above).all()


def test_no_more_levels_than_thresholds_is_kept():
    image = np.array([0, 9, 37, 80, 140, 200, 255], dtype=np.uint8)[
        np.random.default_rng(0).integers(0, 7, (20, 30, 3))
    ]
    for level in range(1, 6):
        np.testing.assert_array_equal(distort(image, "quantization", level), image)
