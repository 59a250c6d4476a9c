"""The shared numerics against direct NumPy statements of what they compute."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fr_metrics.operations import color, filters, roots
from fr_metrics.operations.downsample import automatic_factor, box_downsample
from fr_metrics.operations.order_statistics import median
from fr_metrics.operations.phase_congruency import phase_congruency
from fr_metrics.operations.resize import resize
from fr_metrics.operations.similarity import similarity


def test_rounded_gray_is_exact_for_all_16_million_colours():
    green, blue = np.meshgrid(np.arange(256), np.arange(256), indexing="ij")
    gray = jax.jit(color.gray)
    for red in range(256):
        colours = np.stack([np.full_like(green, red), green, blue], axis=-1)
        expected = np.floor(colours @ np.array(color.LUMA_WEIGHTS) + 0.5)
        np.testing.assert_array_equal(gray(colours[None].astype(np.uint8))[0], expected)


def test_floating_gray_is_not_rounded():
    image = np.full((1, 1, 1, 3), 0.5, np.float32)
    assert float(color.gray(jnp.asarray(image))[0, 0, 0]) == 127.5


@pytest.mark.parametrize(
    ("height", "width", "factor"),
    [(384, 512, 2), (383, 512, 1), (640, 960, 3), (639, 960, 2), (11, 5000, 1), (1024, 768, 3)],
)
def test_automatic_factor_rounds_halves_up(height, width, factor):
    assert automatic_factor(height, width) == factor


@pytest.mark.parametrize("border", ["zero", "symmetric"])
@pytest.mark.parametrize("factor", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("shape", [(12, 13), (14, 15), (16, 21)])
def test_box_downsample_is_the_sampled_box_mean(border, factor, shape, hasty_jit):
    planes = np.random.default_rng(0).random((2, *shape)).astype(np.float32)
    before = (factor - 1) // 2
    widths = ((0, 0), (before, factor), (before, factor))
    padded = np.pad(planes, widths, mode="constant" if border == "zero" else "symmetric")
    expected = np.array(
        [
            [
                [plane[i : i + factor, j : j + factor].mean() for j in range(0, shape[1], factor)]
                for i in range(0, shape[0], factor)
            ]
            for plane in padded
        ]
    )
    means = hasty_jit(box_downsample, static_argnums=(1, 2))(planes, factor, border)
    np.testing.assert_allclose(means, expected, rtol=1e-5)


_MEDIAN = jax.jit(median)


@settings(deadline=None, database=None, max_examples=40)
@given(
    st.lists(st.floats(0, float(np.float32(1e30)), width=32), min_size=7, max_size=7),
    st.booleans(),
)
def test_median_is_exact(values, even):
    row = np.array(values + ([values[0]] if even else []), np.float32)
    assert float(_MEDIAN(row[None])[0]) == pytest.approx(float(np.median(row)), rel=1e-6)
    with jax.enable_x64(True):
        assert float(_MEDIAN(row[None].astype(np.float64))[0]) == np.median(row.astype(np.float64))


def test_the_gradient_of_the_median_goes_to_the_middle(hasty_jit):
    gradient = hasty_jit(jax.grad(lambda row: median(row[None])[0]))
    np.testing.assert_array_equal(gradient(jnp.array([3.0, 1.0, 2.0])), [0, 0, 1])
    np.testing.assert_array_equal(gradient(jnp.array([4.0, 3.0, 1.0, 2.0])), [0, 0.5, 0, 0.5])
    np.testing.assert_array_equal(gradient(jnp.array([2.0, 2.0, 1.0, 9.0])), [0.5, 0.5, 0, 0])
    # Rounding may part the median from the sample it was, so neighbours count as equal.
    near = jnp.array([1.0, 1 + jnp.finfo(jnp.float32).eps, 5.0])
    np.testing.assert_array_equal(gradient(near), [0.5, 0.5, 0])


@pytest.mark.parametrize("smoothing", [filters.PREWITT, filters.SCHARR])
def test_gradient_operators(smoothing, hasty_jit):
    outer, centre = smoothing
    kernel = np.outer([outer, centre, outer], [-1.0, 0.0, 1.0])
    plane = np.random.default_rng(1).random((5, 6)).astype(np.float32)
    padded = np.pad(plane, 1)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))
    horizontal, vertical = hasty_jit(filters.gradient, static_argnums=1)(plane[None], smoothing)
    np.testing.assert_allclose(horizontal[0], (windows * kernel).sum((2, 3)), atol=1e-6)
    np.testing.assert_allclose(vertical[0], (windows * kernel.T).sum((2, 3)), atol=1e-6)


def test_correlation_with_a_gaussian_window(hasty_jit):
    taps = np.array(filters.gaussian_taps(11, 1.5))
    assert taps.sum() == pytest.approx(1.0, abs=1e-15)
    assert taps[5] / taps[6] == pytest.approx(np.exp(1 / 4.5))
    plane = np.random.default_rng(2).random((13, 16)).astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(plane, (11, 11))
    expected = np.einsum("ijkl,k,l->ij", windows, taps, taps)
    smooth = hasty_jit(filters.correlate_valid, static_argnums=1)(plane[None], tuple(taps))
    np.testing.assert_allclose(smooth[0], expected, rtol=1e-5)


def test_roots_have_a_zero_gradient_at_zero(hasty_jit):
    for function in (
        roots.sqrt,
        lambda x: roots.power(x, 0.25),
        lambda x: roots.real_power(x, 0.03),
    ):
        value, slope = hasty_jit(jax.value_and_grad(function))(0.0)
        assert (float(value), float(slope)) == (0.0, 0.0)
    assert float(roots.sqrt(jnp.array(9.0))) == 3.0
    expected = np.real(complex(-2.0) ** 0.4)
    assert float(roots.real_power(jnp.array(-2.0), 0.4)) == pytest.approx(expected, rel=1e-6)


def test_similarity_is_one_for_equal_features_and_the_published_ratio_otherwise():
    a, b = np.random.default_rng(3).random((2, 100)).astype(np.float32)
    np.testing.assert_array_equal(similarity(a, a, 0.1), 1.0)
    ratio = (2 * a * b + 0.1) / (a**2 + b**2 + 0.1)
    np.testing.assert_allclose(similarity(a, b, 0.1), ratio, rtol=1e-5)


def test_phase_congruency_is_large_at_an_edge_and_zero_on_a_constant_image(hasty_jit):
    compiled = hasty_jit(phase_congruency)
    plane = np.zeros((1, 24, 32), np.float32)
    np.testing.assert_array_equal(compiled(plane + 77), 0.0)
    plane[:, :, 16:] = 200
    congruency = np.asarray(compiled(plane))[0]
    assert congruency[:, 15:17].min() > 0.7
    assert congruency.max() <= 1.0
    assert congruency[:, 15:17].min() > congruency[:, 2:15].max()


@pytest.mark.parametrize("kernel", ["bicubic", "bilinear"])
def test_resizing_keeps_constants_and_ramps(kernel, hasty_jit):
    compiled = hasty_jit(resize, static_argnums=(1, 2, 3))
    np.testing.assert_allclose(compiled(jnp.full((1, 9, 14), 3.0), 4, 30, kernel), 3.0, rtol=1e-6)
    ramp = jnp.broadcast_to(jnp.arange(32.0), (1, 8, 32))
    half = np.asarray(compiled(ramp, 8, 16, kernel))[0, 0]
    np.testing.assert_allclose(half[3:-3], 2 * np.arange(3, 13) + 0.5, rtol=1e-6)
    double = np.asarray(compiled(ramp, 8, 64, kernel))[0, 0]
    np.testing.assert_allclose(double[4:-4], np.arange(4, 60) / 2 - 0.25, rtol=1e-6)


def test_the_bilinear_kernel_is_widened_when_shrinking():
    plane = jnp.array([[[0.0, 0.0, 0.0, 8.0, 0.0, 0.0, 0.0, 0.0]]])
    np.testing.assert_allclose(resize(plane, 1, 4, "bilinear")[0, 0], [0, 3, 1, 0], atol=1e-6)
