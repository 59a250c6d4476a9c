"""Multi-scale SSIM."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from fr_metrics.operations import color, roots
from fr_metrics.operations.downsample import box_downsample
from fr_metrics.operations.images import Images
from fr_metrics.operations.pooling import pixel_mean
from fr_metrics.ssim import luminance_and_structure

SCALE_EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponent of each scale, finest first (Wang 2003, section 3.2); their sum is 1.0001."""


def ms_ssim(reference: Images, distorted: Images) -> Float[Array, " n"]:
    """Multi-scale structural similarity (MS-SSIM) of two gray images.

    Five scales, each half the one before (2x2 means, the edge repeated at an odd end)::

        cs_1^w1 cs_2^w2 cs_3^w3 cs_4^w4 ssim_5^w5

    where cs is the mean contrast-structure term of a scale and ssim_5 the mean SSIM of the
    coarsest. Range [0, 1], higher is better, 1 for an image against itself; symmetric.

    Matches the authors' program of the IW-SSIM release (weights not renormalised) on gray images:
    ``uint8`` input is rounded to 8-bit gray like MATLAB's rgb2gray, floating input is not rounded.
    It differs where the mean of a scale is negative (an inverted image, say): the power is then a
    complex number in MATLAB; here negative means count as 0, so the score is 0, with gradient 0.
    The authors' program refuses sides below 176 pixels.

    Reference: Wang, Simoncelli, Bovik 2003, doi:10.1109/ACSSC.2003.1292216
    """
    first, second = color.gray(reference), color.gray(distorted)
    product = jnp.ones((), first.dtype)
    coarsest = len(SCALE_EXPONENTS) - 1
    for scale, exponent in enumerate(SCALE_EXPONENTS):
        luminance, structure = luminance_and_structure(first, second)
        term = luminance * structure if scale == coarsest else structure
        product = product * roots.power(pixel_mean(term), exponent)
        if scale != coarsest:
            first = box_downsample(first, 2, "symmetric")
            second = box_downsample(second, 2, "symmetric")
    return product
