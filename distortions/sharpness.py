"""Sharpness and contrast: high sharpen (24) and contrast change (25)."""

import numpy as np

from distortions._matlab import (
    FloatImage,
    filter_separable,
    gaussian_kernel,
    lab_to_rgb,
    rgb_to_lab,
)

UNSHARP_SIGMA = 3.0  # pixels
UNSHARP_SIDE = 13  # pixels; the Gaussian is truncated to this square

# The contrast curve passes through (0.3, p) and (0.7, 1 - p) with p = 0.25 - amount / 4.
CONTRAST_KNOT = 0.2  # distance of these two knots from mid grey
CONTRAST_OFFSET = 0.25  # their distance from 0.5 after the curve, at amount 0
CONTRAST_SLOPE = 0.25  # its growth with the amount


def high_sharpen(image: FloatImage, amount: float) -> FloatImage:
    """Sharpen CIE L* by unsharp masking: L* + amount (L* - g * L*), clip the RGB result to 0..1.

    g is a Gaussian of 3 pixels cut to 13 x 13; a* and b* are kept, L* itself is not clipped.
    """
    lab = rgb_to_lab(image)
    lightness = np.ascontiguousarray(lab[..., 0])
    blurred = filter_separable(lightness, gaussian_kernel(UNSHARP_SIDE, UNSHARP_SIGMA))
    lab[..., 0] = lightness + amount * (lightness - blurred)
    return np.clip(lab_to_rgb(lab), 0.0, 1.0)


def contrast_change(image: FloatImage, amount: float) -> FloatImage:
    """Bend R, G and B through an S-shaped curve (flatter for negative amounts), clip to 0..1.

    The curve is the not-a-knot cubic spline through (0, 0), (0.3, p), (0.5, 0.5), (0.7, 1 - p)
    and (1, 1) with p = 0.25 - amount / 4. These knots are odd about mid grey, so the spline is
    one cubic: 0.5 + (1 - b / 4) v + b v^3, v = x - 0.5. The identity is amount -0.2, not 0.
    """
    rise = CONTRAST_OFFSET + CONTRAST_SLOPE * amount
    # From (1 - b / 4) v + b v^3 = rise at v = CONTRAST_KNOT.
    bend = (rise - CONTRAST_KNOT) / (CONTRAST_KNOT**3 - CONTRAST_KNOT / 4)
    v = image - 0.5
    return np.clip(0.5 + (1 - bend / 4) * v + bend * (v * v * v), 0.0, 1.0)
