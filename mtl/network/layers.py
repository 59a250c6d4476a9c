"""Build networks of convolution units, and of the body that holds them.

All layers work on a `mtl.network.maps.Map`, so that pictures of several sizes can share a batch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from mtl.network.maps import Map, Sides, both_sides, sizes_after

RGB = 3
# Shares of every layer's channels, which are multiples of 16 in the published networks: the width
# multipliers of Howard et al. 2017, arXiv:1704.04861, section 3.3.
WIDTHS = (1.0, 0.5, 0.25, 0.125, 0.0625)
# Keras' defaults.
BATCH_NORM_EPSILON = 1e-3
BATCH_NORM_MOMENTUM = 0.99

Size = int | tuple[int, int]


@dataclass(frozen=True)
class UnitStyle:
    """State what the convolution units of a network have in common."""

    bias: bool = False
    """Give the convolution a bias."""
    norm: bool = True
    """Normalise by batch."""
    scale: bool = False
    """Give the normalisation a scale beside its bias."""
    epsilon: float = BATCH_NORM_EPSILON
    """Added to the variance before its root is taken."""
    activation: Callable[[Array], Array] = nnx.relu
    """After the normalisation."""


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
    """Convolution, batch normalisation and an activation.

    Args:
        channels: of input and output.
        kernel: height and width.
        stride: in both directions.
        padding: "SAME", "VALID", or places of zeros on each side, or before and after.
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
        padding: str | Sides = "SAME",
        momentum: float,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
        style: UnitStyle = UnitStyle(),
    ):
        kernel = (kernel, kernel) if isinstance(kernel, int) else kernel
        self.kernel, self.stride = kernel, stride
        self.padding = 0 if padding == "VALID" else padding
        self.activation = style.activation
        self.conv = nnx.Conv(
            *channels,
            kernel,
            strides=stride,
            padding=padding if isinstance(padding, str) else [both_sides(padding)] * 2,
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
        """Convolve, normalise, activate."""
        return self.activation(self.linear(x))

    def on(self, x: Map, *, activate: bool = True) -> Map:
        """Convolve, normalise, and activate if wanted, pictures of several sizes on one canvas.

        Raises:
            ValueError: the padding is "SAME" and there is a stride, so that the grid depends on a
                picture's size.
        """
        apply = self if activate else self.linear
        if not isinstance(self.padding, str):
            values = x.cut_out() if self.padding else x.values
            sizes = sizes_after(x.sizes, self.kernel, self.stride, self.padding)
            return Map(apply(values), sizes)
        if self.stride > 1 and x.sizes is not None:
            raise ValueError("a padded convolution with a stride has no common grid for all sizes")
        # A 1×1 convolution sees no neighbours.
        return Map(apply(x.values if self.kernel == (1, 1) else x.cut_out()), x.sizes)


class ConvolutionalBody(nnx.Module):
    """The convolutional part of a network; a network's module says in `maps` what it does.

    The features are the average of the last layer. All bodies are made with the same keywords;
    a body's own docstring says only what differs.

    Args:
        width: one of the widths of the network's row, the share of the channels that every layer
            has.
        momentum: of batch normalisation's running statistics; unused where nothing is normalised
            by batch.
        dtype: of the convolutions; parameters, statistics and the pooled feature are float32.
        remat: in training, compute the inside of every block a second time for the gradient
            instead of keeping it.
        rngs: random streams; see `mtl.network.weights.fresh_weights` for building it quickly.

    Raises:
        ValueError: the width is not one of those.
    """

    features: int
    """Length of the features."""
    dropout: float = 0.0
    """Share of the features that training drops before any head."""

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
