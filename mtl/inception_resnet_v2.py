"""InceptionResNetV2 in Flax NNX, layer for layer the network of `keras.applications`.

Szegedy, Ioffe, Vanhoucke, Alemi: Inception-v4, Inception-ResNet and the Impact of Residual
Connections on Learning, AAAI 2017, arXiv:1602.07261; the layout is the one of the released
TensorFlow-slim weights that Keras carries. NHWC. A forward pass returns the pooled feature and, by
Keras' names, the activations of the 43 blocks that MLSP features are pooled from.

Pictures of several sizes can share a batch. They lie in the upper left corners of a common canvas
and their sizes come with them; every layer then sees zeros where a picture ends, as its own padding
would be, and every average leaves the rest of the canvas out, so that each picture's numbers are
those it has alone, up to rounding.

No weights come with it: `mtl.weights.fresh_weights` fills it at random.
"""

from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

RGB = 3
FEATURES = 1536  # channels of the last convolution, conv_7b
# Shares of every layer's channels, which are multiples of 16 in the paper's network: the width
# multipliers of Howard et al. 2017, arXiv:1704.04861, section 3.3.
WIDTHS = (1.0, 0.5, 0.25, 0.125, 0.0625)
SMALLEST_SIDE = 75  # pixels; below it a 'valid' convolution has nothing left to see

BATCH_NORM_EPSILON = 1e-3  # Keras' InceptionResNetV2
BATCH_NORM_MOMENTUM = 0.99  # Keras' default, which its InceptionResNetV2 keeps

# Residual scales, section 3.3 of the paper in Keras' values.
BLOCK35_SCALE, BLOCK17_SCALE, BLOCK8_SCALE = 0.17, 0.10, 0.20
BLOCK35_REPEATS, BLOCK17_REPEATS, BLOCK8_REPEATS = 10, 20, 10

Size = int | tuple[int, int]


class Map(NamedTuple):
    """Activations of a batch, and how much of them belongs to each picture."""

    values: Float[Array, "n h w c"]
    sizes: Int[Array, "n 2"] | None = None
    """(height, width) of each picture's part, in the upper left corner; None is everything. What
    lies outside it means nothing."""

    def inside(self) -> Bool[Array, "n h w 1"]:
        """Where the pictures are; all true without sizes."""
        n, h, w, _ = self.values.shape
        if self.sizes is None:
            return jnp.ones((n, h, w, 1), bool)
        rows = jnp.arange(h) < self.sizes[:, :1]
        columns = jnp.arange(w) < self.sizes[:, 1:]
        return (rows[:, :, None] & columns[:, None, :])[..., None]

    def cut_out(self) -> Float[Array, "n h w c"]:
        """The values, zero outside the pictures."""
        return self.values if self.sizes is None else jnp.where(self.inside(), self.values, 0)

    def mean(self) -> Float[Array, "n c"]:
        """Average over each picture's places, in float32."""
        if self.sizes is None:
            return self.values.mean(axis=(1, 2), dtype=jnp.float32)
        places = self.sizes.prod(axis=1, keepdims=True).astype(jnp.float32)
        return self.cut_out().sum(axis=(1, 2), dtype=jnp.float32) / places


def sizes_after(
    sizes: Int[Array, "n 2"] | None, kernel: tuple[int, int], stride: int
) -> Int[Array, "n 2"] | None:
    """Sizes of what an unpadded convolution or pool makes of pictures of these sizes."""
    return None if sizes is None else (sizes - jnp.asarray(kernel)) // stride + 1


class BatchNorm(nnx.Module):
    """Batch normalisation with a bias and no scale, over all axes but the last.

    The same numbers as `flax.nnx.BatchNorm(use_scale=False)`, whose in-place update of the running
    statistics costs half a minute of tracing in a network of this depth: for every layer JAX
    composes the message of an error that is then dropped. Computes in float32 whatever the input.
    """

    def __init__(self, channels: int, momentum: float):
        self.bias = nnx.Param(jnp.zeros(channels))
        self.mean = nnx.BatchStat(jnp.zeros(channels))
        self.var = nnx.BatchStat(jnp.ones(channels))
        self.momentum = momentum
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
        inverse = jax.lax.rsqrt(var + BATCH_NORM_EPSILON)
        return (x * inverse + (self.bias.get_value() - mean * inverse)).astype(given)


class ConvUnit(nnx.Module):
    """Convolution without bias, batch normalisation without scale, ReLU."""

    def __init__(
        self,
        channels: tuple[int, int],
        kernel: Size,
        *,
        stride: int = 1,
        padding: str = "SAME",
        momentum: float,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ):
        kernel = (kernel, kernel) if isinstance(kernel, int) else kernel
        self.kernel, self.stride, self.padded = kernel, stride, padding == "SAME"
        self.conv = nnx.Conv(
            *channels,
            kernel,
            strides=stride,
            padding=padding,
            use_bias=False,
            dtype=dtype,
            rngs=rngs,
        )
        self.norm = BatchNorm(channels[1], momentum)

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 c2"]:
        """Convolve, normalise, rectify."""
        return nnx.relu(self.norm(self.conv(x)))

    def on(self, x: Map) -> Map:
        """The same for pictures of several sizes on one canvas.

        Raises:
            ValueError: the layer pads and strides, so that its grid depends on a picture's size.
        """
        if not self.padded:
            return Map(self(x.values), sizes_after(x.sizes, self.kernel, self.stride))
        if self.stride > 1 and x.sizes is not None:
            raise ValueError("a padded convolution with a stride has no common grid for all sizes")
        # A 1×1 convolution sees no neighbours.
        return Map(self(x.values if self.kernel == (1, 1) else x.cut_out()), x.sizes)


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
            outputs.append(_max_pool(x))
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


class InceptionResNetV2(nnx.Module):
    """The convolutional body.

    Args:
        width: one of WIDTHS, the share of the channels that every layer has.
        momentum: of batch normalisation's running statistics; Keras' 0.99 needs hundreds of steps
            to forget the initial ones, so short runs take less.
        dtype: of the convolutions; parameters, statistics and the pooled feature are float32.
        remat: in training, compute the inside of every block a second time for the gradient
            instead of keeping it: a third more arithmetic, much less memory. XLA undoes it on CPUs.
        rngs: random streams; see `mtl.weights.fresh_weights` for building it quickly.

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
            images: scaled as the weights expect it (see `mtl.model.SCALINGS`), at least 75×75.

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
                x = _max_pool(x)
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


def max_pool(x: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 c"]:
    """3×3 maximum, stride 2, no padding."""
    return nnx.max_pool(x, (3, 3), (2, 2), "VALID")


def _max_pool(x: Map) -> Map:
    return Map(max_pool(x.values), sizes_after(x.sizes, (3, 3), 2))


def average_pool(x: Map) -> Map:
    """3×3 mean, stride 1, as large as before; beyond a picture's edges nothing is counted."""
    _, h, w, _ = x.values.shape
    sizes = jnp.array([[h, w]]) if x.sizes is None else x.sizes

    def counted(length: int, sizes: Int[Array, " n"]) -> Int[Array, "n s"]:
        place = jnp.arange(length)
        return 3 - (place == 0).astype(int) - (place == sizes[:, None] - 1)

    rows, columns = counted(h, sizes[:, 0]), counted(w, sizes[:, 1])
    count = (rows[:, :, None] * columns[:, None, :])[..., None]
    nine = (1, 3, 3, 1), (1, 1, 1, 1), "SAME"
    total = jax.lax.reduce_window(x.cut_out(), 0.0, jax.lax.add, *nine)
    return Map(total / count.astype(total.dtype), x.sizes)
