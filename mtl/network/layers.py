"""What networks are built of: maps, convolution units, pools, and the body that holds them.

All layers work on a `Map`: activations of a batch, and how much of them belongs to each picture.
Pictures of several sizes can so share a batch. They lie in the upper left corners of a common
canvas and their sizes come with them; every layer then sees zeros where a picture ends, as its own
padding would be, and every average leaves the rest of the canvas out, so that each picture's
numbers are those it has alone, up to rounding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

RGB = 3
# Shares of every layer's channels, which are multiples of 16 in the published networks: the width
# multipliers of Howard et al. 2017, arXiv:1704.04861, section 3.3.
WIDTHS = (1.0, 0.5, 0.25, 0.125, 0.0625)
# Keras' defaults.
BATCH_NORM_EPSILON = 1e-3
BATCH_NORM_MOMENTUM = 0.99

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
    sizes: Int[Array, "n 2"] | None, kernel: tuple[int, int], stride: int, padding: int = 0
) -> Int[Array, "n 2"] | None:
    """Return the sizes of what a convolution or pool makes of pictures of these sizes.

    Args:
        sizes: (height, width) of each picture; None stays None.
        kernel: (height, width).
        stride: in both directions.
        padding: places added on each side.
    """
    return None if sizes is None else (sizes + 2 * padding - jnp.asarray(kernel)) // stride + 1


@dataclass(frozen=True)
class UnitStyle:
    """What the convolution units of a network have in common."""

    bias: bool = False
    """Give the convolution a bias."""
    norm: bool = True
    """Normalise by batch."""
    scale: bool = False
    """Give the normalisation a scale beside its bias."""
    epsilon: float = BATCH_NORM_EPSILON
    """Added to the variance before its root is taken."""


class BatchNorm(nnx.Module):
    """Batch normalisation with a bias, and a scale if wanted, over all axes but the last.

    The same numbers as `flax.nnx.BatchNorm`, whose in-place update of the running statistics costs
    half a minute of tracing in a network of a hundred layers: for every layer JAX composes the
    message of an error that is then dropped. Computes in float32 whatever the input.
    """

    def __init__(
        self,
        channels: int,
        momentum: float,
        *,
        scale: bool = False,
        epsilon: float = BATCH_NORM_EPSILON,
    ):
        self.bias = nnx.Param(jnp.zeros(channels))
        self.scale = nnx.Param(jnp.ones(channels)) if scale else None
        self.mean = nnx.BatchStat(jnp.zeros(channels))
        self.var = nnx.BatchStat(jnp.ones(channels))
        self.momentum, self.epsilon = momentum, epsilon
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
        inverse = jax.lax.rsqrt(var + self.epsilon)
        if self.scale is not None:
            inverse = inverse * self.scale.get_value()
        return (x * inverse + (self.bias.get_value() - mean * inverse)).astype(given)


class ConvUnit(nnx.Module):
    """Convolution, batch normalisation and ReLU.

    Args:
        channels: of input and output.
        kernel: height and width.
        stride: in both directions.
        padding: "SAME", "VALID", or places of zeros on each side.
        momentum: of the running statistics.
        dtype: of the convolution.
        rngs: random streams.
        style: which parts there are; without normalisation the convolution should have a bias.
    """

    def __init__(
        self,
        channels: tuple[int, int],
        kernel: Size,
        *,
        stride: int = 1,
        padding: str | int = "SAME",
        momentum: float,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
        style: UnitStyle = UnitStyle(),
    ):
        kernel = (kernel, kernel) if isinstance(kernel, int) else kernel
        self.kernel, self.stride = kernel, stride
        self.padding = 0 if padding == "VALID" else padding
        self.conv = nnx.Conv(
            *channels,
            kernel,
            strides=stride,
            padding=[(padding, padding)] * 2 if isinstance(padding, int) else padding,
            use_bias=style.bias,
            dtype=dtype,
            rngs=rngs,
        )
        self.norm = (
            BatchNorm(channels[1], momentum, scale=style.scale, epsilon=style.epsilon)
            if style.norm
            else None
        )

    def linear(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 c2"]:
        """Convolve and normalise."""
        y = self.conv(x)
        return y if self.norm is None else self.norm(y)

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 c2"]:
        """Convolve, normalise, rectify."""
        return nnx.relu(self.linear(x))

    def on(self, x: Map, *, relu: bool = True) -> Map:
        """Convolve, normalise, and rectify if wanted, pictures of several sizes on one canvas.

        Raises:
            ValueError: the padding is "SAME" and there is a stride, so that the grid depends on a
                picture's size.
        """
        apply = self if relu else self.linear
        if self.padding != "SAME":
            values = x.cut_out() if self.padding else x.values
            sizes = sizes_after(x.sizes, self.kernel, self.stride, int(self.padding))
            return Map(apply(values), sizes)
        if self.stride > 1 and x.sizes is not None:
            raise ValueError("a padded convolution with a stride has no common grid for all sizes")
        # A 1×1 convolution sees no neighbours.
        return Map(apply(x.values if self.kernel == (1, 1) else x.cut_out()), x.sizes)


class ConvolutionalBody(nnx.Module):
    """The convolutional part of a network; a network's module says in `maps` what it does.

    The features are the average of the last layer. A body is made with the keywords `width`,
    `momentum`, `dtype`, `remat` and `rngs`, as `mtl.network.networks.Network.build` explains them.
    """

    features: int
    """Length of the features."""

    def maps(
        self, images: Float[Array, "n h w 3"], sizes: Int[Array, "n 2"] | None = None
    ) -> tuple[Map, dict[str, Map]]:
        """Return the activations of the last layer, and of the blocks by name, before any pooling.

        Args:
            images: scaled as the weights expect it (see `mtl.network.scalings`), no smaller than
                the network's smallest side.
            sizes: (height, width) of each picture, in the upper left corner of its image; what is
                outside is ignored. None takes the images as they are.

        Raises:
            ValueError: the images are too small.
        """
        raise NotImplementedError

    def __call__(
        self, images: Float[Array, "n h w 3"]
    ) -> tuple[Float[Array, "n f"], dict[str, Float[Array, "n _ _ _"]]]:
        """Return the pooled features, and the activations of the blocks by name, by depth.

        Args:
            images: as `maps` takes them.

        Returns:
            (n, features), and (n, h, w, channels) of each block.

        Raises:
            ValueError: the images are too small.
        """
        last, activations = self.maps(images)
        return last.mean(), {name: found.values for name, found in activations.items()}


def check_images(title: str, images: Float[Array, "n h w 3"], smallest_side: int) -> None:
    """Refuse images that leave a network nothing to see.

    Raises:
        ValueError: a side is below `smallest_side` pixels.
    """
    if min(images.shape[1:3]) < smallest_side:
        raise ValueError(
            f"{title} needs at least {smallest_side}×{smallest_side} pixels,"
            f" got shape {images.shape}"
        )


def check_width(width: float, widths: Sequence[float] = WIDTHS) -> None:
    """Refuse shares of the channels that a network cannot be made with.

    Raises:
        ValueError: the width is not one of `widths`.
    """
    if width not in widths:
        raise ValueError(f"width {width} is not one of {' '.join(map(str, widths))}")


def narrowed(channels: int, width: float) -> int:
    """Return a layer's channels at a share of the network's width; colours stay three."""
    return channels if channels == RGB else round(channels * width)


def max_pool(x: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 c"]:
    """3×3 maximum, stride 2, no padding."""
    return nnx.max_pool(x, (3, 3), (2, 2), "VALID")


def max_pool_on(x: Map, padding: int = 0) -> Map:
    """The same for pictures of several sizes on one canvas, with zeros on each side if wanted."""
    values = x.values
    if padding:
        sides = (padding, padding)
        values = jnp.pad(x.cut_out(), ((0, 0), sides, sides, (0, 0)))
    return Map(max_pool(values), sizes_after(x.sizes, (3, 3), 2, padding))


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
