"""Noise: white in RGB (11), in YCbCr (12), impulse (13), multiplicative (14), removed again (15).

Each type is a pure function of the picture and a field of random numbers, and a `random_`
function that draws the field. Variances are for intensities in 0..1.
"""

import math

import numpy as np

from distortions._matlab import FloatImage, rgb_to_ycbcr, ycbcr_to_rgb
from distortions.denoiser import current_denoiser

# A uniform number on an interval of length 1 has variance 1/12.
UNIFORM_VARIANCE = 1 / 12


def white_noise(image: FloatImage, variance: float, normal: FloatImage) -> FloatImage:
    """Add sqrt(variance) times the field of standard `normal` numbers, clip to 0..1."""
    return np.clip(image + math.sqrt(variance) * normal, 0.0, 1.0)


def random_white_noise(image: FloatImage, variance: float, rng: np.random.Generator) -> FloatImage:
    """Apply `white_noise` with an independent number for every sample."""
    return white_noise(image, variance, rng.standard_normal(image.shape))


def white_noise_ycbcr(image: FloatImage, variance: float, normal: FloatImage) -> FloatImage:
    """Apply `white_noise` to Y, Cb and Cr in studio range (BT.601), convert back, clip to 0..1.

    The variance seen in R, G and B is 3.90, 2.17 and 5.42 times `variance`.
    """
    return np.clip(ycbcr_to_rgb(white_noise(rgb_to_ycbcr(image), variance, normal)), 0.0, 1.0)


def random_white_noise_ycbcr(
    image: FloatImage, variance: float, rng: np.random.Generator
) -> FloatImage:
    """Apply `white_noise_ycbcr` with an independent number for every sample."""
    return white_noise_ycbcr(image, variance, rng.standard_normal(image.shape))


def impulse_noise(image: FloatImage, density: float, uniform: FloatImage) -> FloatImage:
    """Set samples to 0 where `uniform` < density / 2, to 1 where density / 2 <= it < density.

    `uniform` holds a number in 0..1 per sample, so the channels are hit independently.
    """
    return np.where(uniform < density, (uniform >= density / 2).astype(np.float64), image)


def random_impulse_noise(image: FloatImage, density: float, rng: np.random.Generator) -> FloatImage:
    """Apply `impulse_noise` with an independent number for every sample."""
    return impulse_noise(image, density, rng.random(image.shape))


def multiplicative_noise(image: FloatImage, variance: float, uniform: FloatImage) -> FloatImage:
    """Return I + sqrt(12 variance) I (u - 1/2), clipped to 0..1, u the `uniform` field in 0..1.

    The noise is uniform, as in MATLAB's `imnoise(..., 'speckle')`; its variance is variance I^2.
    """
    amplitude = math.sqrt(variance / UNIFORM_VARIANCE)
    return np.clip(image + amplitude * image * (uniform - 0.5), 0.0, 1.0)


def random_multiplicative_noise(
    image: FloatImage, variance: float, rng: np.random.Generator
) -> FloatImage:
    """Apply `multiplicative_noise` with an independent number for every sample."""
    return multiplicative_noise(image, variance, rng.random(image.shape))


def denoise(image: FloatImage, variance: float, normal: FloatImage) -> FloatImage:
    """Apply `white_noise` and take the noise out again with a blind denoising network.

    The network treats R, G and B one by one and was trained on noise that is not clipped, so it
    does not undo the loss of contrast that the clipping of strong noise brings. The result is not
    clipped.
    """
    return current_denoiser().denoise(white_noise(image, variance, normal))


def random_denoise(image: FloatImage, variance: float, rng: np.random.Generator) -> FloatImage:
    """Apply `denoise` with independent noise for every sample."""
    return denoise(image, variance, rng.standard_normal(image.shape))
