"""The boundary of the package: what counts as a picture, and the errors that say so."""

import math
import numbers

import numpy as np

from distortions._matlab import FloatImage


def check_8bit(image: object) -> None:
    """Raise an error unless `image` is an RGB picture of 8 bits."""
    remedy = "pass RGB pixels as a uint8 array of shape (H, W, 3) with values 0..255"
    _check_array(image, np.dtype(np.uint8), remedy)


def checked_image(image: object, amount: object, rng: object) -> FloatImage:
    """Return `image`, contiguous, if these are what a row of the table of distortions takes.

    Raises:
        TypeError: an image that is not a float64 array, an amount that is not a number, or no
            random generator.
        ValueError: an image that is empty, not (H, W, 3) or not within 0..1, or an amount that is
            not finite.
    """
    remedy = "pass RGB pixels as a float64 array of shape (H, W, 3) with values 0..1"
    array = _check_array(image, np.dtype(np.float64), remedy)
    low, high = float(array.min()), float(array.max())
    # Written so that NaN, which compares false, is refused too.
    if not (low >= 0.0 and high <= 1.0):
        raise ValueError(
            f"image must lie in 0..1 without NaN, got values from {low} to {high}; {remedy}"
        )
    if isinstance(amount, bool | np.bool_) or not isinstance(amount, numbers.Real):
        raise TypeError(f"amount must be a number, got {amount!r} ({type(amount).__name__})")
    if not math.isfinite(amount):
        raise ValueError(f"amount must be finite, got {amount}")
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng must be a numpy.random.Generator, got {type(rng).__name__}")
    return np.ascontiguousarray(array)  # OpenCV takes no array that runs backwards


def _check_array(image: object, dtype: np.dtype, remedy: str) -> np.ndarray:
    if not isinstance(image, np.ndarray):
        raise TypeError(f"image must be a NumPy array, got {type(image).__name__}; {remedy}")
    if isinstance(image, np.ma.MaskedArray):
        raise TypeError(f"image must have no mask, got a masked array; {remedy}")
    came = f"got {image.dtype} of shape {image.shape}"
    if image.dtype != dtype:
        raise TypeError(f"image must be {dtype}, {came}; {remedy}")
    if image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"image must have shape (H, W, 3), {came}; {remedy}")
    if image.size == 0:
        raise ValueError(f"image must have at least one pixel, {came}; {remedy}")
    return image
