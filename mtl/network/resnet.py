"""ResNet in Flax NNX, layer for layer the first version's networks of `keras.applications`.

He, Zhang, Ren, Sun: Deep Residual Learning for Image Recognition, CVPR 2016, arXiv:1512.03385,
table 1. As in Keras, the stride of a stage is in the first 1×1 convolution of its first block, all
convolutions have a bias, and the ImageNet weights are the authors' own from Caffe. NHWC.

The MLSP blocks are the outputs of the residual blocks after addition and ReLU, by Keras' names: for
ResNet-50 sixteen blocks of 3·256 + 4·512 + 6·1024 + 3·2048 = 15,104 channels, for ResNet-101 33
blocks with 23 of 1024 in the place of 6, 32,512 channels. They are what the next block sees,
shortcut included; InceptionResNetV2's residual blocks give their branches instead, as the paper of
MLSP has them, which ResNet's bottlenecks have no counterpart of.

The padding before a stride is explicit and on both sides, so a layer's grid does not depend on the
picture's size and pictures of several sizes can share a canvas (`mtl.network.maps`).
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from mtl.network.keras_weights import KerasLayer, KerasWeights, convolution, normalisation
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

# Residual blocks of each stage, table 1 of the paper.
RESNET50 = (3, 4, 6, 3)
RESNET101 = (3, 4, 23, 3)

STEM = 64  # channels of the first convolution
INNER = (64, 128, 256, 512)  # channels inside the blocks of each stage
EXPANSION = 4  # channels of a block's output for each inside
FEATURES = EXPANSION * INNER[-1]
SMALLEST_SIDE = 32  # pixels; Keras' min_size
FIRST_STAGE = 2  # the number of the first stage in the paper's and Keras' names
STYLE = UnitStyle(bias=True, scale=True, epsilon=1.001e-5)  # Keras' epsilon

Unit = Callable[..., ConvUnit]


class Bottleneck(nnx.Module):
    """ReLU of the input, or its projection, plus three convolutions: 1×1, 3×3 and 1×1.

    Args:
        unit: makes a convolution unit of (input, output) channels, kernel and stride.
        channels: of the input.
        inner: channels of the first two convolutions.
        stride: of the first convolution and of the projection.
        project: whether the shortcut is a 1×1 convolution.
    """

    def __init__(self, unit: Unit, channels: int, inner: int, stride: int, *, project: bool):
        outer = EXPANSION * inner
        pointwise = partial(unit, kernel=1, padding="VALID")
        self.shortcut = pointwise((channels, outer), stride=stride) if project else None
        self.units = nnx.List(
            [
                pointwise((channels, inner), stride=stride),
                unit((inner, inner), 3),
                pointwise((inner, outer)),
            ]
        )

    def __call__(self, x: Map) -> Map:
        """Return the block's output."""
        first, second, third = self.units
        y = third.on(second.on(first.on(x)), activate=False)
        kept = x if self.shortcut is None else self.shortcut.on(x, activate=False)
        return Map(nnx.relu(kept.values + y.values), y.sizes)


class ResNet(ConvolutionalBody):
    """The convolutional body.

    Args:
        repeats: residual blocks of each of the four stages, such as RESNET50.
    """

    def __init__(
        self,
        repeats: Sequence[int],
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
        unit: Unit = partial(ConvUnit, momentum=momentum, dtype=dtype, rngs=rngs, style=STYLE)
        channels = narrowed(STEM, width)
        self.conv1 = unit((RGB, channels), 7, stride=2, padding=3)
        stages = []
        for stage, (number, inner) in enumerate(zip(repeats, INNER, strict=True)):
            inner = narrowed(inner, width)
            blocks = []
            for k in range(number):
                stride = 2 if stage and not k else 1
                blocks.append(Bottleneck(unit, channels, inner, stride, project=not k))
                channels = EXPANSION * inner
            stages.append(nnx.List(blocks))
        self.stages = nnx.List(stages)

    def maps(
        self, images: Float[Array, "n h w 3"], sizes: Int[Array, "n 2"] | None = None
    ) -> tuple[Map, dict[str, Map]]:
        """Return the last block's output, and those of all blocks by name; see the base class."""
        check_images("ResNet", images, SMALLEST_SIDE)
        activations: dict[str, Map] = {}
        x = max_pool_on(self.conv1.on(Map(images, sizes)), padding=1)
        apply = nnx.remat(_apply) if self.remat else _apply
        for stage, blocks in enumerate(self.stages):
            for k, block in enumerate(blocks):
                x = activations[block_name(stage, k)] = apply(block, x)
        return x, activations


def _apply(block: Bottleneck, x: Map) -> Map:
    return block(x)


def block_name(stage: int, number: int) -> str:
    """Return Keras' name of a block's output; both count from 0."""
    return f"{_layer_name(stage, number)}_out"


def _layer_name(stage: int, number: int) -> str:
    return f"conv{stage + FIRST_STAGE}_block{number + 1}"


def resnet_blocks(repeats: Sequence[int]) -> tuple[tuple[str, int], ...]:
    """Return the names of the MLSP blocks and their channels at full width."""
    return tuple(
        (block_name(stage, k), EXPANSION * inner)
        for stage, (number, inner) in enumerate(zip(repeats, INNER, strict=True))
        for k in range(number)
    )


def keras_layers(repeats: Sequence[int]) -> Iterator[KerasLayer]:
    """Yield all layers with weights, those of a kind in the order in which Keras keeps them.

    The projection of a shortcut is as far from the output as the block's third convolution, and
    was created before it.
    """

    def unit(name: str, path: str) -> Iterator[KerasLayer]:
        yield convolution(f"{name}_conv", f"{path}/conv", bias=True)
        yield normalisation(f"{name}_bn", f"{path}/norm", scale=True)

    yield from unit("conv1", "body/conv1")
    for stage, number in enumerate(repeats):
        for k in range(number):
            name, path = _layer_name(stage, k), f"body/stages/{stage}/{k}"
            yield from unit(f"{name}_1", f"{path}/units/0")
            yield from unit(f"{name}_2", f"{path}/units/1")
            if not k:
                yield from unit(f"{name}_0", f"{path}/shortcut")
            yield from unit(f"{name}_3", f"{path}/units/2")


def keras_weights(name: str, repeats: Sequence[int], digests: tuple[str, str]) -> KerasWeights:
    """Return what is known of the weights of a ResNet in Keras.

    Args:
        name: Keras' name of the network, such as resnet50.
        repeats: residual blocks of each stage.
        digests: MD5 of the file with the classification layer, and of the one without, as in
            keras/src/applications/resnet.py, Keras 3.15.
    """
    whole = f"{name}_weights_tf_dim_ordering_tf_kernels.h5"
    body = f"{name}_weights_tf_dim_ordering_tf_kernels_notop.h5"
    return KerasWeights(
        layers=tuple(keras_layers(repeats)),
        address="https://storage.googleapis.com/tensorflow/keras-applications/resnet/",
        file=body,
        digests={whole: digests[0], body: digests[1]},
    )


KERAS50 = keras_weights(
    "resnet50",
    RESNET50,
    ("2cb95161c43110f7111970584f804107", "4d473c1dd8becc155b73f8504c6f6626"),
)
KERAS101 = keras_weights(
    "resnet101",
    RESNET101,
    ("f1aeb4b969a6efcfb50fad2f0c20cfc5", "88cf7a10940856eca736dc7b7e228a21"),
)
