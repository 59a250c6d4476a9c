"""Convolve every channel by itself: the depthwise convolutions of Xception, MobileNet and others.

XLA runs a grouped convolution of as many groups as channels on CPUs one channel after the other.
There the same numbers are sums of shifted products, one for each place of the kernel; other devices
take XLA's own.
"""

from functools import partial

import jax
import jax.numpy as jnp
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
    """Return the valid depthwise convolution as a sum of shifted products."""
    k = kernel.shape[0]
    rows, columns = ((length - k) // stride + 1 for length in x.shape[1:3])
    total = None
    for i in range(k):
        for j in range(k):
            shifted = x[
                :,
                i : i + (rows - 1) * stride + 1 : stride,
                j : j + (columns - 1) * stride + 1 : stride,
            ]
            product = shifted * kernel[i, j, :, 0]
            total = product if total is None else total + product
    assert total is not None  # a kernel has places
    return total


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
