"""AlexNet in Flax NNX as Caffe ships it (CaffeNet): the network that DeepBIQ describes pictures by.

Krizhevsky, Sutskever, Hinton: ImageNet Classification with Deep Convolutional Neural Networks, NIPS
2012; Jia et al.: Caffe, arXiv:1408.5093, whose bvlc_reference_caffenet is this layout: pooling
comes before the normalisation, and there is one column of layers instead of two on two devices.
Bianco et al., DeepBIQ, arXiv:1602.05531, table 1, describe 227×227 crops by fc7's 4,096 numbers.
NHWC; channels of the input in Caffe's order, blue first (the row's scaling gives them so).

    conv1  11×11, stride 4, no padding   ReLU   pool 3×3, stride 2   LRN
    conv2  5×5, padding 2, two groups    ReLU   pool 3×3, stride 2   LRN
    conv3  3×3, padding 1                ReLU
    conv4  3×3, padding 1, two groups    ReLU
    conv5  3×3, padding 1, two groups    ReLU   pool 3×3, stride 2
    fc6, fc7                             ReLU

All layers have a bias; nothing is normalised by batch. fc6 is a 6×6 convolution without padding and
fc7 a 1×1 convolution. A picture of 227×227 pixels gives one place, which is Caffe's fc6 and fc7.
A larger picture gives a map, and its average is the feature, as Caffe's example "net surgery" turns
the same layers into convolutions. The MLSP blocks are the seven layers after ReLU: 9,568 channels.

No padding depends on a picture's size, so pictures of several sizes can share a canvas
(`mtl.network.maps`).

Dropout: Caffe drops half of fc6's and half of fc7's outputs in training. fc7's is the body's
`dropout`, applied to the features before any head. fc6's is left out: a body gets no random keys.
"""

from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from mtl.network.caffe_weights import CaffeWeights
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

# The MLSP blocks by Caffe's names: all layers with weights, by depth, and their channels.
BLOCKS = (
    ("conv1", 96),
    ("conv2", 256),
    ("conv3", 384),
    ("conv4", 384),
    ("conv5", 256),
    ("fc6", 4096),
    ("fc7", 4096),
)
FEATURES = 4096  # fc7's
FC6_SIDE = 6  # places of pool5 that fc6 sees; what 227 pixels leave
# Pixels. 199 leave 48 places after conv1, then 24, 12 and 6 after the pools; 198 leave 5.
SMALLEST_SIDE = 199
STYLE = UnitStyle(bias=True, norm=False)
DROPOUT = 0.5  # of fc7's outputs, dropout_ratio in Caffe's train_val.prototxt

# Local response normalisation, lrn_param in Caffe's train_val.prototxt.
LRN_SIZE = 5  # channels
LRN_ALPHA = 1e-4  # divided by the size in Caffe
LRN_K = 1.0


class TwoGroups(ConvUnit):
    """A convolution unit without a stride whose two halves see half of the input's channels each.

    The first half of the outputs sees the first half of the inputs. The kernel is (height, width,
    inputs / 2, outputs), as `feature_group_count=2` has it.

    Args:
        channels: of input and output, both even.
        kernel: height and width.
        padding: places of zeros on each side.
        momentum: unused; there is no normalisation.
        dtype: of the convolution.
        rngs: random streams.
    """

    def __init__(
        self,
        channels: tuple[int, int],
        kernel: int,
        *,
        padding: int,
        momentum: float,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ):
        super().__init__(
            (channels[0] // 2, channels[1]),
            kernel,
            padding=padding,
            momentum=momentum,
            dtype=dtype,
            rngs=rngs,
            style=STYLE,
        )
        self.sides = [(padding, padding)] * 2

    def linear(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 c2"]:
        """Convolve.

        Two convolutions are faster on CPUs than one with `feature_group_count=2`, with the
        gradient or without. Of one picture of 512×384 on two cores, in ms: conv2 4.4 for 20.2
        (with the gradient 14 for 188), conv4 3.7 for 9.8 (10 for 60), conv5 2.1 for 6.3 (7 for 49).
        """
        kernel, bias = _parameters(self)
        halves = [
            jax.lax.conv_general_dilated(
                seen,
                weights,
                (1, 1),
                self.sides,
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
            )
            for seen, weights in zip(
                jnp.split(x.astype(kernel.dtype), 2, axis=-1),
                jnp.split(kernel, 2, axis=-1),
                strict=True,
            )
        ]
        return jnp.concatenate(halves, axis=-1) + bias


class FullyConnected(ConvUnit):
    """A fully connected layer over a window that moves: a convolution unit without padding.

    Takes the arguments of `ConvUnit`.
    """

    def linear(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 c2"]:
        """Multiply the places of every window, one after another, by the kernel as a matrix.

        One matrix product is faster on CPUs than XLA's convolution. Of one picture of 512×384
        (60 windows) on two busy cores, in ms: fc6 120 for 307 (with the gradient 404 for 1,212),
        fc7 40 for 135 (184 for 540).
        """
        kernel, bias = _parameters(self)
        rows, columns = (n - k + 1 for n, k in zip(x.shape[1:3], self.kernel, strict=True))
        windows = jnp.concatenate(
            [
                x[:, i : i + rows, j : j + columns].astype(kernel.dtype)
                for i in range(self.kernel[0])
                for j in range(self.kernel[1])
            ],
            axis=-1,
        )
        return windows @ kernel.reshape(-1, kernel.shape[-1]) + bias


def _parameters(unit: ConvUnit) -> tuple[Array, Array]:
    """Return kernel and bias in the type that the convolution computes in."""
    conv = unit.conv
    assert conv.bias is not None  # STYLE has one
    return conv.kernel.get_value().astype(conv.dtype), conv.bias.get_value().astype(conv.dtype)


def pool(x: Map) -> Map:
    """Return the maximum of 3×3 places, stride 2, of activations that are not negative.

    Caffe rounds the size up, to ceil((in - 3) / 2) + 1: the last window of an even side has two
    rows or columns. A row and a column of zeros give the same after ReLU, and nothing where the
    side is odd.
    """
    return max_pool_on(x, padding=(0, 1))


def local_response_norm(x: Map) -> Map:
    """Divide each activation by what its neighbours in the channels sum up to.

        y[c] = x[c] / (k + alpha / size · Σ x[i]²) ** 0.75,  i = c - 2 ... c + 2

    The power is Caffe's beta. Channels beyond the first and last count as zero. Computes in
    float32 at least.
    """
    values = x.values.astype(jnp.promote_types(x.values.dtype, jnp.float32))
    window = (1, 1, 1, LRN_SIZE), (1, 1, 1, 1), "SAME"
    total = jax.lax.reduce_window(values * values, 0.0, jax.lax.add, *window)
    # ** -0.75 as a root and a root of it: a third of the time of a power.
    inverse = jax.lax.rsqrt(LRN_K + LRN_ALPHA / LRN_SIZE * total)
    return Map((values * inverse * jnp.sqrt(inverse)).astype(x.values.dtype), x.sizes)


class AlexNet(ConvolutionalBody):
    """The convolutional body; `dtype` is of the fully connected layers, too."""

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
        settings = {"momentum": momentum, "dtype": dtype, "rngs": rngs}
        unit = partial(ConvUnit, **settings, style=STYLE)
        halves = partial(TwoGroups, **settings)
        conv1, conv2, conv3, conv4, conv5, fc6, fc7 = (narrowed(n, width) for _, n in BLOCKS)
        self.conv1 = unit((RGB, conv1), 11, stride=4, padding="VALID")
        self.conv2 = halves((conv1, conv2), 5, padding=2)
        self.conv3 = unit((conv2, conv3), 3, padding=1)
        self.conv4 = halves((conv3, conv4), 3, padding=1)
        self.conv5 = halves((conv4, conv5), 3, padding=1)
        connected = partial(FullyConnected, **settings, style=STYLE, padding="VALID")
        self.fc6 = connected((conv5, fc6), FC6_SIDE)
        self.fc7 = connected((fc6, fc7), 1)

    def maps(
        self, images: Float[Array, "n h w 3"], sizes: Int[Array, "n 2"] | None = None
    ) -> tuple[Map, dict[str, Map]]:
        """Return fc7's activations, and those of all layers by name; see the base class."""
        check_images("AlexNet", images, SMALLEST_SIDE)
        apply = nnx.remat(_apply) if self.remat else _apply
        normalised = jax.checkpoint(_pool_and_normalise) if self.remat else _pool_and_normalise
        conv1 = apply(self.conv1, Map(images, sizes))
        conv2 = apply(self.conv2, normalised(conv1))
        conv3 = apply(self.conv3, normalised(conv2))
        conv4 = apply(self.conv4, conv3)
        conv5 = apply(self.conv5, conv4)
        fc6 = apply(self.fc6, pool(conv5))
        fc7 = apply(self.fc7, fc6)
        found = (conv1, conv2, conv3, conv4, conv5, fc6, fc7)
        return fc7, {name: x for (name, _), x in zip(BLOCKS, found, strict=True)}


def _apply(unit: ConvUnit, x: Map) -> Map:
    return unit.on(x)


def _pool_and_normalise(x: Map) -> Map:
    return local_response_norm(pool(x))


# bvlc_alexnet has the same weights by the same names, and normalises before it pools.
CAFFE = CaffeWeights(
    layers={name: f"body/{name}/conv" for name, _ in BLOCKS},
    order=(("pool1", "norm1"), ("pool2", "norm2")),
    unlike="BVLC's AlexNet",
    file="bvlc_reference_caffenet.caffemodel",
    # From models/bvlc_reference_caffenet/readme.md of Caffe.
    digests={"4c8d77deb20ea792f84eb5e6d0a11ca0a8660a46": "BVLC's CaffeNet, ImageNet weights"},
)
