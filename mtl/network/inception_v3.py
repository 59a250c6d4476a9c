"""InceptionV3 in Flax NNX, layer for layer the network of `keras.applications`.

Szegedy, Vanhoucke, Ioffe, Shlens, Wojna: Rethinking the Inception Architecture for Computer Vision,
CVPR 2016, arXiv:1512.00567, table 1; the layout is the one of the released TensorFlow-slim weights
that Keras carries. Normalisations have no scale, convolutions no bias. NHWC.

The MLSP blocks are the eleven mixed ones, by Keras' names: 256 + 2·288 + 5·768 + 1280 + 2·2048 =
10,048 channels, the number of Hosu, Goldlücke, Saupe: Effective Aesthetics Prediction with
Multi-level Spatially Pooled Features, CVPR 2019, arXiv:1904.01382. The feature is the average of
the last, mixed10.

Layers with a stride take whole windows only, so a layer's grid does not depend on the picture's
size and pictures of several sizes can share a canvas (`mtl.network.maps`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from mtl.network.inception_layers import STEM, STEM_UNITS, Branches, after_stem, stem, unit_maker
from mtl.network.keras_weights import (
    Chain,
    KerasLayer,
    KerasWeights,
    by_distance,
    convolution,
    normalisation,
)
from mtl.network.layers import (
    BATCH_NORM_MOMENTUM,
    WIDTHS,
    ConvolutionalBody,
    Size,
    check_images,
    check_width,
    narrowed,
)
from mtl.network.maps import Map

SMALLEST_SIDE = 75  # pixels; Keras' min_size, of which the strides leave one place

Step = tuple[int, Size]
"""Channels and kernel of a convolution unit."""


@dataclass(frozen=True)
class Mixed:
    """State the layers of a mixed block, or of a fork inside one."""

    chains: "tuple[tuple[Step | Mixed, ...], ...]"
    """Convolutions of each branch; a fork can end one."""
    pool: Literal["max", "average"] | None = None
    """As `mtl.network.inception_layers.Branches` has it. With "max" the last convolution of each
    branch has the pool's stride of 2, and neither pads."""

    def channels(self, before: int) -> int:
        """Return the channels of the output, of an input of so many."""
        ends = [end.channels(0) if isinstance(end, Mixed) else end[0] for *_, end in self.chains]
        return sum(ends) + (before if self.pool == "max" else 0)

    def lengths(self) -> tuple[Chain, ...]:
        """Return the units of each branch, and the forks."""
        return tuple(
            (len(units), end.lengths()) if isinstance(end, Mixed) else len(units) + 1
            for *units, end in self.chains
        )


def _figure5(pooled: int) -> Mixed:
    """Return a block of the paper's figure 5, its second branch with a 5×5 as in figure 4."""
    return Mixed(
        (((64, 1),), ((48, 1), (64, 5)), ((64, 1), (96, 3), (96, 3)), ((pooled, 1),)), "average"
    )


def _figure6(inner: int) -> Mixed:
    """Return a block of the paper's figure 6: n is 7, and `inner` the channels inside it."""
    wide, high = (1, 7), (7, 1)
    twice = ((inner, 1), (inner, high), (inner, wide), (inner, high), (192, wide))
    return Mixed(
        (((192, 1),), ((inner, 1), (inner, wide), (192, high)), twice, ((192, 1),)), "average"
    )


# The paper's figure 7.
FORK = Mixed((((384, (1, 3)),), ((384, (3, 1)),)))
FIGURE7 = Mixed((((320, 1),), ((384, 1), FORK), ((448, 1), (384, 3), FORK), ((192, 1),)), "average")

MIXED: Mapping[str, Mixed] = MappingProxyType(
    {
        "mixed0": _figure5(32),
        "mixed1": _figure5(64),
        "mixed2": _figure5(64),
        "mixed3": Mixed((((384, 3),), ((64, 1), (96, 3), (96, 3))), "max"),
        "mixed4": _figure6(128),
        "mixed5": _figure6(160),
        "mixed6": _figure6(160),
        "mixed7": _figure6(192),
        "mixed8": Mixed(
            (((192, 1), (320, 3)), ((192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3))), "max"
        ),
        "mixed9": FIGURE7,
        "mixed10": FIGURE7,
    }
)


def _blocks() -> Iterator[tuple[str, int]]:
    channels = STEM
    for name, mixed in MIXED.items():
        channels = mixed.channels(channels)
        yield name, channels


BLOCKS: tuple[tuple[str, int], ...] = tuple(_blocks())
FEATURES = BLOCKS[-1][1]


class InceptionV3(ConvolutionalBody):
    """The convolutional body."""

    def __init__(
        self,
        *,
        width: float = 1.0,
        momentum: float = BATCH_NORM_MOMENTUM,
        dtype: DTypeLike = jnp.float32,
        remat: bool = False,
        rngs: nnx.Rngs,
    ):
        check_width(width, WIDTHS)
        self.remat = remat
        self.features = narrowed(FEATURES, width)
        unit = unit_maker(width, momentum=momentum, dtype=dtype, rngs=rngs)

        def branches(mixed: Mixed, channels: int) -> Branches:
            chains = []
            for steps in mixed.chains:
                before, layers = channels, []
                for k, step in enumerate(steps, 1):
                    if isinstance(step, Mixed):
                        layers.append(branches(step, before))
                        continue
                    halves = mixed.pool == "max" and k == len(steps)
                    layers.append(unit(before, *step, *((2, "VALID") if halves else ())))
                    before = step[0]
                chains.append(layers)
            return Branches(chains, mixed.pool)

        self.stem = stem(unit)
        inputs = (STEM, *(channels for _, channels in BLOCKS))
        self.mixed = nnx.List(
            [branches(mixed, n) for mixed, n in zip(MIXED.values(), inputs, strict=False)]
        )

    def maps(
        self, images: Float[Array, "n h w 3"], sizes: Int[Array, "n 2"] | None = None
    ) -> tuple[Map, dict[str, Map]]:
        """Return the last block's output, and those of all blocks by name; see the base class."""
        check_images("InceptionV3", images, SMALLEST_SIDE)
        activations: dict[str, Map] = {}
        x = after_stem(self.stem, Map(images, sizes))
        apply = nnx.remat(_apply) if self.remat else _apply
        for name, mixed in zip(MIXED, self.mixed, strict=True):
            x = activations[name] = apply(mixed, x)
        return x, activations


def _apply(mixed: Branches, x: Map) -> Map:
    return mixed.on(x)


def keras_layers() -> Iterator[KerasLayer]:
    """Yield all layers with weights in the order in which Keras keeps them."""
    units = [(f"body/stem/{k}", k) for k in range(STEM_UNITS)]
    for k, mixed in enumerate(MIXED.values()):
        units += by_distance(f"body/mixed/{k}", mixed.lengths(), len(units))
    for path, place in units:
        yield convolution(place, f"{path}/conv")
        yield normalisation(place, f"{path}/norm")


# As in keras/src/applications/inception_v3.py, Keras 3.15: address, and MD5 by file.
KERAS = KerasWeights(
    layers=tuple(keras_layers()),
    address="https://storage.googleapis.com/tensorflow/keras-applications/inception_v3/",
    file="inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5",
    digests={
        "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5": (
            "bcbd6486424b2319ff4ef7d526e38f63"
        ),
        "inception_v3_weights_tf_dim_ordering_tf_kernels.h5": "9a0d58056eeedaa3f26cb7ebd46da564",
    },
)
