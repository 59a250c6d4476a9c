"""CNNIQA in Flax NNX: a shallow network that judges 32×32 patches by what their contrast leaves.

Kang, Ye, Li, Doermann: Convolutional Neural Networks for No-Reference Image Quality Assessment,
CVPR 2014, doi:10.1109/CVPR.2014.224, section 3. A grey picture is normalised by the mean and the
standard deviation around each pixel and cut into 32×32 patches without overlap. Each patch passes
a convolution of 50 kernels of 7×7 without padding and without activation, whose maximum and minimum
over the patch are 100 numbers; FC 800, ReLU; FC 800, ReLU, dropout of .5; and a linear regression.
A picture's score is the average over its patches.

In this frame a picture of any size is a map of h//32 × w//32 places, one for each patch; what
remains at the right and at the bottom is left out. The regression is linear, so that a linear head
on the average of the features is the average of the patches' scores. The MLSP blocks are the 100
numbers, and the outputs of both hidden layers: 100 + 800 + 800 = 1,700 channels.

The paper trains on patches, each with its picture's score, by the mean absolute error:

    deepfl finetune RATINGS.csv --network cnniqa --init random --head linear --loss mae --crop 32 32

An epoch then sees one patch of each picture, the paper's all of them; the optimiser is Adam, the
paper's stochastic gradient descent with momentum. Dropout works on the average of a picture's
features, which with one patch is the paper's.

What the paper leaves open: grey is ITU-R BT.601's luma, unrounded; the constant C is 1, as in
BRISQUE, whose normalisation this is with equal weights; and a window ends where the picture does.
So a picture's numbers do not depend on a canvas around it, and pictures of several sizes share one
(`mtl.network.maps`).
"""

from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from mtl.network.layers import (
    BATCH_NORM_MOMENTUM,
    ConvolutionalBody,
    check_images,
    check_width,
    narrowed,
)
from mtl.network.maps import Map

Y_WEIGHTS = (0.299, 0.587, 0.114)  # of R, G, B (ITU-R BT.601)
RADIUS = 3  # P and Q of equation (1): windows of 7×7
CONTRAST = 1.0  # C of equation (1), for pixels 0..255
PATCH = 32  # pixels of a side
KERNELS = 50
KERNEL = 7  # pixels of a side
HIDDEN = 800  # units of each hidden layer
DROPOUT = 0.5

FEATURES = HIDDEN
SMALLEST_SIDE = PATCH
BLOCKS = (("pool", 2 * KERNELS), ("fc1", HIDDEN), ("fc2", HIDDEN))
WIDTHS = (1.0, 0.5)  # 50 kernels have no smaller share that matters


class CNNIQA(ConvolutionalBody):
    """The network up to its regression; `dtype` is of all layers but the normalisation."""

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
        self.remat, self.dtype = remat, dtype
        self.features = narrowed(FEATURES, width)
        kernels = narrowed(KERNELS, width)
        side = (KERNEL, KERNEL)
        self.conv = nnx.Conv(1, kernels, side, padding="VALID", dtype=dtype, rngs=rngs)
        self.fc1 = nnx.Linear(2 * kernels, self.features, dtype=dtype, rngs=rngs)
        self.fc2 = nnx.Linear(self.features, self.features, dtype=dtype, rngs=rngs)

    def maps(
        self, images: Float[Array, "n h w 3"], sizes: Int[Array, "n 2"] | None = None
    ) -> tuple[Map, dict[str, Map]]:
        """Return the second hidden layer at each patch, and the blocks; see the base class."""
        check_images("CNNIQA", images, SMALLEST_SIDE)
        red, green, blue = (weight * images[..., k] for k, weight in enumerate(Y_WEIGHTS))
        patches = _patches(normalised(red + green + blue, sizes))
        pool = partial(_extremes, self.conv)
        # One row of patches after the other: their convolutions stay in a CPU's caches.
        rows = jax.lax.map(jax.checkpoint(pool) if self.remat else pool, patches.astype(self.dtype))
        pooled = rows.reshape(len(rows), len(images), -1, rows.shape[-1]).swapaxes(0, 1)
        first = nnx.relu(self.fc1(pooled))
        second = nnx.relu(self.fc2(first))
        found = {"pool": pooled, "fc1": first, "fc2": second}
        places = None if sizes is None else sizes // PATCH
        blocks = {name: Map(values, places) for name, values in found.items()}
        return blocks["fc2"], blocks


def normalised(
    gray: Float[Array, "n h w"], sizes: Int[Array, "n 2"] | None = None
) -> Float[Array, "n h w"]:
    """Subtract from each pixel the mean of the 7×7 around it, and divide by deviation + 1.

    Equations (1) to (3). A window ends where the picture ends. Mean and variance come from those of
    the window's rows, as sums of squares alone, so that no variance is lost to rounding.

    Args:
        gray: pixels 0..255.
        sizes: (height, width) of each picture, in the upper left corner; None is everything.
    """
    _, h, w = gray.shape
    whole = jnp.array([[h, w]]) if sizes is None else sizes
    rows = (jnp.arange(h) < whole[:, :1])[:, :, None]
    columns = (jnp.arange(w) < whole[:, 1:])[:, None, :]
    mean, variance = _moments(gray, jnp.zeros_like(gray), columns, axis=2)
    mean, variance = _moments(mean, variance, rows, axis=1)
    return (gray - mean) / (jnp.sqrt(variance) + CONTRAST)


def _moments(
    means: Float[Array, "n h w"],
    variances: Float[Array, "n h w"],
    inside: Bool[Array, "_ _ _"],
    axis: int,
) -> tuple[Float[Array, "n h w"], Float[Array, "n h w"]]:
    """Return mean and variance of what equally large groups within RADIUS on an axis hold."""

    def around(x):
        ends = [(0, 0)] * x.ndim
        ends[axis] = (RADIUS, RADIUS)
        padded = jnp.pad(x, ends)
        return [
            jax.lax.slice_in_dim(padded, k, k + x.shape[axis], axis=axis)
            for k in range(2 * RADIUS + 1)
        ]

    counted = around(inside)
    number = jnp.maximum(sum(each.astype(jnp.float32) for each in counted), 1)
    near = around(means)
    mean = sum(jnp.where(c, m, 0) for c, m in zip(counted, near, strict=True)) / number
    squares = (
        jnp.where(c, v + (m - mean) ** 2, 0)
        for c, m, v in zip(counted, near, around(variances), strict=True)
    )
    return mean, sum(squares) / number


def _patches(x: Float[Array, "n h w"]) -> Float[Array, "r p 32 32 1"]:
    """Cut pictures into patches; those of a row of all pictures stand together."""
    n, h, w = x.shape
    r, c = h // PATCH, w // PATCH
    cut = x[:, : r * PATCH, : c * PATCH].reshape(n, r, PATCH, c, PATCH)
    return cut.transpose(1, 0, 3, 2, 4).reshape(r, n * c, PATCH, PATCH, 1)


def _extremes(conv: nnx.Conv, patches: Float[Array, "p 32 32 1"]) -> Float[Array, "p c"]:
    """Convolve, and return the maximum and then the minimum of each channel over each patch."""
    y = conv(patches)
    return jnp.concatenate([y.max(axis=(1, 2)), y.min(axis=(1, 2))], axis=1)
