"""VGG16 in Flax NNX, layer for layer the network of `keras.applications`.

Simonyan, Zisserman: Very Deep Convolutional Networks for Large-Scale Image Recognition, ICLR 2015,
arXiv:1409.1556, table 1, column D, without its fully connected layers. Every convolution is 3×3
with a bias, and none is normalised; the ImageNet weights are the authors' own from Caffe. NHWC.

The MLSP blocks are the 13 convolutions after ReLU, by Keras' names: 2·64 + 2·128 + 3·256 + 6·512 =
4,224 channels. The feature is the average of the last pool, block5_pool.

Convolutions keep the size of their input and pools take whole windows only, so a layer's grid does
not depend on the picture's size and pictures of several sizes can share a canvas.
"""

from collections.abc import Iterator

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from mtl.network.keras_weights import KerasLayer, KerasWeights, convolution
from mtl.network.layers import (
    BATCH_NORM_MOMENTUM,
    RGB,
    WIDTHS,
    ConvolutionalBody,
    ConvUnit,
    UnitStyle,
    check_images,
    check_width,
    narrowed,
)
from mtl.network.maps import Map, max_pool_on

# Number of convolutions and their channels, of each stage: table 1 of the paper, column D.
STAGES = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
KERNEL = 3  # places of a side, of all convolutions
POOL = 2  # places of a side, of the pool after each stage
FEATURES = STAGES[-1][1]
SMALLEST_SIDE = 32  # pixels; Keras' min_size, of which the five pools leave one place
STYLE = UnitStyle(bias=True, norm=False)

BLOCKS: tuple[tuple[str, int], ...] = tuple(
    (f"block{stage}_conv{k}", channels)
    for stage, (number, channels) in enumerate(STAGES, 1)
    for k in range(1, number + 1)
)


class VGG16(ConvolutionalBody):
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
        channels, stages = RGB, []
        for number, after in STAGES:
            units = []
            for _ in range(number):
                ends = narrowed(channels, width), narrowed(after, width)
                units.append(
                    ConvUnit(ends, KERNEL, momentum=momentum, dtype=dtype, rngs=rngs, style=STYLE)
                )
                channels = after
            stages.append(nnx.List(units))
        self.stages = nnx.List(stages)

    def maps(
        self, images: Float[Array, "n h w 3"], sizes: Int[Array, "n 2"] | None = None
    ) -> tuple[Map, dict[str, Map]]:
        """Return the last pool's output, and the convolutions' by name; see the base class."""
        check_images("VGG16", images, SMALLEST_SIDE)
        apply = nnx.remat(_apply) if self.remat else _apply
        found: list[Map] = []
        x = Map(images, sizes)
        for units in self.stages:
            x, outputs = apply(units, x)
            found += outputs
        names = [name for name, _ in BLOCKS]
        return x, dict(zip(names, found, strict=True))


def _apply(units: nnx.List[ConvUnit], x: Map) -> tuple[Map, list[Map]]:
    """Return a stage's output after its pool, and the outputs of its convolutions."""
    outputs = []
    for unit in units:
        x = unit.on(x)
        outputs.append(x)
    return max_pool_on(x, POOL), outputs


def keras_layers() -> Iterator[KerasLayer]:
    """Yield all layers with weights in the order in which Keras keeps them."""
    for stage, (number, _) in enumerate(STAGES):
        for k in range(number):
            name = f"block{stage + 1}_conv{k + 1}"
            yield convolution(name, f"body/stages/{stage}/{k}/conv", bias=True)


# As in keras/src/applications/vgg16.py, Keras 3.15: address, and MD5 by file.
KERAS = KerasWeights(
    layers=tuple(keras_layers()),
    address="https://storage.googleapis.com/tensorflow/keras-applications/vgg16/",
    file="vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
    digests={
        "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5": "6d6bbae143d832006294945121d1f1fc",
        "vgg16_weights_tf_dim_ordering_tf_kernels.h5": "64373286793e3c8b2b4e3219cbf3544b",
    },
)
