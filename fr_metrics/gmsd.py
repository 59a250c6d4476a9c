"""Gradient magnitude similarity deviation."""

import math

from jaxtyping import Array, Float

from fr_metrics.operations import color, filters, roots
from fr_metrics.operations.downsample import box_downsample
from fr_metrics.operations.images import Images
from fr_metrics.operations.pooling import pixel_mean, pixel_sum
from fr_metrics.operations.similarity import dissimilarity

GRADIENT_CONSTANT = 170.0
"""Constant of the gradient similarity in squared gray levels (Xue 2014, section III)."""
FACTOR = 2
"""Down-sampling factor, the same for every image size (Xue 2014, section III)."""


def gmsd(reference: Images, distorted: Images) -> Float[Array, " n"]:
    """Gradient magnitude similarity deviation (GMSD) of two gray images.

    The standard deviation (with n - 1) of the similarity S(g1, g2; 170) of the Prewitt gradient
    magnitudes after averaging 2x2 pixels. Range [0, 0.35] in practice, LOWER is better, 0 for an
    image against itself; symmetric.

    Matches the authors' MATLAB program on gray images: ``uint8`` input is rounded to 8-bit gray
    like MATLAB's rgb2gray, floating input is not rounded. For identical images the gradient, which
    is not defined there, is 0.

    Reference: Xue, Zhang, Mou, Bovik 2014, doi:10.1109/TIP.2013.2293423
    """
    first, second = (
        filters.gradient_magnitude(
            box_downsample(color.gray(images), FACTOR, "zero"), filters.PREWITT
        )
        for images in (reference, distorted)
    )
    # 1 - S has the deviation of S, without rounding away small differences.
    values = dissimilarity(first, second, GRADIENT_CONSTANT)
    deviation = values - pixel_mean(values)[:, None, None]
    count = math.prod(values.shape[1:])
    return roots.sqrt(pixel_sum(deviation**2) / (count - 1))
