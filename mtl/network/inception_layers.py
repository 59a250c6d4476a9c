"""Build Inception networks of branches and residual blocks."""

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from mtl.network.layers import ConvUnit
from mtl.network.maps import Map, average_pool, max_pool_on


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
