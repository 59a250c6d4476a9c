"""Convolve every channel by itself: the depthwise convolutions of Xception, MobileNet and others.

XLA runs a grouped convolution of as many groups as channels on CPUs one channel after the other.
There the same numbers are sums of shifted products, one for each place of the kernel; other devices
take XLA's own. Medians on two cores, with EfficientNet-Lite0's shapes for 512 × 384 pixels:

    activations        kernel   stride   shifts     grouped
    192 × 256 × 96     3        2        0.8 ms     22 ms
    96 × 128 × 144     5        2        0.4 ms     14 ms
    24 × 32 × 672      5        1        0.5 ms     15 ms
    12 × 16 × 1152     5        1        0.3 ms     7 ms

The gradients of both arguments take 2 to 16 ms with the shifts, 10 to 76 ms as JAX derives them
from the slices, and 180 to 850 ms with the grouped convolution: the fastest of 7 runs side by side,
other work going on.
"""

import operator
from collections.abc import Iterator, Sequence
from functools import partial, reduce

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from mtl.network.maps import Map, Sides, both_sides, sizes_after


class DepthwiseConv(nnx.Module):
    """Convolution of each channel with a kernel of its own, without a bias.

    Args:
        channels: of input and output.
        kernel: height and width.
        stride: in both directions.
        padding: "SAME", or places of zeros on each side, or before and after.
        dtype: of the convolution.
    """

    def __init__(
        self,
        channels: int,
        kernel: int,
        *,
        stride: int = 1,
        padding: str | Sides = "SAME",
        dtype: DTypeLike = jnp.float32,
    ):
        # Keras' layout; `mtl.network.weights.fresh_weights` fills it.
        self.kernel = nnx.Param(jnp.zeros((kernel, kernel, channels, 1)))
        self.side, self.stride, self.padding, self.dtype = kernel, stride, padding, dtype

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 c"]:
        """Convolve."""
        sides = [
            self._same(length) if isinstance(self.padding, str) else both_sides(self.padding)
            for length in x.shape[1:3]
        ]
        x = jnp.pad(x.astype(self.dtype), ((0, 0), *sides, (0, 0)))
        kernel = self.kernel.get_value().astype(self.dtype)
        return jax.lax.platform_dependent(
            x,
            kernel,
            cpu=partial(sum_of_shifts, stride=self.stride),
            default=partial(grouped, stride=self.stride),
        )

    def on(self, x: Map) -> Map:
        """Convolve pictures of several sizes on one canvas.

        Raises:
            ValueError: the padding is "SAME" and there is a stride, so that the grid depends on a
                picture's size.
        """
        if not isinstance(self.padding, str):
            kernel = (self.side, self.side)
            return Map(self(x.cut_out()), sizes_after(x.sizes, kernel, self.stride, self.padding))
        if self.stride > 1 and x.sizes is not None:
            raise ValueError("a padded convolution with a stride has no common grid for all sizes")
        return Map(self(x.cut_out()), x.sizes)

    def _same(self, length: int) -> tuple[int, int]:
        """Return the zeros before and after a side, as TensorFlow's "SAME" has them."""
        places = -(-length // self.stride)
        total = max(0, (places - 1) * self.stride + self.side - length)
        return total // 2, total - total // 2


def sum_of_shifts(
    x: Float[Array, "n h w c"], kernel: Float[Array, "k k c 1"], *, stride: int = 1
) -> Float[Array, "n h2 w2 c"]:
    """Return the valid depthwise convolution as a sum of shifted products.

    With `y` the output, `g` the gradient of it, and s the stride:

        y[p, q] = Σ_ij x[s p + i, s q + j] kernel[i, j]
        gradient of kernel[i, j] = Σ_pq x[s p + i, s q + j] g[p, q]
        gradient of x = shifts of g, s - 1 zeros between its places, summed with the kernel turned
            by 180 degrees

    Sums are kept in float32 or the inputs' own precision, whichever is higher.

    Args:
        x: padded activations, each side at least `k`.
        kernel: of the same dtype.
        stride: in both directions.
    """
    return _sum_of_shifts(stride, x, kernel)


def _shifted(x: Array, kernel: Array, places: Sequence[int], stride: int) -> Iterator[Array]:
    """Yield what each place of the kernel sees, row by row, in the precision of sums."""
    rows, columns = places
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    for i, j in np.ndindex(kernel.shape[:2]):
        yield x[
            :,
            i : i + (rows - 1) * stride + 1 : stride,
            j : j + (columns - 1) * stride + 1 : stride,
        ]


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _sum_of_shifts(stride: int, x: Array, kernel: Array) -> Array:
    k = kernel.shape[0]
    places = [(length - k) // stride + 1 for length in x.shape[1:3]]
    factors = kernel.reshape(k * k, -1)
    products = map(operator.mul, _shifted(x, kernel, places, stride), factors)
    return reduce(operator.add, products).astype(x.dtype)


def _forward(stride: int, x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return _sum_of_shifts(stride, x, kernel), (x, kernel)


def _backward(stride: int, kept: tuple[Array, Array], g: Array) -> tuple[Array, Array]:
    x, kernel = kept
    k = kernel.shape[0]
    spread = [
        (k - 1, length - 1 - (places - 1) * stride, stride - 1)
        for length, places in zip(x.shape[1:3], g.shape[1:3], strict=True)
    ]
    zeros = jax.lax.pad(g, jnp.zeros((), g.dtype), ((0, 0, 0), *spread, (0, 0, 0)))
    products = [shifted * g for shifted in _shifted(x, kernel, g.shape[1:3], stride)]
    # One pass over x and g for all places of the kernel: a sum of its own for each is several times
    # slower on CPUs. Only along rows, since the rounding of one long sum grows with its length.
    sums = jax.lax.reduce(
        products,
        [jnp.zeros((), product.dtype) for product in products],
        lambda totals, values: [a + b for a, b in zip(totals, values, strict=True)],
        (2,),
    )
    by_place = jnp.stack(sums).sum(axis=(1, 2)).reshape(kernel.shape)
    return _sum_of_shifts(1, zeros, kernel[::-1, ::-1]), by_place.astype(kernel.dtype)


_sum_of_shifts.defvjp(_forward, _backward)


def grouped(
    x: Float[Array, "n h w c"], kernel: Float[Array, "k k c 1"], *, stride: int = 1
) -> Float[Array, "n h2 w2 c"]:
    """Return the valid depthwise convolution as XLA's own."""
    return jax.lax.conv_general_dilated(
        x,
        kernel.swapaxes(2, 3),
        (stride, stride),
        "VALID",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=x.shape[-1],
    )
