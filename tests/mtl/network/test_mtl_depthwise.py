"""Depthwise convolutions: sums of shifts against XLA's grouped convolution, and the gradient."""

import itertools
import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mtl.network.depthwise import DepthwiseConv, grouped, sum_of_shifts
from mtl.network.maps import Map, both_sides

CHANNELS = 6


def random_arrays(side, kernel, dtype=np.float32):
    """Two pictures' activations of about this side, and a kernel."""
    rng = np.random.default_rng(kernel)
    x = rng.normal(size=(2, side, side + 3, CHANNELS))
    return x.astype(dtype), rng.normal(size=(kernel, kernel, CHANNELS, 1)).astype(dtype)


def by_definition(x, kernel, stride):
    """The valid convolution as a loop over the output, in float64."""
    x, kernel = np.asarray(x, np.float64), np.asarray(kernel, np.float64)[..., 0]
    k = len(kernel)
    rows, columns = ((length - k) // stride + 1 for length in x.shape[1:3])
    y = np.empty((len(x), rows, columns, x.shape[-1]))
    for p, q in np.ndindex(rows, columns):
        seen = x[:, p * stride : p * stride + k, q * stride : q * stride + k]
        y[:, p, q] = (seen * kernel).sum(axis=(1, 2))
    return y


@pytest.mark.parametrize(
    ("side", "kernel", "stride"),
    [*itertools.product((12, 15), (3, 5, 7), (1, 2)), (7, 1, 3), (7, 7, 2)],
)
def test_values_and_gradients_equal_the_grouped_convolution(side, kernel, stride):
    x, weights = random_arrays(side, kernel)
    expected = by_definition(x, weights, stride)
    towards = np.random.default_rng(0).normal(size=expected.shape).astype(np.float32)

    @partial(jax.jit, static_argnums=0)
    def run(convolve, x, weights):
        y, back = jax.vjp(partial(convolve, stride=stride), x, weights)
        return y, *back(towards)

    ours, theirs = run(sum_of_shifts, x, weights), run(grouped, x, weights)
    np.testing.assert_allclose(ours[0], expected, rtol=1e-5, atol=1e-5)
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.shape == other.shape and mine.dtype == other.dtype
        assert np.abs(mine - other).max() <= 3e-6 * np.abs(other).max() > 0


def test_the_gradient_is_exact_in_double_precision():
    """In a process of its own, since float64 is switched on for all of JAX."""
    program = """
import jax, numpy as np
jax.config.update("jax_enable_x64", True)
from mtl.network.depthwise import grouped, sum_of_shifts
rng = np.random.default_rng(0)
for side, kernel, stride in ((16, 3, 2), (15, 5, 2), (13, 5, 1), (14, 7, 1)):
    x, weights = rng.normal(size=(2, side, side + 1, 4)), rng.normal(size=(kernel, kernel, 4, 1))
    pair = []
    for convolve in (sum_of_shifts, grouped):
        y, back = jax.vjp(lambda x, weights: convolve(x, weights, stride=stride), x, weights)
        pair.append((y, *back(np.cos(np.arange(y.size)).reshape(y.shape))))
    for ours, theirs in zip(*pair):
        assert ours.dtype == np.float64
        assert abs(ours - theirs).max() <= 1e-13 * abs(theirs).max(), (side, kernel, stride)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("stride", [1, 2])
def test_half_precision_sums_in_single_precision(stride):
    x, weights = random_arrays(12, 5, jnp.bfloat16)
    y, back = jax.vjp(partial(sum_of_shifts, stride=stride), x, weights)
    assert y.dtype == jnp.bfloat16
    towards = jnp.ones(y.shape, jnp.bfloat16)
    found = y, *back(towards)
    exact, exact_back = jax.vjp(
        partial(sum_of_shifts, stride=stride), x.astype(np.float32), weights.astype(np.float32)
    )
    for ours, expected in zip(found, (exact, *exact_back(jnp.ones(y.shape))), strict=True):
        assert ours.dtype == jnp.bfloat16
        # One rounding to 8 bits.
        np.testing.assert_allclose(ours.astype(np.float32), expected, rtol=2**-8, atol=1e-6)


@pytest.mark.parametrize(("stride", "padding"), [(1, 2), (2, (1, 2)), (2, "SAME"), (1, "SAME")])
@pytest.mark.parametrize("length", [11, 12])
def test_the_layer_pads_as_lax_pads(length, stride, padding):
    x, weights = random_arrays(length, 5)
    sides = padding if isinstance(padding, str) else [both_sides(padding)] * 2
    expected = jax.lax.conv_general_dilated(
        x, weights.swapaxes(2, 3), (stride, stride), sides,
        dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=CHANNELS,
    )  # fmt: skip

    def run(x, weights, dtype=jnp.float32):
        settings = {"stride": stride, "padding": padding, "dtype": dtype}
        layer = DepthwiseConv(CHANNELS, 5, **settings)
        layer.kernel.set_value(weights)
        return layer(x)

    np.testing.assert_allclose(jax.jit(run)(x, weights), expected, rtol=1e-5, atol=1e-5)

    # As a training run may have it.
    def loss(x, weights):
        y = jax.remat(partial(run, dtype=jnp.bfloat16))(x, weights)
        assert y.dtype == jnp.bfloat16
        return y.astype(jnp.float32).sum()

    gradient = jax.eval_shape(jax.grad(loss, (0, 1)), x, weights)
    assert [(g.shape, g.dtype) for g in gradient] == [
        (x.shape, jnp.float32),
        (weights.shape, jnp.float32),
    ]


def test_pictures_of_several_sizes_share_a_canvas_unless_the_grid_depends_on_the_size():
    layer = DepthwiseConv(CHANNELS, 5, stride=2, padding=(1, 2))
    x, weights = random_arrays(15, 5)
    layer.kernel.set_value(jnp.asarray(weights))
    sizes = np.array([[9, 12], [15, 17]], np.int32)
    together = layer.on(Map(jnp.asarray(x), jnp.asarray(sizes)))
    for k, (h, w) in enumerate(sizes):
        alone = layer(jnp.asarray(x[k : k + 1, :h, :w]))[0]
        assert together.sizes[k].tolist() == list(alone.shape[:2])
        found = together.values[k, : alone.shape[0], : alone.shape[1]]
        np.testing.assert_allclose(found, alone, rtol=1e-6, atol=1e-6)
    layer.padding = "SAME"
    with pytest.raises(ValueError, match="no common grid"):
        layer.on(Map(jnp.asarray(x), jnp.asarray(sizes)))
