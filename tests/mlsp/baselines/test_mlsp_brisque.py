"""BRISQUE's features against a second program written differently, and their fits' properties."""

import csv
from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage
import scipy.special
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from mlsp.baselines.brisque import (
    LENGTH,
    SHAPES,
    aggd_fit,
    aggd_mean,
    brisque,
    ggd_fit,
    halved,
    mscn,
)
from mtl.runtime.pictures import read_picture

GOLDENS = Path(__file__).parents[2] / "golden"
SECOND_PROGRAM, AUTHORS = (GOLDENS / "brisque" / f"{name}.csv" for name in ("features", "authors"))


def plain_halved(plane):
    """MATLAB's imresize(plane, 0.5), pixel by pixel along each axis."""

    def cubic(x):
        x = abs(x)
        if x <= 1:
            return 1.5 * x**3 - 2.5 * x**2 + 1
        return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x <= 2 else 0.0

    def one_axis(rows):
        size = len(rows)
        result = []
        for out in range(1, (size + 1) // 2 + 1):
            centre = out / 0.5 + 0.5 * (1 - 1 / 0.5)
            left = int(np.floor(centre - 4))
            indices = range(left, left + 10)
            weights = np.array([0.5 * cubic(0.5 * (centre - i)) for i in indices])
            weights /= weights.sum()
            mirrored = [(i - 1) % (2 * size) for i in indices]
            mirrored = [i if i < size else 2 * size - 1 - i for i in mirrored]
            result.append(np.tensordot(weights, rows[mirrored], axes=1))
        return np.array(result)

    return one_axis(one_axis(plane).T).T


def plain_brisque(image):
    """The features by scipy, a two-dimensional window, modular indices and a full search."""
    red, green, blue = (image[..., c].astype(float) for c in range(3))
    weights = (0.298936021293775, 0.587043074451121, 0.114020904255103)
    plane = np.floor(weights[0] * red + weights[1] * green + weights[2] * blue + 0.5)
    y, x = np.mgrid[-3:4, -3:4]
    window = np.exp(-(x * x + y * y) / (2 * (7 / 6) ** 2))
    window /= window.sum()
    shapes = np.arange(9801) * 0.001 + 0.2
    first, second, third = (scipy.special.gamma(k / shapes) for k in (1, 2, 3))
    features = []
    for scale in range(2):
        if scale:
            plane = plain_halved(plane)
        mean = scipy.ndimage.correlate(plane, window, mode="constant")
        square = scipy.ndimage.correlate(plane**2, window, mode="constant")
        z = np.where(np.abs(plane - mean) > 1e-9, plane - mean, 0)  # noise of flat regions
        z /= np.sqrt(np.abs(square - mean**2)) + 1
        rho = np.mean(z**2) / np.mean(np.abs(z)) ** 2
        features += [shapes[np.argmin(np.abs(rho - first * third / second**2))], np.mean(z**2)]
        rows, columns = np.indices(z.shape)
        for down, right in ((0, 1), (1, 0), (1, 1), (-1, 1)):
            pairs = z * z[(rows - down) % z.shape[0], (columns - right) % z.shape[1]]
            l2, r2 = np.mean(pairs[pairs < 0] ** 2), np.mean(pairs[pairs > 0] ** 2)
            g = np.sqrt(l2 / r2)
            r = np.mean(np.abs(pairs)) ** 2 / np.mean(pairs**2)
            r *= (g**3 + 1) * (g + 1) / (g**2 + 1) ** 2
            k = int(np.argmin((second**2 / (first * third) - r) ** 2))
            mean = (np.sqrt(r2) - np.sqrt(l2)) * second[k] / np.sqrt(first[k] * third[k])
            features += [shapes[k], mean, l2, r2]
    return np.array(features)


def golden(table=SECOND_PROGRAM):
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {row["image"]: [float(row[f"f{n}"]) for n in range(1, LENGTH + 1)] for row in rows}


@pytest.mark.parametrize("name", golden())
def test_features_are_those_of_the_golden_table(name, sample):
    assert np.allclose(brisque(sample[name]), golden()[name], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", golden(AUTHORS))
def test_features_are_those_of_the_authors_program(name):
    image = read_picture(GOLDENS / "metrics" / "images" / f"{name}.png")
    np.testing.assert_allclose(brisque(image), golden(AUTHORS)[name], rtol=1e-10)


def test_the_golden_table_is_what_the_second_program_computes(sample):
    assert np.allclose(plain_brisque(sample["chelsea"]), golden()["chelsea"], rtol=1e-12)


@pytest.mark.parametrize("shape", [(30, 41), (14, 14), (33, 15)])
def test_small_and_odd_pictures_agree_with_the_second_program(shape):
    image = np.random.default_rng(shape).integers(0, 256, (*shape, 3), np.uint8)
    assert np.allclose(brisque(image), plain_brisque(image), rtol=1e-9, atol=1e-11)


# OpenCV 5.0's cv2.quality.QualityBRISQUE_computeFeatures of chelsea, full size, four figures. Its
# window repeats the border, its neighbours do not wrap around, and it computes in float32.
OPENCV_CHELSEA = """
1.412 0.2311 0.530 0.0506 0.0563 0.1070 0.532 0.0217 0.0693 0.0910 0.537 -0.0349 0.0987 0.0639 0.516
0.0036 0.0790 0.0826"""


def test_opencv_is_near_at_full_size(sample):
    theirs = np.array(OPENCV_CHELSEA.split(), float)
    ours = brisque(sample["chelsea"], border="replicate")[: LENGTH // 2]
    assert np.abs(ours - theirs).max() <= 0.0035
    assert np.abs(brisque(sample["chelsea"])[: LENGTH // 2] - theirs).max() > 0.01


@pytest.mark.parametrize("shape", [0.5, 1.0, 2.0, 4.0])
def test_the_parameters_of_a_generalised_gaussian_are_recovered(shape):
    rng = np.random.default_rng(7)
    values = scipy.stats.gennorm.rvs(shape, size=400_000, random_state=rng)
    found, variance = ggd_fit(1.5 * values)
    expected = 1.5**2 * scipy.special.gamma(3 / shape) / scipy.special.gamma(1 / shape)
    assert found == pytest.approx(shape, rel=0.03)
    assert variance == pytest.approx(expected, rel=0.03)


def asymmetric(rng, shape, left, right, size):
    """Samples of the asymmetric distribution with scales left and right."""
    magnitude = np.abs(scipy.stats.gennorm.rvs(shape, size=size, random_state=rng))
    below = rng.random(size) < left / (left + right)
    return np.where(below, -left * magnitude, right * magnitude)


@pytest.mark.parametrize(("shape", "left", "right"), [(0.8, 1, 1), (1.5, 0.5, 2), (3, 2, 0.7)])
def test_the_parameters_of_an_asymmetric_gaussian_are_recovered(shape, left, right):
    values = asymmetric(np.random.default_rng(8), shape, left, right, 400_000)
    found, left_deviation, right_deviation = aggd_fit(values)
    unit = np.sqrt(scipy.special.gamma(3 / shape) / scipy.special.gamma(1 / shape))
    assert found == pytest.approx(shape, rel=0.03)
    assert left_deviation == pytest.approx(left * unit, rel=0.03)
    assert right_deviation == pytest.approx(right * unit, rel=0.03)
    mean = aggd_mean(found, left_deviation, right_deviation)
    assert mean == pytest.approx(values.mean(), abs=0.02)


@given(seed=st.integers(0, 1000), scale=st.floats(0.01, 100))
def test_fits_follow_scale_and_mirror(seed, scale):
    values = asymmetric(np.random.default_rng(seed), 1.2, 1, 2, 500)
    shape, left, right = aggd_fit(values)
    assert aggd_fit(-values) == pytest.approx((shape, right, left), abs=0.0011)
    scaled = aggd_fit(scale * values)
    assert scaled[1:] == pytest.approx((scale * left, scale * right))
    assert abs(scaled[0] - shape) <= 0.0011  # one step of the grid
    shape, variance = ggd_fit(values)
    assert SHAPES[0] <= shape <= SHAPES[-1]
    assert ggd_fit(scale * values)[1] == pytest.approx(scale**2 * variance)


def test_symmetries_of_a_picture(sample):
    image = sample["coffee"][:200, :256]
    features = brisque(image).reshape(2, 18)
    # Turned over, horizontal and vertical neighbours stay, the diagonals are exchanged.
    mirrored = brisque(image[:, ::-1]).reshape(2, 18)
    exchanged = np.concatenate([features[:, :10], features[:, 14:], features[:, 10:14]], axis=1)
    assert np.allclose(mirrored, exchanged, rtol=1e-6, atol=2e-3)
    # Transposed, horizontal and vertical are exchanged.
    transposed = brisque(image.transpose(1, 0, 2)).reshape(2, 18)
    exchanged = np.concatenate(
        [features[:, :2], features[:, 6:10], features[:, 2:6], features[:, 10:]], axis=1
    )
    assert np.allclose(transposed, exchanged, rtol=1e-6, atol=2e-3)
    grey = np.repeat(image[..., :1], 3, axis=2)
    assert np.allclose(brisque(grey), brisque(image[..., 0]), rtol=1e-9)


def test_noise_and_blur_move_the_shape_as_the_paper_says(sample):
    image = sample["astronaut"]
    noisy = np.random.default_rng(3).normal(image, 40).clip(0, 255).astype(np.uint8)
    blurred = scipy.ndimage.gaussian_filter(image, (3, 3, 0))
    plain, with_noise, with_blur = (brisque(each)[0] for each in (image, noisy, blurred))
    assert with_noise > plain > with_blur


def test_halving_keeps_a_constant_and_rounds_the_size_up():
    half = halved(np.full((7, 10), 3.25))
    assert half.shape == (4, 5) and np.allclose(half, 3.25)
    assert (mscn(np.full((20, 20), 9.0), border="replicate") == 0).all()


@pytest.mark.parametrize(
    ("image", "error", "problem"),
    [
        (np.zeros((20, 20, 3), np.float32), TypeError, "must be uint8, got float32"),
        (np.zeros((20, 20, 4), np.uint8), ValueError, "must have shape"),
        (np.zeros((20,), np.uint8), ValueError, "must have shape"),
        (np.zeros((20, 13, 3), np.uint8), ValueError, "13×20 pixels are too few"),
        (np.zeros((20, 20, 3), np.uint8), ValueError, "no structure"),
        (np.full((64, 48), 200, np.uint8), ValueError, "too little structure"),
    ],
)
def test_what_has_no_features_is_said(image, error, problem):
    with pytest.raises(error, match=problem):
        brisque(image)


def test_values_on_one_side_have_no_fit():
    for values in (np.zeros(9), np.ones(9), -np.ones(9)):
        with pytest.raises(ValueError, match="too little structure"):
            aggd_fit(values)
    with pytest.raises(ValueError, match="no structure"):
        ggd_fit(np.zeros(9))


def test_the_picture_is_not_modified(sample):
    image = sample["rocket"].copy()
    brisque(image)
    assert np.array_equal(image, sample["rocket"])
