"""The spectral residual based similarity."""

import math

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from fr_metrics.operations import color, filters, roots
from fr_metrics.operations.downsample import downsampled_channels
from fr_metrics.operations.images import Images
from fr_metrics.operations.pooling import weighted_mean
from fr_metrics.operations.resize import resize
from fr_metrics.operations.similarity import similarity

Y_WEIGHTS = (0.299, 0.587, 0.114)
"""R, G, B weights of the luminance Y (authors' program)."""
SALIENCY_CONSTANT = 0.40
"""C1, for saliency, no unit (Zhang and Li 2012, section 3)."""
GRADIENT_CONSTANT = 225.0
"""C2, for gradient magnitudes, squared gray levels (Zhang and Li 2012, section 3)."""
GRADIENT_EXPONENT = 0.50
"""Exponent alpha of the gradient term (Zhang and Li 2012, section 3)."""
SALIENCY_SCALE = 0.25
"""Size of the saliency map over the size of the luminance plane (authors' program)."""
SALIENCY_WINDOW = filters.gaussian_taps(10, 3.8)
"""The Gaussian that smooths saliency: 10 taps, standard deviation 3.8 pixels (authors' program)."""


def sr_sim(reference: Images, distorted: Images) -> Float[Array, " n"]:
    """Spectral residual based similarity (SR-SIM) of two RGB images.

    The mean, weighted by the larger saliency of the two images, of::

        S(v1, v2; 0.40) S(g1, g2; 225)^0.5

    with spectral residual saliency v and Scharr gradient magnitude g of the luminance. Range
    (0, 1], higher is better, 1 for an image against itself; symmetric.

    Matches the authors' MATLAB program, resizing included: images are averaged over F x F pixels,
    F = max(1, round(min(H, W) / 256)); the luminance is not rounded, whatever the input. Where the
    program gives NaN, this gives a number: an image that is constant after averaging has saliency
    0, and when the weights of a pair do not sum to more than 0 its mean is the unweighted one.

    Reference: Zhang, Li 2012, doi:10.1109/ICIP.2012.6467149
    """
    saliency1, gradient1 = _features(reference)
    saliency2, gradient2 = _features(distorted)
    quality = similarity(saliency1, saliency2, SALIENCY_CONSTANT) * roots.power(
        similarity(gradient1, gradient2, GRADIENT_CONSTANT), GRADIENT_EXPONENT
    )
    return weighted_mean(quality, jnp.maximum(saliency1, saliency2))


def _features(images: Images) -> tuple[Array, Array]:
    planes = downsampled_channels(images)
    luminance = color.combine(planes, Y_WEIGHTS)
    return _saliency(luminance), filters.gradient_magnitude(luminance, filters.SCHARR)


def _saliency(luminance: Float[Array, "n h w"]) -> Float[Array, "n h w"]:
    """Where the logarithmic amplitude spectrum departs from its local mean, scaled to 0..1."""
    height, width = luminance.shape[1:]
    sides = math.ceil(height * SALIENCY_SCALE), math.ceil(width * SALIENCY_SCALE)
    spectrum = jnp.fft.fft2(resize(luminance, *sides, "bicubic", scale=SALIENCY_SCALE))
    flat = luminance.max((1, 2), keepdims=True) <= luminance.min((1, 2), keepdims=True)
    spectrum = jnp.where(flat, 1.0, spectrum)
    power = spectrum.real**2 + spectrum.imag**2
    # A bin of 0 has no logarithm; the level of rounding errors stands in for it.
    floor = jnp.finfo(power.dtype).eps ** 2 * power.max((1, 2), keepdims=True)
    log_amplitude = 0.5 * jnp.log(jnp.maximum(power, lax.stop_gradient(floor)))
    edged = jnp.pad(log_amplitude, ((0, 0), (1, 1), (1, 1)), mode="edge")
    rows = edged[:, :-2] + edged[:, 1:-1] + edged[:, 2:]
    local_mean = (rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]) / 9
    # exp(residual + i phase) = spectrum exp(-local mean), without the angle's discontinuity.
    gain = jnp.exp(-local_mean)
    whitened = jnp.fft.ifft2(lax.complex(spectrum.real * gain, spectrum.imag * gain))
    energy = whitened.real**2 + whitened.imag**2
    before = (len(SALIENCY_WINDOW) - 1) // 2
    after = len(SALIENCY_WINDOW) - 1 - before
    padded = jnp.pad(energy, ((0, 0), (before, after), (before, after)))
    smooth = filters.correlate_valid(padded, SALIENCY_WINDOW)
    low, high = smooth.min((1, 2), keepdims=True), smooth.max((1, 2), keepdims=True)
    flat = flat | (high <= low)
    scaled = jnp.where(flat, 0.0, (smooth - low) / jnp.where(flat, 1.0, high - low))
    return resize(scaled, height, width, "bicubic")
