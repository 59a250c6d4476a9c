"""Image resizing as MATLAB's imresize does it."""

import math
import operator
from functools import lru_cache, reduce
from typing import Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Kernel = Literal["bicubic", "bilinear"]

BICUBIC_A = -0.5
"""Free parameter of the cubic convolution kernel (Keys 1981, as in MATLAB)."""
MOST_GATHERED_ROWS = 12
"""Rows per new row up to which gathering them beats a product with a matrix (measured on a CPU)."""
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
    height_scale, width_scale = scale or height / planes.shape[1], scale or width / planes.shape[2]
    passes = [
        (height_scale, lambda x: _resize_rows(x, height, height_scale, kernel)),
        (width_scale, lambda x: _resize_columns(x, width, width_scale, kernel)),
    ]
    # The product with a matrix is the dearer of the two, so it is done where it has fewer rows.
    if height_scale > 1:
        passes.reverse()
    for _, one_axis in passes:
        planes = one_axis(planes)
    return planes


def _resize_rows(
    planes: Float[Array, "n h w"], height: int, scale: float, kernel: Kernel
) -> Float[Array, "n oh w"]:
    """Whole rows, few of which make up each new one, are gathered and added."""
    source, weights = resize_taps(planes.shape[1], height, scale, kernel)
    if source.shape[1] > MOST_GATHERED_ROWS:
        matrix = resize_matrix(planes.shape[1], height, scale, kernel)
        return _product("oh,nhw->now", matrix, planes)
    weights = jnp.asarray(weights, planes.dtype)
    gathered = (weights[:, tap, None] * planes[:, source[:, tap]] for tap in range(source.shape[1]))
    return reduce(operator.add, gathered)


def _resize_columns(
    planes: Float[Array, "n h w"], width: int, scale: float, kernel: Kernel
) -> Float[Array, "n h ow"]:
    return _product("pw,nhw->nhp", resize_matrix(planes.shape[2], width, scale, kernel), planes)


def _product(axes: str, matrix: np.ndarray, planes: Array) -> Array:
    # In full precision, also where accelerators round the factors of products by default.
    return jnp.einsum(axes, jnp.asarray(matrix, planes.dtype), planes, precision="highest")


@lru_cache(maxsize=64)
def resize_matrix(size: int, target: int, scale: float, kernel: Kernel) -> np.ndarray:
    """Matrix of shape (target, size) that resizes one axis."""
    source, weights = resize_taps(size, target, scale, kernel)
    matrix = np.zeros((target, size))
    np.add.at(matrix, (np.arange(target)[:, None], source), weights)
    return matrix


@lru_cache(maxsize=64)
def resize_taps(
    size: int, target: int, scale: float, kernel: Kernel
) -> tuple[np.ndarray, np.ndarray]:
    """Indices and weights, both (target, taps), of the samples that make up each output."""
    stretch = max(1.0, 1.0 / scale)
    reach = _REACH[kernel] * stretch
    centre = np.arange(1, target + 1) / scale + 0.5 * (1.0 - 1.0 / scale)
    taps = np.floor(centre - reach)[:, None] + np.arange(math.ceil(2 * reach) + 2)
    distance = np.abs(centre[:, None] - taps) / stretch
    weights = _cubic(distance) if kernel == "bicubic" else np.maximum(1.0 - distance, 0.0)
    weights /= weights.sum(axis=1, keepdims=True)
    mirror = np.concatenate([np.arange(size), np.arange(size)[::-1]])
    source = mirror[(taps.astype(int) - 1) % (2 * size)]
    used = weights.any(axis=0)
    return source[:, used], weights[:, used]


def _cubic(distance: np.ndarray) -> np.ndarray:
    a, x = BICUBIC_A, distance
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
    return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))
