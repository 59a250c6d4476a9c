"""Planes of an RGB image in 8-bit units: the three channels, rounded gray, linear combinations."""

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

from fr_metrics.operations.images import Images

PEAK = 255.0
"""Largest 8-bit value; every metric's constants are in these units."""

LUMA_WEIGHTS = (0.298936021293776, 0.587043074451121, 0.114020904255103)
"""Weights of R, G, B in MATLAB's rgb2gray: the first row of the inverse of the NTSC matrix."""

_LIMB_BITS = 16
_LUMA_FIXED = tuple(round(weight * 2 ** (2 * _LIMB_BITS)) for weight in LUMA_WEIGHTS)


def channels(images: Images) -> tuple[Float[Array, "n h w"], ...]:
    """Red, green and blue in 0..255, in JAX's default floating dtype."""
    dtype = jnp.result_type(float)
    planes = (images[..., 0], images[..., 1], images[..., 2])
    if images.dtype == jnp.uint8:
        return tuple(plane.astype(dtype) for plane in planes)
    return tuple(plane.astype(dtype) * PEAK for plane in planes)


def combine(planes: Sequence[Float[Array, "n h w"]], weights: Sequence[float]) -> Array:
    """One opponent or luminance plane: the weighted sum of the given planes."""
    first, *rest = (
        plane * weight for plane, weight in zip(planes, weights, strict=True) if weight != 0.0
    )
    return sum(rest, start=first)


def gray(images: Images) -> Float[Array, "n h w"]:
    """Gray values in 0..255 as MATLAB's rgb2gray gives them.

    ``uint8`` images give integers, rounded half up as MATLAB does (the published scores of the
    gray-scale metrics depend on it, by about 1e-4 for GMSD). Floating images are never rounded, so
    the result stays differentiable.
    """
    if images.dtype != jnp.uint8:
        return combine(channels(images), LUMA_WEIGHTS)
    # Integer arithmetic in two limbs: float32 would land on the wrong side of some halves.
    red, green, blue = (images[..., index].astype(jnp.int32) for index in range(3))
    high_red, high_green, high_blue = (fixed >> _LIMB_BITS for fixed in _LUMA_FIXED)
    low_red, low_green, low_blue = (fixed & (2**_LIMB_BITS - 1) for fixed in _LUMA_FIXED)
    high = red * high_red + green * high_green + blue * high_blue
    low = red * low_red + green * low_green + blue * low_blue
    half = 1 << (_LIMB_BITS - 1)
    rounded = (high + (low >> _LIMB_BITS) + half) >> _LIMB_BITS
    return rounded.astype(jnp.result_type(float))
