"""SSIM, and the windowed statistics it shares with MS-SSIM."""

from itertools import accumulate

import jax.numpy as jnp
from jaxtyping import Array, Float

from fr_metrics.operations import color, filters
from fr_metrics.operations.downsample import automatic_factor, box_downsample
from fr_metrics.operations.images import Images
from fr_metrics.operations.pooling import pixel_mean

C1 = (0.01 * color.PEAK) ** 2
"""Luminance constant (K1 L)^2 in squared gray levels, K1 = 0.01 (Wang 2004, section III-C)."""
C2 = (0.03 * color.PEAK) ** 2
"""Contrast constant (K2 L)^2 in squared gray levels, K2 = 0.03 (Wang 2004, section III-C)."""
WINDOW = filters.gaussian_taps(11, 1.5)
"""The 11-tap Gaussian window with a standard deviation of 1.5 pixels (Wang 2004, section III-C)."""
MIDDLE_GRAY = 128.0
"""A gray level in the middle of 0..255."""

_STACK_LIMIT = 2**20
"""Samples up to which planes are filtered together; beyond, they would leave the cache."""


def luminance_and_structure(
    reference: Float[Array, "m h w"],
    distorted: Float[Array, "n h w"],
    origin: float = MIDDLE_GRAY,
) -> tuple[Float[Array, "n oh ow"], Float[Array, "n oh ow"]]:
    """The luminance term and the contrast-structure term of SSIM at every place of the window.

    Variances are the biased ones, E[x^2] - E[x]^2, not clipped, as in the authors' programs. They
    are taken about ``origin``: variances do not depend on it, float32 errors do.
    """
    first, second = reference - origin, distorted - origin
    mean1, square1, mean2, square2, product = _windowed_means(
        first, first * first, second, second * second, first * second
    )
    variance1, variance2 = square1 - mean1 * mean1, square2 - mean2 * mean2
    covariance = product - mean1 * mean2
    light1, light2 = mean1 + origin, mean2 + origin
    luminance = (2 * light1 * light2 + C1) / (light1**2 + light2**2 + C1)
    structure = (2 * covariance + C2) / (variance1 + variance2 + C2)
    return luminance, structure


def _windowed_means(*planes: Float[Array, "_ h w"]) -> list[Float[Array, "_ oh ow"]]:
    """Each of the planes correlated with the window."""
    if sum(plane.size for plane in planes) > _STACK_LIMIT:
        return [filters.correlate_valid(plane, WINDOW) for plane in planes]
    # One correlation of all is much less to compile.
    ends = list(accumulate(len(plane) for plane in planes))[:-1]
    return jnp.split(filters.correlate_valid(jnp.concatenate(planes), WINDOW), ends)


def ssim(reference: Images, distorted: Images, *, downsample: bool = True) -> Float[Array, " n"]:
    """Structural similarity (SSIM) of two gray images.

    The mean, over every place where the 11x11 Gaussian window fits, of::

        (2 m1 m2 + C1) (2 s12 + C2) / ((m1^2 + m2^2 + C1) (s1^2 + s2^2 + C2))

    with local means m, variances s^2 and covariance s12. Range (-1, 1], higher is better, 1 for an
    image against itself; symmetric.

    Args:
        reference: validated batch ``(1 or N, H, W, 3)``.
        distorted: validated batch ``(N, H, W, 3)``.
        downsample: True is the authors' program of 2009, which first averages windows of F x F
            pixels, F = max(1, round(min(H, W) / 256)); False is their program of 2003 at full size.

    Matches the authors' MATLAB program on gray images: ``uint8`` input is rounded to 8-bit gray
    like MATLAB's rgb2gray, floating input is not rounded. The smaller side must leave 11 pixels
    after down-sampling.

    Reference: Wang, Bovik, Sheikh, Simoncelli 2004, doi:10.1109/TIP.2003.819861
    """
    first, second = color.gray(reference), color.gray(distorted)
    if downsample:
        factor = automatic_factor(*first.shape[1:])
        first = box_downsample(first, factor, "symmetric")
        second = box_downsample(second, factor, "symmetric")
    luminance, structure = luminance_and_structure(first, second)
    return pixel_mean(luminance * structure)
