"""The seven scalar indicators of KonIQ-10k, doi:10.1109/TIP.2020.2967829, section 3.4.1.

Three are of the file: bits per pixel, pixels, JPEG quality (`mlsp.choosing.jpeg_quality`). Four are
of the crop, 8-bit RGB:

- brightness: the mean of the luminance Y = 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601), 0..255.
- colorfulness: D. Hasler, S. Süsstrunk, "Measuring colourfulness in natural images", Proc. SPIE
  5007, 2003, doi:10.1117/12.477378, M⁽³⁾ = √(σ²_rg + σ²_yb) + 0.3 √(μ²_rg + μ²_yb) with
  rg = R - G and yb = (R + G)/2 - B; 0 for grey, about 110 for extremely colourful.
- contrast: root mean square, the standard deviation of Y/255; E. Peli, "Contrast in complex
  images", JOSA A 7(10), 1990, doi:10.1364/JOSAA.7.002032. 0..0.5.
- sharpness: FISH, P. V. Vu, D. M. Chandler, "A fast wavelet-based algorithm for global and local
  image sharpness estimation", IEEE Signal Processing Letters 19(7), 2012,
  doi:10.1109/LSP.2012.2199980. Of three levels n of the wavelet transform of Y (CDF 9/7), each with
  the sub-bands LH, HL and HH, E_XY = log₁₀(1 + mean of the squared coefficients),
  E_n = 0.2 (E_LH + E_HL)/2 + 0.8 E_HH, and FISH = Σ 2^(3-n) E_n; 0 for a uniform picture, larger
  for sharper ones. Written from the equations and not compared with the authors' program.

The paper leaves open which formula of brightness and contrast, and which measure of sharpness, were
used.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from mlsp.choosing.jpeg_quality import jpeg_quality
from mtl.curation.duplicates import Y_WEIGHTS

# The order of the paper's figure 2, with what a person reads; `content` is the cluster index.
INDICATORS: Mapping[str, str] = {
    "bitrate": "bitrate (bits per pixel)",
    "resolution": "resolution (height × width)",
    "jpeg_quality": "JPEG quality",
    "brightness": "brightness",
    "colorfulness": "colourfulness",
    "contrast": "RMS contrast",
    "sharpness": "sharpness (FISH)",
}
CONTENT = "content"

# Values are kept to so many digits: what a processor rounds otherwise must not decide a bin.
DIGITS = 6

FISH_LEVELS = 3
FISH_ALPHA = 0.8  # weight of HH (Vu and Chandler 2012)

# Lifting of CDF 9/7 (Daubechies and Sweldens 1998, section 7.7): alternately the odd samples from
# their even neighbours, and the even from their odd ones.
LIFTING = (-1.586134342059924, -0.052980118572961, 0.882911075530934, 0.443506852043971)
# Then the low band is scaled up and the high band down, which makes the transform nearly
# orthonormal: a constant is √2 times as large in the low band.
LIFTING_SCALE = 1.149604398860241


def measured(
    path: Path, shape: tuple[int, int], crop: UInt8[np.ndarray, "h w 3"]
) -> dict[str, float]:
    """All indicators of a photograph, by name.

    Args:
        path: its file.
        shape: its height and width.
        crop: what is kept of it.

    Raises:
        InputError: the file cannot be read.
    """
    pixels = shape[0] * shape[1]
    luminance = crop @ Y_WEIGHTS
    values = {
        "bitrate": 8 * path.stat().st_size / pixels,
        "resolution": pixels,
        "jpeg_quality": jpeg_quality(path),
        "brightness": luminance.mean(),
        "colorfulness": colorfulness(crop),
        "contrast": (luminance / 255).std(),
        "sharpness": fish(luminance),
    }
    return {name: float(f"{values[name]:.{DIGITS}g}") for name in INDICATORS}


def colorfulness(image: UInt8[np.ndarray, "h w 3"]) -> float:
    """Hasler and Süsstrunk's M⁽³⁾ of an 8-bit RGB image."""
    red, green, blue = np.moveaxis(image.astype(np.float64), -1, 0)
    opponents = (red - green, (red + green) / 2 - blue)
    spread = np.hypot(*(channel.std() for channel in opponents))
    return float(spread + 0.3 * np.hypot(*(channel.mean() for channel in opponents)))


def fish(luminance: Float[np.ndarray, "h w"]) -> float:
    """Vu and Chandler's sharpness of a luminance image, 0..255, of 8×8 pixels at least.

    Raises:
        ValueError: the image is too small for three levels.
    """
    if min(luminance.shape) < 2**FISH_LEVELS:
        raise ValueError(f"three levels need 8×8 pixels, not {luminance.shape}")
    sharpness, low = 0.0, luminance.astype(np.float64)
    for level in range(1, FISH_LEVELS + 1):
        smooth, rough = cdf97(low)
        (low, low_high), (high_low, high) = cdf97(smooth.T), cdf97(rough.T)  # all transposed
        mixed = (_log_energy(low_high) + _log_energy(high_low)) / 2
        mean = (1 - FISH_ALPHA) * mixed + FISH_ALPHA * _log_energy(high)
        sharpness += 2 ** (FISH_LEVELS - level) * mean
        low = low.T
    return float(sharpness)


def _log_energy(band: Float[np.ndarray, "h w"]) -> float:
    return float(np.log10(1 + np.mean(band**2)))


def cdf97(
    signals: Float[np.ndarray, "n m"],
) -> tuple[Float[np.ndarray, "l m"], Float[np.ndarray, "k m"]]:
    """Low and high band of CDF 9/7 along the first axis, of n ≥ 2, mirrored at the ends."""
    even, odd = signals[0::2].copy(), signals[1::2].copy()
    for number, factor in enumerate(LIFTING):
        if number % 2 == 0:
            right = even[1:] if len(even) > len(odd) else np.concatenate([even[1:], even[-1:]])
            odd += factor * (even[: len(odd)] + right)
        else:
            left = np.concatenate([odd[:1], odd])[: len(even)]
            right = odd if len(even) == len(odd) else np.concatenate([odd, odd[-1:]])
            even += factor * (left + right)
    return even * LIFTING_SCALE, odd / LIFTING_SCALE
