"""Image resizing as MATLAB's imresize does it."""

import math
from functools import lru_cache
from typing import Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Kernel = Literal["bicubic", "bilinear"]

BICUBIC_A = -0.5
"""Free parameter of the cubic convolution kernel (Keys 1981, as in MATLAB)."""
_REACH = {"bicubic": 2, "bilinear": 1}


def resize(
    planes: Float[Array, "n h w"],
    height: int,
    width: int,
    kernel: Kernel,
    scale: float | None = None,
) -> Float[Array, "n oh ow"]:
    """Resize with a separable kernel, widened along the axes where the image shrinks.

    Pixel centres are aligned, weights sum to 1 and the image is mirrored at its edges with the edge
    pixel repeated, as in MATLAB's imresize. Results are not clipped.

    Args:
        planes: planes to resize.
        height: output height in pixels.
        width: output width in pixels.
        kernel: "bicubic" (cubic convolution) or "bilinear" (a triangle).
        scale: the factor both axes are resized by; by default each axis has its own, the ratio of
            the output size to the input size.
    """
    rows = _weights(planes.shape[1], height, scale or height / planes.shape[1], kernel)
    columns = _weights(planes.shape[2], width, scale or width / planes.shape[2], kernel)
    passes = [("oh,nhw->now", rows), ("pw,nhw->nhp", columns)]
    # The axis that shrinks most comes first, as in MATLAB: less is left for the other.
    passes.sort(key=lambda each: each[1].shape[0] / each[1].shape[1])
    for axes, weights in passes:
        # In full precision, also where accelerators round the factors of products by default.
        planes = jnp.einsum(axes, jnp.asarray(weights, planes.dtype), planes, precision="highest")
    return planes


@lru_cache(maxsize=64)
def _weights(size: int, target: int, scale: float, kernel: Kernel) -> np.ndarray:
    """Matrix of shape (target, size) that resizes one axis."""
    stretch = max(1.0, 1.0 / scale)
    reach = _REACH[kernel] * stretch
    centre = np.arange(1, target + 1) / scale + 0.5 * (1.0 - 1.0 / scale)
    taps = np.floor(centre - reach)[:, None] + np.arange(math.ceil(2 * reach) + 2)
    distance = np.abs(centre[:, None] - taps) / stretch
    weights = _cubic(distance) if kernel == "bicubic" else np.maximum(1.0 - distance, 0.0)
    weights /= weights.sum(axis=1, keepdims=True)
    mirror = np.concatenate([np.arange(size), np.arange(size)[::-1]])
    source = mirror[(taps.astype(int) - 1) % (2 * size)]
    matrix = np.zeros((target, size))
    np.add.at(matrix, (np.arange(target)[:, None], source), weights)
    return matrix


def _cubic(distance: np.ndarray) -> np.ndarray:
    a, x = BICUBIC_A, distance
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
    return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))
