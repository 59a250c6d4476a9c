"""The 36 features of BRISQUE, which describe how natural a picture's luminance statistics are.

A. Mittal, A. K. Moorthy, A. C. Bovik: No-Reference Image Quality Assessment in the Spatial Domain,
IEEE TIP 2012, doi:10.1109/TIP.2012.2214050, section III; the numbers are those of the authors'
program (BRISQUE software release, 2011, brisque_feature.m). Where the paper leaves a choice, that
program decides: the picture is continued by zeros under the Gaussian window (MATLAB's filter2
'same'), neighbours wrap around at the borders (circshift), luminance is MATLAB's rgb2gray of 8-bit
pixels, rounded to 8 bit, and the second scale is imresize(., 0.5), bicubic with antialiasing.

In one point that program cannot be followed: where a picture is flat, as clipped skies are, its
features depend on the signs of rounding noise, see NOISE; on a photograph with such a sky they
changed by up to 0.0004.
"""

import operator
from functools import lru_cache, reduce
from typing import Literal

import cv2
import numpy as np
from jaxtyping import Float, Float64, UInt8
from scipy.special import gamma

from distortions._matlab import gaussian_kernel, rgb_to_gray
from fr_metrics.operations.resize import resize_taps

LENGTH = 36  # numbers per picture
SCALES = 2
WINDOW_SIDE, WINDOW_SIGMA = 7, 7 / 6  # pixels
STABILISER = 1.0  # C of equation 1, in grey levels of 0..255
# In flat regions the difference from the local mean is rounding noise near 1e-13 grey levels, whose
# sign decides on which side of 0 the products count. It is taken as the 0 of exact arithmetic.
NOISE = 1e-9  # grey levels
SMALLEST_SIDE = SCALES * WINDOW_SIDE  # pixels; below, the window is larger than the second scale

# Offsets (rows, columns) of the neighbours multiplied: horizontal, vertical and both diagonals,
# equations 7 to 10 in the authors' order.
SHIFTS = ((0, 1), (1, 0), (1, 1), (-1, 1))

# The shapes tried in fitting, 0.2 to 10: the authors' grid.
SHAPES = np.arange(200, 10001) / 1000

Border = Literal["zero", "replicate"]
_BORDERS = {"zero": cv2.BORDER_CONSTANT, "replicate": cv2.BORDER_REPLICATE}


def brisque(
    image: UInt8[np.ndarray, "h w 3"] | UInt8[np.ndarray, "h w"], *, border: Border = "zero"
) -> Float64[np.ndarray, " 36"]:
    """The features of one picture: for the full and the half size, 18 numbers in table I's order.

    Shape and variance of the normalised luminance; then for each of the four orientations shape,
    mean, left variance and right variance of the products of neighbours.

    Args:
        image: 8-bit RGB or grey, at least 14×14.
        border: "zero" as the authors' program; "replicate" repeats the border's pixels, as other
            programs do, which changes the features a little.

    Raises:
        TypeError: the pixels are not uint8.
        ValueError: the shape is another or too small, or the picture has so little structure that
            the statistics are not defined (the authors' program gives NaN).
    """
    if image.dtype != np.uint8:
        raise TypeError(f"image must be uint8, got {image.dtype}")
    if image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,)):
        raise ValueError(f"image must have shape (h, w, 3) or (h, w), got {image.shape}")
    if min(image.shape[:2]) < SMALLEST_SIDE:
        raise ValueError(
            f"{image.shape[1]}×{image.shape[0]} pixels are too few; at least"
            f" {SMALLEST_SIDE}×{SMALLEST_SIDE} are needed"
        )
    luminance = image.astype(np.float64)
    if image.ndim == 3:
        luminance = np.floor(rgb_to_gray(luminance) + 0.5)
    features = []
    for scale in range(SCALES):
        if scale:
            luminance = halved(luminance)
        normalised = mscn(luminance, border=border)
        features += ggd_fit(normalised)
        for shift in SHIFTS:
            shape, left, right = aggd_fit(normalised * np.roll(normalised, shift, (0, 1)))
            features += [shape, aggd_mean(shape, left, right), left**2, right**2]
    return np.array(features)


def mscn(
    luminance: Float[np.ndarray, "h w"], *, border: Border = "zero"
) -> Float64[np.ndarray, "h w"]:
    """Mean subtracted, contrast normalised coefficients, equations 1 to 3.

    Args:
        luminance: in grey levels of 0..255.
        border: how the picture goes on under the window.
    """
    window = gaussian_kernel(WINDOW_SIDE, WINDOW_SIGMA)

    def local_mean(x: np.ndarray) -> np.ndarray:
        return cv2.sepFilter2D(x, cv2.CV_64F, window, window, borderType=_BORDERS[border])

    mean = local_mean(luminance)
    difference = luminance - mean
    difference[np.abs(difference) <= NOISE] = 0
    deviation = np.sqrt(np.abs(local_mean(luminance * luminance) - mean * mean))
    return difference / (deviation + STABILISER)


def halved(plane: Float[np.ndarray, "h w"]) -> Float64[np.ndarray, "h2 w2"]:
    """MATLAB's imresize(plane, 0.5): ceil(h/2) × ceil(w/2), bicubic, antialiased, not clipped."""
    for _ in range(2):  # rows, then, turned over, columns
        source, weights = resize_taps(len(plane), -(-len(plane) // 2), 0.5, "bicubic")
        taps = zip(source.T, weights.T[..., None], strict=True)
        plane = reduce(operator.add, (weight * plane[rows] for rows, weight in taps)).T
    return np.ascontiguousarray(plane)


def ggd_fit(values: Float[np.ndarray, "..."]) -> tuple[float, float]:
    """Shape and variance of a generalised Gaussian with mean 0, by its moments (section III-A).

    K. Sharifi, A. Leon-Garcia: Estimation of Shape Parameter for Generalized Gaussian Distributions
    in Subband Decompositions of Video, doi:10.1109/76.350779.

    Raises:
        ValueError: all values are 0.
    """
    variance = float(np.mean(values * values))
    magnitude = float(np.mean(np.abs(values)))
    if magnitude == 0:
        raise ValueError("the picture has no structure: its statistics are not defined")
    # The authors compare 1 / ratio, whose nearest point on the grid may be the neighbouring one.
    inverse = 1 / _ratios()
    return float(SHAPES[_nearest(-inverse, -variance / magnitude**2)]), variance


def aggd_fit(values: Float[np.ndarray, "..."]) -> tuple[float, float, float]:
    """Shape, left and right deviation of an asymmetric generalised Gaussian, by its moments.

    N.-E. Lasmar, Y. Stitou, Y. Berthoumieu: Multiscale Skewed Heavy Tailed Model for Texture
    Analysis, ICIP 2009, doi:10.1109/ICIP.2009.5414404.

    Raises:
        ValueError: the values do not lie on both sides of 0.
    """
    above, below = np.maximum(values, 0).ravel(), np.maximum(-values, 0).ravel()
    number_above, number_below = np.count_nonzero(above), np.count_nonzero(below)
    if not number_above or not number_below:
        raise ValueError("the picture has too little structure: its statistics are not defined")
    # Not by BLAS, whose threads wait for each other where pictures have threads of their own.
    square_above, square_below = (float(np.einsum("i,i->", x, x)) for x in (above, below))
    left, right = np.sqrt(square_below / number_below), np.sqrt(square_above / number_above)
    skew = left / right
    magnitude = float(above.sum() + below.sum()) / values.size
    ratio = magnitude**2 * values.size / (square_above + square_below)
    ratio *= (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2
    return float(SHAPES[_nearest(_ratios(), ratio)]), float(left), float(right)


def aggd_mean(shape: float, left: float, right: float) -> float:
    """Mean of the distribution that `aggd_fit` fits, equation 15."""
    scale = np.sqrt(gamma(1 / shape) / gamma(3 / shape))
    return float((right - left) * scale * gamma(2 / shape) / gamma(1 / shape))


@lru_cache(maxsize=1)
def _ratios() -> np.ndarray:
    """(E|x|)² / E x² of a generalised Gaussian of each shape of the grid; increasing."""
    return gamma(2 / SHAPES) ** 2 / (gamma(1 / SHAPES) * gamma(3 / SHAPES))


def _nearest(increasing: np.ndarray, value: float) -> int:
    """Index of the nearest of increasing values; of two as near, the first."""
    place = int(np.clip(np.searchsorted(increasing, value), 1, len(increasing) - 1))
    return place - int(value - increasing[place - 1] <= increasing[place] - value)
