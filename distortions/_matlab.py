"""The MATLAB semantics the published distortions rest on.

Pictures here are float64, RGB, (H, W, 3), nominally 0..1. No function modifies its argument.
"""

import math

import cv2
import numpy as np
from jaxtyping import Float64, UInt8

FloatImage = Float64[np.ndarray, "h w 3"]

# Range, in full scales, at or below which a picture counts as constant. A filter over a constant
# picture leaves rounding noise near 1e-15, which the stretch must not turn into texture; the
# smallest real range (one pixel one grey level off, under the widest blur) is above 1e-5.
FLAT_RANGE = 1e-9

MAX_8BIT = 255.0  # grey levels

# Linear sRGB to CIE XYZ (D65), seven digits: Lindbloom, "RGB/XYZ Matrices", sRGB, the numbers of
# Octave's rgb2xyz. The four digits of IEC 61966-2-1 are not enough: types 04 and 08 multiply the
# difference in a* and b* by up to 12, and pixels come out up to 15 grey levels off.
_RGB_TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
# Relative to the white point. White being the exact row sum, greys get a* = b* = 0 exactly.
_RGB_TO_RELATIVE_XYZ = _RGB_TO_XYZ / _RGB_TO_XYZ.sum(axis=1, keepdims=True)
_RELATIVE_XYZ_TO_RGB = np.linalg.inv(_RGB_TO_RELATIVE_XYZ)

# IEC 61966-2-1 transfer function; the two thresholds are the same point seen from either side.
_SRGB_THRESHOLD = 0.04045  # encoded value
_LINEAR_THRESHOLD = 0.0031308  # linear value
_SRGB_SLOPE = 12.92
_SRGB_OFFSET = 0.055
_SRGB_GAMMA = 2.4

# CIE 15:2004 constants of L*a*b*.
_LAB_EPSILON = 216 / 24389
_LAB_KAPPA = 24389 / 27
# L* = 116 fy - 16, a* = 500 (fx - fy), b* = 200 (fy - fz), the last column being added; inverse.
_F_TO_LAB = np.array(
    [[0.0, 116.0, 0.0, -16.0], [500.0, -500.0, 0.0, 0.0], [0.0, 200.0, -200.0, 0.0]]
)
_LAB_TO_F = np.array(
    [
        [1 / 116, 1 / 500, 0.0, 16 / 116],
        [1 / 116, 0.0, 0.0, 16 / 116],
        [1 / 116, 0.0, -1 / 200, 16 / 116],
    ]
)

# ITU-R BT.601 studio-range YCbCr as fractions of 255: Y 16..235, Cb and Cr 16..240.
_RGB_TO_YCBCR = (
    np.array(
        [
            [65.481, 128.553, 24.966],
            [-37.797, -74.203, 112.0],
            [112.0, -93.786, -18.214],
        ]
    )
    / MAX_8BIT
)
_YCBCR_TO_RGB = np.linalg.inv(_RGB_TO_YCBCR)
_YCBCR_OFFSET = np.array([16.0, 128.0, 128.0]) / MAX_8BIT

# MATLAB's rgb2gray: the luma row of the NTSC YIQ matrix at full precision.
_GRAY_WEIGHTS = np.array([[0.298936021293775, 0.587043074451121, 0.114020904255103]])


def round_half_away(x: np.ndarray | float) -> np.ndarray:
    """Round to the nearest integer, halves away from zero, as MATLAB's `round`; float result."""
    return np.trunc(x + np.copysign(0.5, x))


def rescale(x: np.ndarray) -> np.ndarray:
    """Stretch to 0..1: (x - min) / (max - min), over all pixels and channels together.

    Values whose range is at most `FLAT_RANGE` are returned unchanged: they have nothing to stretch.
    """
    low, high = x.min(), x.max()
    if high - low <= FLAT_RANGE:
        return x
    return (x - low) / (high - low)


def to_8bit(image: FloatImage) -> UInt8[np.ndarray, "h w 3"]:
    """Convert 0..1 to 0..255: round(255 x), halves away from zero, values outside clipped."""
    # Adding a half and truncating is rounding half away from zero for the non-negative values here.
    return (MAX_8BIT * np.clip(image, 0.0, 1.0) + 0.5).astype(np.uint8)


def gaussian_kernel(side: int, sigma: float) -> Float64[np.ndarray, " side"]:
    """One axis of a Gaussian window: exp(-r^2 / (2 sigma^2)), `sigma` in pixels, sum 1."""
    radius = np.arange(side) - (side - 1) / 2
    weights = np.exp(-(radius**2) / (2 * sigma**2))
    return weights / weights.sum()


def filter_separable(image: np.ndarray, kernel: Float64[np.ndarray, " side"]) -> np.ndarray:
    """Correlate rows and columns with `kernel`, border pixels repeated outwards, same size."""
    return cv2.sepFilter2D(image, cv2.CV_64F, kernel, kernel, borderType=cv2.BORDER_REPLICATE)


def filter_kernel(image: np.ndarray, kernel: Float64[np.ndarray, "rows columns"]) -> np.ndarray:
    """Correlate with a two-dimensional kernel, border pixels repeated outwards, same size."""
    return cv2.filter2D(image, cv2.CV_64F, kernel, borderType=cv2.BORDER_REPLICATE)


def gaussian_filter(image: np.ndarray, sigma: float) -> np.ndarray:
    """Blur each channel as MATLAB's `imgaussfilt`: side 2 ceil(2 sigma) + 1, `sigma` in pixels."""
    return filter_separable(image, gaussian_kernel(2 * math.ceil(2 * sigma) + 1, sigma))


def rgb_to_gray(image: FloatImage) -> Float64[np.ndarray, "h w"]:
    """Return MATLAB's `rgb2gray`: 0.298936 R + 0.587043 G + 0.114021 B."""
    return cv2.transform(image, _GRAY_WEIGHTS).reshape(image.shape[:2])


def rgb_to_lab(image: FloatImage) -> FloatImage:
    """Convert sRGB in 0..1 to CIE L*a*b* (D65), L* in 0..100."""
    curved = cv2.pow((np.abs(image) + _SRGB_OFFSET) / (1 + _SRGB_OFFSET), _SRGB_GAMMA)
    linear = np.where(image > _SRGB_THRESHOLD, curved, image / _SRGB_SLOPE)
    xyz = cv2.transform(linear, _RGB_TO_RELATIVE_XYZ)
    f = np.where(
        xyz > _LAB_EPSILON, cv2.pow(np.maximum(xyz, 0.0), 1 / 3), (_LAB_KAPPA * xyz + 16) / 116
    )
    return cv2.transform(f, _F_TO_LAB)


def lab_to_rgb(lab: FloatImage) -> FloatImage:
    """Convert CIE L*a*b* (D65) to sRGB, not clipped; the sRGB curve is odd for negative values."""
    f = cv2.transform(lab, _LAB_TO_F)
    cubed = f * f * f
    xyz = np.where(cubed > _LAB_EPSILON, cubed, (116 * f - 16) / _LAB_KAPPA)
    linear = cv2.transform(xyz, _RELATIVE_XYZ_TO_RGB)
    magnitude = np.abs(linear)
    curved = (1 + _SRGB_OFFSET) * cv2.pow(magnitude, 1 / _SRGB_GAMMA) - _SRGB_OFFSET
    return np.where(
        magnitude > _LINEAR_THRESHOLD, np.copysign(curved, linear), linear * _SRGB_SLOPE
    )


def rgb_to_ycbcr(image: FloatImage) -> FloatImage:
    """Convert RGB to studio-range BT.601 YCbCr: Y in 16/255..235/255, Cb, Cr in 16/255..240/255."""
    return cv2.transform(image, _RGB_TO_YCBCR) + _YCBCR_OFFSET


def ycbcr_to_rgb(ycbcr: FloatImage) -> FloatImage:
    """Invert `rgb_to_ycbcr`; the result is not clipped."""
    return cv2.transform(ycbcr - _YCBCR_OFFSET, _YCBCR_TO_RGB)
