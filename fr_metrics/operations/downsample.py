"""Box-filter down-sampling with the two border rules of the authors' programs."""

import operator
from functools import reduce
from typing import Literal

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from fr_metrics.operations import color
from fr_metrics.operations.images import Images

CANONICAL_SIDE = 256
"""Side in pixels the automatic factor aims at (advice on SSIM that later metrics follow)."""


def automatic_factor(height: int, width: int) -> int:
    """max(1, round(min(h, w) / 256)), a half rounded away from zero as in MATLAB."""
    return max(1, (2 * min(height, width) + CANONICAL_SIDE) // (2 * CANONICAL_SIDE))


def box_downsample(
    planes: Float[Array, "n h w"], factor: int, border: Literal["zero", "symmetric"]
) -> Float[Array, "n oh ow"]:
    """Mean over factor x factor windows, one output per ``factor`` samples in each direction.

    Output i averages the inputs from ``factor * i - floor((factor - 1) / 2)`` on, which is where
    the sampled output of MATLAB's ``conv2(..., 'same')`` and ``imfilter`` lies; for factors above 2
    the first window hangs over the border. Outside the image there are zeros, or the image mirrored
    with its edge repeated. The output has ``ceil(n / factor)`` samples.
    """
    if factor == 1:
        return planes
    before = (factor - 1) // 2
    padding = [(0, 0)]
    for size in planes.shape[1:]:
        covered = -(-size // factor) * factor
        padding.append((before, covered - before - size))
    if border == "zero":
        # Negative padding crops the samples that no window covers.
        zero = jnp.zeros((), planes.dtype)
        padded = lax.pad(planes, zero, [(low, high, 0) for low, high in padding])
    else:
        mirrored = [(low, max(high, 0)) for low, high in padding]
        padded = jnp.pad(planes, mirrored, mode="symmetric")
        padded = padded[:, : padded.shape[1] + min(padding[1][1], 0)]
        padded = padded[:, :, : padded.shape[2] + min(padding[2][1], 0)]
    shifted = (
        padded[:, row::factor, column::factor] for row in range(factor) for column in range(factor)
    )
    return reduce(operator.add, shifted) / factor**2


def downsampled_channels(images: Images) -> list[Float[Array, "n oh ow"]]:
    """Red, green and blue in 0..255, averaged by the automatic factor, with zeros outside."""
    factor = automatic_factor(*images.shape[1:3])
    return [box_downsample(plane, factor, "zero") for plane in color.channels(images)]
