"""Build Inception networks of a stem, branches and residual blocks."""

from collections.abc import Callable, Sequence
from typing import Literal

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from mtl.network.layers import RGB, ConvUnit, Size, narrowed
from mtl.network.maps import Map, average_pool, max_pool_on

# Channels that leave the stem. Szegedy et al.: Rethinking the Inception Architecture for Computer
# Vision, CVPR 2016, arXiv:1512.00567, table 1; InceptionResNetV2 of Keras has the same.
STEM = 192
STEM_UNITS = 5
POOLED_AFTER = (2, 4)  # the stem's convolutions before a 3×3 max pool of stride 2, from 0

Unit = Callable[..., ConvUnit]
"""Makes a convolution unit of its input's and output's channels, kernel, stride and padding."""


def unit_maker(width: float, *, momentum: float, dtype: DTypeLike, rngs: nnx.Rngs) -> Unit:
    """Return what makes the convolution units of a network.

    Args:
        width: the share of the channels that every layer has; units are asked for by all of them.
        momentum: of the running statistics.
        dtype: of the convolutions.
        rngs: random streams.
    """

    def unit(a: int, b: int, kernel: Size, stride: int = 1, padding: str = "SAME") -> ConvUnit:
        return ConvUnit(
            (narrowed(a, width), narrowed(b, width)),
            kernel,
            stride=stride,
            padding=padding,
            momentum=momentum,
            dtype=dtype,
            rngs=rngs,
        )

    return unit


def stem(unit: Unit) -> nnx.List[ConvUnit]:
    """Return the five convolutions that precede the branches."""
    return nnx.List(
        [
            unit(RGB, 32, 3, 2, "VALID"),
            unit(32, 32, 3, 1, "VALID"),
            unit(32, 64, 3),
            unit(64, 80, 1, 1, "VALID"),
            unit(80, STEM, 3, 1, "VALID"),
        ]
    )


def after_stem(units: nnx.List[ConvUnit], x: Map) -> Map:
    """Return what the stem and its two pools make of pixels."""
    for k, unit in enumerate(units):
        x = unit.on(x)
        if k in POOLED_AFTER:
            x = max_pool_on(x)
    return x


class Branches(nnx.Module):
    """Parallel chains of layers, their outputs concatenated; optionally a pooled copy of the input.

    Args:
        chains: of convolution units, or of branches where a chain forks.
        pool: None, "max" (3×3, stride 2, valid) or "average" (3×3, stride 1, same, the padding not
            counted, followed by the layers of the last chain).
    """

    def __init__(
        self,
        chains: "Sequence[Sequence[ConvUnit | Branches]]",
        pool: Literal["max", "average"] | None = None,
    ):
        self.chains = nnx.List([nnx.List(chain) for chain in chains])
        self.pool = pool

    def on(self, x: Map) -> Map:
        """Return the outputs of all branches, concatenated."""
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
        chains: Sequence[Sequence[ConvUnit]],
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
        """Return the block's output, and the concatenation of its branches."""
        mixed = self.branches.on(x)
        y = x.values + self.scale * self.up(mixed.values)
        return Map(nnx.relu(y) if self.relu else y, x.sizes), mixed
