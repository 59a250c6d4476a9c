"""InceptionResNetV2 in Flax NNX, layer for layer the network of `keras.applications`.

Szegedy, Ioffe, Vanhoucke, Alemi: Inception-v4, Inception-ResNet and the Impact of Residual
Connections on Learning, AAAI 2017, arXiv:1602.07261; the layout is the one of the released
TensorFlow-slim weights that Keras carries. NHWC. A forward pass returns the pooled feature and, by
Keras' names, the activations of the 43 blocks that MLSP features are pooled from.

Pictures of several sizes can share a batch. They lie in the upper left corners of a common canvas
and their sizes come with them; every layer then sees zeros where a picture ends, as its own padding
would be, and every average leaves the rest of the canvas out, so that each picture's numbers are
those it has alone, up to rounding.

No weights come with it: `mtl.network.weights.fresh_weights` fills it at random.
"""

from collections.abc import Iterator

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from mtl.network.inception_layers import Branches, ConvUnit, Map, ResidualBlock, Size, max_pool_on

RGB = 3
FEATURES = 1536  # channels of the last convolution, conv_7b
# Shares of every layer's channels, which are multiples of 16 in the paper's network: the width
# multipliers of Howard et al. 2017, arXiv:1704.04861, section 3.3.
WIDTHS = (1.0, 0.5, 0.25, 0.125, 0.0625)
SMALLEST_SIDE = 75  # pixels; below it a 'valid' convolution has nothing left to see

BATCH_NORM_MOMENTUM = 0.99  # Keras' default, which its InceptionResNetV2 keeps

# Residual scales, section 3.3 of the paper in Keras' values.
BLOCK35_SCALE, BLOCK17_SCALE, BLOCK8_SCALE = 0.17, 0.10, 0.20
BLOCK35_REPEATS, BLOCK17_REPEATS, BLOCK8_REPEATS = 10, 20, 10


class InceptionResNetV2(nnx.Module):
    """The convolutional body.

    Args:
        width: one of WIDTHS, the share of the channels that every layer has.
        momentum: of batch normalisation's running statistics; Keras' 0.99 needs hundreds of steps
            to forget the initial ones, so short runs take less.
        dtype: of the convolutions; parameters, statistics and the pooled feature are float32.
        remat: in training, compute the inside of every block a second time for the gradient
            instead of keeping it: a third more arithmetic, much less memory. XLA undoes it on CPUs.
        rngs: random streams; see `mtl.network.weights.fresh_weights` for building it quickly.

    Raises:
        ValueError: the width is not one of WIDTHS.
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
        if width not in WIDTHS:
            raise ValueError(f"width {width} is not one of {' '.join(map(str, WIDTHS))}")
        self.remat = remat
        self.features = round(FEATURES * width)

        def narrowed(channels: int) -> int:
            return channels if channels == RGB else round(channels * width)

        def block(
            chains: list[list[ConvUnit]], mixed: int, channels: int, scale: float, relu: bool = True
        ) -> ResidualBlock:
            return ResidualBlock(
                chains,
                narrowed(mixed),
                narrowed(channels),
                scale,
                relu=relu,
                dtype=dtype,
                rngs=rngs,
            )

        def unit(a: int, b: int, kernel: Size, stride: int = 1, padding: str = "SAME") -> ConvUnit:
            return ConvUnit(
                (narrowed(a), narrowed(b)),
                kernel,
                stride=stride,
                padding=padding,
                momentum=momentum,
                dtype=dtype,
                rngs=rngs,
            )

        self.stem = nnx.List(
            [
                unit(RGB, 32, 3, 2, "VALID"),
                unit(32, 32, 3, 1, "VALID"),
                unit(32, 64, 3),
                unit(64, 80, 1, 1, "VALID"),
                unit(80, 192, 3, 1, "VALID"),
            ]
        )
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

    def __call__(
        self, images: Float[Array, "n h w 3"]
    ) -> tuple[Float[Array, "n f"], dict[str, Float[Array, "n _ _ _"]]]:
        """Pooled feature and the activations of the 43 MLSP blocks by name, in order of depth.

        Args:
            images: scaled as the weights expect it (see `mtl.network.model.SCALINGS`), at least
            75×75.

        Returns:
            (n, 1536) times the width, and (n, h, w, channels) of each block.

        Raises:
            ValueError: the images are smaller than 75×75.
        """
        last, activations = self.maps(images)
        return last.mean(), {name: found.values for name, found in activations.items()}

    def maps(
        self, images: Float[Array, "n h w 3"], sizes: Int[Array, "n 2"] | None = None
    ) -> tuple[Map, dict[str, Map]]:
        """Activations of the last convolution, and of the 43 blocks by name, before any pooling.

        Args:
            images: as above.
            sizes: (height, width) of each picture, at least 75×75, in the upper left corner of its
                image; what is outside is ignored. None takes the images as they are.

        Raises:
            ValueError: the images are smaller than 75×75.
        """
        if min(images.shape[1:3]) < SMALLEST_SIDE:
            raise ValueError(
                f"InceptionResNetV2 needs at least {SMALLEST_SIDE}×{SMALLEST_SIDE} pixels,"
                f" got shape {images.shape}"
            )
        activations: dict[str, Map] = {}
        x = Map(images, sizes)
        for k, layer in enumerate(self.stem):
            x = layer.on(x)
            if k in (2, 4):
                x = max_pool_on(x)
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
    y = stage(x)
    return y, y
