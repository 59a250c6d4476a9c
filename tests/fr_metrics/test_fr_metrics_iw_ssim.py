"""The parts of IW-SSIM against NumPy, and its hard cases."""

import csv
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import correlate1d

from fr_metrics import score
from fr_metrics.iw_ssim import _eigenvalues_and_inverse, _enlargement
from fr_metrics.operations.laplacian_pyramid import laplacian_pyramid

ALL_PICTURES = Path(
    os.environ.get("DEEPFL_GOLDEN_METRICS")
    or Path(__file__).resolve().parents[3] / "shared" / "golden" / "metrics"
)
PYRAMID = jax.jit(laplacian_pyramid, static_argnums=1)


def smoothed(plane):
    taps = np.sqrt(2) * np.array([1, 4, 6, 4, 1]) / 16
    return correlate1d(correlate1d(plane, taps, 0, mode="mirror"), taps, 1, mode="mirror")


@pytest.mark.parametrize("shape", [(16, 24), (17, 24), (33, 19)])
@pytest.mark.parametrize("double", [True, False], ids=["double", "single"])
def test_the_pyramid_is_the_textbook_one(shape, double):
    plane = np.random.default_rng(0).random(shape).astype(np.float64 if double else np.float32)
    with jax.enable_x64(double):
        bands = PYRAMID(plane[None], 3)
    assert all(band.dtype == plane.dtype for band in bands)
    level = plane
    for band in bands[:-1]:
        low = smoothed(level)[::2, ::2]
        spread = np.zeros(level.shape)
        spread[::2, ::2] = low
        np.testing.assert_allclose(
            band[0], level - smoothed(spread), atol=1e-13 if double else 1e-6
        )
        level = low
    np.testing.assert_allclose(bands[-1][0], level, rtol=1e-13 if double else 1e-6)


def test_a_flat_region_leaves_no_texture_in_single_precision():
    plane = np.full((1, 64, 64), 0.3 * 255, np.float32)
    for band in PYRAMID(plane, 4)[:-1]:
        assert np.abs(band).max() < 1e-12


def test_the_gradient_of_the_pyramid_is_that_of_a_linear_map(hasty_jit):
    random = np.random.default_rng(1)
    plane, direction = random.random((2, 1, 17, 24)).astype(np.float32)

    def pyramid(x):
        return laplacian_pyramid(x, 3)

    @hasty_jit
    def derivatives(plane, direction):
        primal, tangent = jax.jvp(pyramid, (plane,), (direction,))
        (back,) = jax.vjp(pyramid, plane)[1](primal)
        return primal, tangent, back

    primal, tangent, back = derivatives(plane, direction)
    for a, b in zip(tangent, PYRAMID(direction, 3), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    inner = sum(float((a * b).sum()) for a, b in zip(primal, tangent, strict=True))
    assert float((back * direction).sum()) == pytest.approx(inner, rel=1e-4)


def test_directions_without_variance_are_left_out(hasty_jit):
    decomposed = hasty_jit(_eigenvalues_and_inverse)
    vectors = np.random.default_rng(2).standard_normal((4, 50))
    mixed = np.concatenate([vectors, vectors[:1] + vectors[1:2]])
    singular = mixed @ mixed.T / 50
    with jax.enable_x64(True):
        eigenvalues, inverse = decomposed(singular[None])
        zeros, nothing = decomposed(np.zeros((1, 5, 5)))
    assert float(eigenvalues[0, 0]) == 0.0
    np.testing.assert_allclose(eigenvalues[0], np.linalg.eigvalsh(singular), atol=1e-13)
    np.testing.assert_allclose(inverse[0], np.linalg.pinv(singular, rcond=1e-10), rtol=1e-8)
    np.testing.assert_array_equal(zeros, 0.0)
    np.testing.assert_array_equal(nothing, 0.0)


def test_equal_eigenvalues_have_a_gradient(hasty_jit):
    def figure(covariance):
        eigenvalues, inverse = _eigenvalues_and_inverse(covariance[None])
        return jnp.log1p(eigenvalues).sum() + (inverse**2).sum()

    with jax.enable_x64(True):
        gradient = hasty_jit(jax.grad(figure))(2 * np.eye(4))
        # d/dx log(1 + x) + x^-2 = 1 / (1 + x) - 2 x^-3
        np.testing.assert_allclose(gradient, np.eye(4) * (1 / 3 - 1 / 4), atol=1e-12)


@pytest.mark.parametrize(("size", "target"), [(6, 12), (7, 13), (96, 192)])
def test_enlarging_is_linear_interpolation_with_the_programs_offset(size, target):
    matrix = _enlargement(size, target)
    assert matrix.shape == (target, size)
    np.testing.assert_allclose(matrix.sum(1), 1.0, rtol=1e-12)
    # Of 4 size - 3 samples between pixel centres, with one more at each end, every second.
    step = size / (4 * size - 3)
    places = (2 * np.arange(target) - 1 + 0.5) * step - 0.5
    inside = (places > 0) & (places < size - 1)
    np.testing.assert_allclose((matrix @ np.arange(size))[inside], places[inside], atol=1e-12)


def test_black_and_white_regions_are_as_flat_in_single_precision(crops, hasty_score):
    reference, distorted = crops[0], crops[1][1]
    binary = (reference > 128).all(-1, keepdims=True).repeat(3, -1)
    for pair in (
        (binary.astype(np.uint8) * 255, distorted),
        (binary.astype(np.float32), distorted.astype(np.float32) / 255),
        (reference, np.kron(reference[::8, ::8], np.ones((8, 8, 1), np.uint8))[:177, :176]),
    ):
        single = float(score("iw_ssim", *pair))
        with jax.enable_x64(True):
            assert single == pytest.approx(float(hasty_score("iw_ssim", *pair)), abs=2e-6)


def test_a_reference_without_information_weighs_by_the_distorted_image(crops):
    constant = np.full_like(crops[0], 100)
    values = [float(score("iw_ssim", constant, each)) for each in (constant, constant + 20)]
    assert values[0] == 1.0
    assert 0.9 < values[1] < 1.0
    columns = (np.arange(176) // 20 % 2 * 200).astype(np.uint8)
    stripes = np.broadcast_to(columns[:, None], crops[0].shape)
    assert float(score("iw_ssim", stripes, stripes)) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.skipif(
    not (ALL_PICTURES / "scores_degenerate.csv").is_file(),
    reason="the full set of golden pictures is not here (DEEPFL_GOLDEN_METRICS names its folder)",
)
def test_a_constant_distorted_picture_has_the_authors_number(picture_reader):
    with (ALL_PICTURES / "scores_degenerate.csv").open(newline="") as file:
        rows = {(row["ref"], row["dist"]): row for row in csv.DictReader(file)}
    picture = picture_reader(ALL_PICTURES / "images" / "astronaut.png")
    expected = float(rows["astronaut", "deg_const128"]["iwssim"])
    for double in (True, False):
        with jax.enable_x64(double):
            value = float(score("iw_ssim", picture, np.full_like(picture, 128)))
        assert value == pytest.approx(expected, abs=1e-9 if double else 2e-5)
