"""Brightness changes: brighten (16), darken (17) and mean shift (18)."""

import numpy as np

from distortions._matlab import FloatImage, lab_to_rgb, rgb_to_lab

L_MAX = 100.0  # CIE L* of white
# `brighten` averages two curved pictures; the one curved in RGB weighs twice the one in Lab.
RGB_SHARE = 2 / 3


def tone_curve(x: np.ndarray, middle: float) -> np.ndarray:
    """Map 0..1 through the parabola with 0 -> 0, 0.5 -> `middle`, 1 -> 1, clipped to 0..1."""
    return np.clip((2 - 4 * middle) * x**2 + (4 * middle - 1) * x, 0.0, 1.0)


def brighten(image: FloatImage, amount: float) -> FloatImage:
    """Raise mid grey to 0.5 + amount / 2, two thirds in RGB and one third in CIE L*.

    Returns (2 A + B) / 3: A is the tone curve on R, G and B; B is the same curve on L* / 100.
    """
    middle = 0.5 + amount / 2
    lab = rgb_to_lab(image)
    lab[..., 0] = L_MAX * tone_curve(lab[..., 0] / L_MAX, middle)
    in_lab = np.clip(lab_to_rgb(lab), 0.0, 1.0)
    return RGB_SHARE * tone_curve(image, middle) + (1 - RGB_SHARE) * in_lab


def darken(image: FloatImage, amount: float) -> FloatImage:
    """Lower mid grey to 0.5 - amount / 2 with the tone curve on R, G and B."""
    return tone_curve(image, 0.5 - amount / 2)


def mean_shift(image: FloatImage, offset: float) -> FloatImage:
    """Add `offset` (full scale 1), clip to 0..1.

    The stretch that follows every distortion undoes the offset itself; what remains is the
    clipping of the highlights (positive offset) or of the shadows (negative), and 0 is the
    identity.
    """
    return np.clip(image + offset, 0.0, 1.0)
