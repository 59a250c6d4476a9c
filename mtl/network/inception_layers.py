"""What InceptionResNetV2 is built of: convolution units, branches, residual blocks, pools.

All of them work on a `Map`: activations of a batch, and how much of them belongs to each picture.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

BATCH_NORM_EPSILON = 1e-3  # Keras' InceptionResNetV2

Size = int | tuple[int, int]


class Map(NamedTuple):
    """Activations of a batch, and how much of them belongs to each picture."""

    values: Float[Array, "n h w c"]
    sizes: Int[Array, "n 2"] | None = None
    """(height, width) of each picture's part, in the upper left corner; None is everything. What
    lies outside it means nothing."""

    def inside(self) -> Bool[Array, "n h w 1"]:
        """Where the pictures are; all true without sizes."""
        n, h, w, _ = self.values.shape
        if self.sizes is None:
            return jnp.ones((n, h, w, 1), bool)
        rows = jnp.arange(h) < self.sizes[:, :1]
        columns = jnp.arange(w) < self.sizes[:, 1:]
        return (rows[:, :, None] & columns[:, None, :])[..., None]

    def cut_out(self) -> Float[Array, "n h w c"]:
        """The values, zero outside the pictures."""
        return self.values if self.sizes is None else jnp.where(self.inside(), self.values, 0)

    def mean(self) -> Float[Array, "n c"]:
        """Average over each picture's places, in float32."""
        if self.sizes is None:
            return self.values.mean(axis=(1, 2), dtype=jnp.float32)
        places = self.sizes.prod(axis=1, keepdims=True).astype(jnp.float32)
        return self.cut_out().sum(axis=(1, 2), dtype=jnp.float32) / places


def sizes_after(
    sizes: Int[Array, "n 2"] | None, kernel: tuple[int, int], stride: int
) -> Int[Array, "n 2"] | None:
    """Sizes of what an unpadded convolution or pool makes of pictures of these sizes."""
    return None if sizes is None else (sizes - jnp.asarray(kernel)) // stride + 1


class BatchNorm(nnx.Module):
    """Batch normalisation with a bias and no scale, over all axes but the last.

    The same numbers as `flax.nnx.BatchNorm(use_scale=False)`, whose in-place update of the running
    statistics costs half a minute of tracing in a network of this depth: for every layer JAX
    composes the message of an error that is then dropped. Computes in float32 whatever the input.
    """

    def __init__(self, channels: int, momentum: float):
        self.bias = nnx.Param(jnp.zeros(channels))
        self.mean = nnx.BatchStat(jnp.zeros(channels))
        self.var = nnx.BatchStat(jnp.ones(channels))
        self.momentum = momentum
        self.use_running_average = False  # switched by Module.train() and Module.eval()

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
        """Normalise by the batch, updating the running statistics, or by those statistics."""
        given, x = x.dtype, x.astype(jnp.float32)
        mean, var = self.mean.get_value(), self.var.get_value()
        if not self.use_running_average:
            old = mean, var
            mean = x.mean(axis=(0, 1, 2))
            var = jnp.maximum((x * x).mean(axis=(0, 1, 2)) - mean * mean, 0)
            for stored, before, now in zip((self.mean, self.var), old, (mean, var), strict=True):
                stored.set_value(self.momentum * before + (1 - self.momentum) * now)
        inverse = jax.lax.rsqrt(var + BATCH_NORM_EPSILON)
        return (x * inverse + (self.bias.get_value() - mean * inverse)).astype(given)


class ConvUnit(nnx.Module):
    """Convolution without bias, batch normalisation without scale, ReLU."""

    def __init__(
        self,
        channels: tuple[int, int],
        kernel: Size,
        *,
        stride: int = 1,
        padding: str = "SAME",
        momentum: float,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ):
        kernel = (kernel, kernel) if isinstance(kernel, int) else kernel
        self.kernel, self.stride, self.padded = kernel, stride, padding == "SAME"
        self.conv = nnx.Conv(
            *channels,
            kernel,
            strides=stride,
            padding=padding,
            use_bias=False,
            dtype=dtype,
            rngs=rngs,
        )
        self.norm = BatchNorm(channels[1], momentum)

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 c2"]:
        """Convolve, normalise, rectify."""
        return nnx.relu(self.norm(self.conv(x)))

    def on(self, x: Map) -> Map:
        """The same for pictures of several sizes on one canvas.

        Raises:
            ValueError: the layer pads and strides, so that its grid depends on a picture's size.
        """
        if not self.padded:
            return Map(self(x.values), sizes_after(x.sizes, self.kernel, self.stride))
        if self.stride > 1 and x.sizes is not None:
            raise ValueError("a padded convolution with a stride has no common grid for all sizes")
        # A 1×1 convolution sees no neighbours.
        return Map(self(x.values if self.kernel == (1, 1) else x.cut_out()), x.sizes)


class Branches(nnx.Module):
    """Parallel chains of layers, their outputs concatenated; optionally a pooled copy of the input.

    `pool` is None, "max" (3×3, stride 2, valid) or "average" (3×3, stride 1, same, the padding not
    counted, followed by the layers of the last chain).
    """

    def __init__(self, chains: list[list[ConvUnit]], pool: str | None = None):
        self.chains = nnx.List([nnx.List(chain) for chain in chains])
        self.pool = pool

    def __call__(self, x: Map) -> Map:
        """The outputs of all branches, concatenated."""
        inputs = [x] * len(self.chains)
        if self.pool == "average":
            inputs[-1] = average_pool(x)
        outputs = []
        for y, chain in zip(inputs, self.chains, strict=True):
            for layer in chain:
                y = layer.on(y)
            outputs.append(y)
        if self.pool == "max":
            outputs.append(max_pool_on(x))
        return Map(jnp.concatenate([y.values for y in outputs], axis=-1), outputs[0].sizes)


class ResidualBlock(nnx.Module):
    """x + scale · (1×1 convolution with bias of the concatenated branches), then ReLU if `relu`."""

    def __init__(
        self,
        chains: list[list[ConvUnit]],
        mixed: int,
        channels: int,
        scale: float,
        *,
        relu: bool = True,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ):
        self.branches = Branches(chains)
        self.up = nnx.Conv(mixed, channels, (1, 1), dtype=dtype, rngs=rngs)
        self.scale = scale
        self.relu = relu

    def __call__(self, x: Map) -> tuple[Map, Map]:
        """The block's output, and the concatenation of its branches."""
        mixed = self.branches(x)
        y = x.values + self.scale * self.up(mixed.values)
        return Map(nnx.relu(y) if self.relu else y, x.sizes), mixed


def max_pool(x: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 c"]:
    """3×3 maximum, stride 2, no padding."""
    return nnx.max_pool(x, (3, 3), (2, 2), "VALID")


def max_pool_on(x: Map) -> Map:
    """The same for pictures of several sizes on one canvas."""
    return Map(max_pool(x.values), sizes_after(x.sizes, (3, 3), 2))


def average_pool(x: Map) -> Map:
    """3×3 mean, stride 1, as large as before; beyond a picture's edges nothing is counted."""
    _, h, w, _ = x.values.shape
    sizes = jnp.array([[h, w]]) if x.sizes is None else x.sizes

    def counted(length: int, sizes: Int[Array, " n"]) -> Int[Array, "n s"]:
        place = jnp.arange(length)
        return 3 - (place == 0).astype(int) - (place == sizes[:, None] - 1)

    rows, columns = counted(h, sizes[:, 0]), counted(w, sizes[:, 1])
    count = (rows[:, :, None] * columns[:, None, :])[..., None]
    nine = (1, 3, 3, 1), (1, 1, 1, 1), "SAME"
    total = jax.lax.reduce_window(x.cut_out(), 0.0, jax.lax.add, *nine)
    return Map(total / count.astype(total.dtype), x.sizes)
