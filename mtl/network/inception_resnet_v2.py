"""InceptionResNetV2 in Flax NNX, layer for layer the network of `keras.applications`.

Szegedy, Ioffe, Vanhoucke, Alemi: Inception-v4, Inception-ResNet and the Impact of Residual
Connections on Learning, AAAI 2017, arXiv:1602.07261; the layout is the one of the released
TensorFlow-slim weights that Keras carries. NHWC. A forward pass returns the pooled feature and, by
Keras' names, the activations of the 43 blocks that MLSP features are pooled from.

No weights come with it: `mtl.network.weights.fresh_weights` fills it at random.
"""

from collections.abc import Iterator
from typing import NamedTuple

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from mtl.network.inception_layers import (
    STEM_UNITS,
    Branches,
    ResidualBlock,
    after_stem,
    stem,
    unit_maker,
)
from mtl.network.keras_weights import (
    KerasLayer,
    KerasWeights,
    KnownFile,
    by_distance,
    convolution,
    normalisation,
)
from mtl.network.layers import (
    BATCH_NORM_MOMENTUM,
    WIDTHS,
    ConvolutionalBody,
    ConvUnit,
    check_images,
    check_width,
    narrowed,
)
from mtl.network.maps import Map

FEATURES = 1536  # channels of the last convolution, conv_7b
SMALLEST_SIDE = 75  # pixels; below it a 'valid' convolution has nothing left to see

# Residual scales, section 3.3 of the paper in Keras' values.
BLOCK35_SCALE, BLOCK17_SCALE, BLOCK8_SCALE = 0.17, 0.10, 0.20
BLOCK35_REPEATS, BLOCK17_REPEATS, BLOCK8_REPEATS = 10, 20, 10


# The MLSP blocks, 16,928 channels in all. Hosu, Goldlücke, Saupe: Effective Aesthetics Prediction
# with Multi-level Spatially Pooled Features, CVPR 2019, arXiv:1904.01382; used by DeepFL-IQA,
# arXiv:2001.08113, section IV-C and figure 6. Names are Keras' layer names; a residual block
# contributes the concatenation of its branches.
BLOCKS: tuple[tuple[str, int], ...] = (
    ("mixed_5b", 320),
    *((f"block35_{k}_mixed", 128) for k in range(1, BLOCK35_REPEATS + 1)),
    ("mixed_6a", 1088),
    *((f"block17_{k}_mixed", 384) for k in range(1, BLOCK17_REPEATS + 1)),
    ("mixed_7a", 2080),
    *((f"block8_{k}_mixed", 448) for k in range(1, BLOCK8_REPEATS + 1)),
)


class InceptionResNetV2(ConvolutionalBody):
    """The convolutional body.

    Keras' momentum of 0.99 needs hundreds of steps to forget the initial statistics, so short runs
    take less. `remat` costs a third more arithmetic and saves much memory; XLA undoes it on CPUs.
    """

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

        def block(
            chains: list[list[ConvUnit]], mixed: int, channels: int, scale: float, relu: bool = True
        ) -> ResidualBlock:
            return ResidualBlock(
                chains,
                narrowed(mixed, width),
                narrowed(channels, width),
                scale,
                relu=relu,
                dtype=dtype,
                rngs=rngs,
            )

        unit = unit_maker(width, momentum=momentum, dtype=dtype, rngs=rngs)
        self.stem = stem(unit)
        self.mixed_5b = Branches(
            [
                [unit(192, 96, 1)],
                [unit(192, 48, 1), unit(48, 64, 5)],
                [unit(192, 64, 1), unit(64, 96, 3), unit(96, 96, 3)],
                [unit(192, 64, 1)],
            ],
            pool="average",
        )
        self.block35 = nnx.List(
            [
                block(
                    [
                        [unit(320, 32, 1)],
                        [unit(320, 32, 1), unit(32, 32, 3)],
                        [unit(320, 32, 1), unit(32, 48, 3), unit(48, 64, 3)],
                    ],
                    128,
                    320,
                    BLOCK35_SCALE,
                )
                for _ in range(BLOCK35_REPEATS)
            ]
        )
        self.mixed_6a = Branches(
            [
                [unit(320, 384, 3, 2, "VALID")],
                [unit(320, 256, 1), unit(256, 256, 3), unit(256, 384, 3, 2, "VALID")],
            ],
            pool="max",
        )
        self.block17 = nnx.List(
            [
                block(
                    [
                        [unit(1088, 192, 1)],
                        [unit(1088, 128, 1), unit(128, 160, (1, 7)), unit(160, 192, (7, 1))],
                    ],
                    384,
                    1088,
                    BLOCK17_SCALE,
                )
                for _ in range(BLOCK17_REPEATS)
            ]
        )
        self.mixed_7a = Branches(
            [
                [unit(1088, 256, 1), unit(256, 384, 3, 2, "VALID")],
                [unit(1088, 256, 1), unit(256, 288, 3, 2, "VALID")],
                [unit(1088, 256, 1), unit(256, 288, 3), unit(288, 320, 3, 2, "VALID")],
            ],
            pool="max",
        )
        self.block8 = nnx.List(
            [
                block(
                    [
                        [unit(2080, 192, 1)],
                        [unit(2080, 192, 1), unit(192, 224, (1, 3)), unit(224, 256, (3, 1))],
                    ],
                    448,
                    2080,
                    # The tenth is not scaled and not rectified.
                    1.0 if k == BLOCK8_REPEATS - 1 else BLOCK8_SCALE,
                    relu=k < BLOCK8_REPEATS - 1,
                )
                for k in range(BLOCK8_REPEATS)
            ]
        )
        self.conv_7b = unit(2080, FEATURES, 1)

    def maps(
        self, images: Float[Array, "n h w 3"], sizes: Int[Array, "n 2"] | None = None
    ) -> tuple[Map, dict[str, Map]]:
        """Return the activations of conv_7b, and of the 43 blocks by name; see the base class."""
        check_images("InceptionResNetV2", images, SMALLEST_SIDE)
        activations: dict[str, Map] = {}
        x = after_stem(self.stem, Map(images, sizes))
        apply = nnx.remat(_apply) if self.remat else _apply
        for name, stage in self._stages():
            x, activations[name] = apply(stage, x)
        return self.conv_7b.on(x), activations

    def _stages(self) -> Iterator[tuple[str, Branches | ResidualBlock]]:
        yield "mixed_5b", self.mixed_5b
        for k, block in enumerate(self.block35, 1):
            yield f"block35_{k}_mixed", block
        yield "mixed_6a", self.mixed_6a
        for k, block in enumerate(self.block17, 1):
            yield f"block17_{k}_mixed", block
        yield "mixed_7a", self.mixed_7a
        for k, block in enumerate(self.block8, 1):
            yield f"block8_{k}_mixed", block


def _apply(stage: Branches | ResidualBlock, x: Map) -> tuple[Map, Map]:
    """What goes on to the next stage, and the activations that MLSP pools."""
    if isinstance(stage, ResidualBlock):
        return stage(x)
    y = stage.on(x)
    return y, y


class Convolution(NamedTuple):
    """A convolution of the body."""

    path: str
    """Of our unit, or of our convolution where it has a bias and no normalisation."""
    keras: str | int
    """Keras' name, or its place among those that Keras numbers as it creates them."""


def keras_convolutions() -> list[Convolution]:
    """Return all convolutions in the order in which Keras keeps them."""
    found: list[Convolution] = []
    created = 0

    def chains(path: str, *lengths: int) -> None:
        nonlocal created
        found.extend(Convolution(*unit) for unit in by_distance(path, lengths, created))
        created += sum(lengths)

    def blocks(name: str, repeats: int, *lengths: int) -> None:
        for k in range(repeats):
            chains(f"body/{name}/{k}/branches", *lengths)
            found.append(Convolution(f"body/{name}/{k}/up", f"{name}_{k + 1}_conv"))

    found += [Convolution(f"body/stem/{k}", k) for k in range(STEM_UNITS)]
    created = len(found)
    chains("body/mixed_5b", 1, 2, 3, 1)
    blocks("block35", BLOCK35_REPEATS, 1, 2, 3)
    chains("body/mixed_6a", 1, 3)
    blocks("block17", BLOCK17_REPEATS, 1, 3)
    chains("body/mixed_7a", 2, 2, 3)
    blocks("block8", BLOCK8_REPEATS, 1, 3)
    found.append(Convolution("body/conv_7b", "conv_7b"))
    return found


def keras_layers() -> Iterator[KerasLayer]:
    """Yield all layers with weights in the order in which Keras keeps them."""
    for path, keras in keras_convolutions():
        if path.endswith("/up"):
            yield convolution(keras, path, bias=True)
        else:
            yield convolution(keras, f"{path}/conv")
            yield normalisation(keras if isinstance(keras, int) else f"{keras}_bn", f"{path}/norm")


# As in keras/src/applications/inception_resnet_v2.py, Keras 3.15: address, and MD5 by file.
KERAS = KerasWeights(
    layers=tuple(keras_layers()),
    address="https://storage.googleapis.com/tensorflow/keras-applications/inception_resnet_v2/",
    file="inception_resnet_v2_weights_tf_dim_ordering_tf_kernels_notop.h5",
    digests={
        "inception_resnet_v2_weights_tf_dim_ordering_tf_kernels_notop.h5": (
            "d19885ff4a710c122648d3b5c3b684e4"
        ),
        "inception_resnet_v2_weights_tf_dim_ordering_tf_kernels.h5": (
            "e693bd0210a403b3192acc6073ad2e96"
        ),
    },
    first_unit="body/stem/0",
    known=(
        KnownFile(
            stem="quality-mlsp-mtl-mse-loss",  # a second download is named "... (1).hdf5"
            source="the DeepFL-IQA authors' body",
            scaling="zero_to_one",
            because="the file has the name of the authors' published body",
        ),
    ),
)
