"""Phase congruency of a gray image (Kovesi), as FSIM uses it."""

import math
import operator
from functools import lru_cache, reduce
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Complex, Float

from fr_metrics.operations import roots
from fr_metrics.operations.order_statistics import median

WAVELENGTHS = (6.0, 12.0, 24.0, 48.0)
"""Wavelength of each scale's log-Gabor filter in pixels (authors' program of FSIM)."""
ORIENTATIONS = 4
"""Number of filter orientations, evenly spread over 180 degrees (authors' program of FSIM)."""
SIGMA_ON_F = 0.55
"""Radial width of a filter: standard deviation of its log-Gaussian over the centre frequency."""
D_THETA_ON_SIGMA = 1.2
"""Angle between orientations over the angular standard deviation of a filter."""
LOWPASS_CUTOFF, LOWPASS_ORDER = 0.45, 15
"""Butterworth low-pass that keeps the corners of the spectrum out: cycles per pixel, order."""
NOISE_DEVIATIONS = 2.0
"""Standard deviations above the mean noise energy at which the noise threshold lies."""
NOISE_DIVISOR = 1.7
"""Empirical divisor of the noise threshold for energies summed over scales (Kovesi)."""
EPSILON = 1e-4
"""Added to the local energy before dividing by it, in the units of the filter responses."""


class _FilterBank(NamedTuple):
    radial: np.ndarray
    angular: np.ndarray
    thresholds: np.ndarray
    """Noise threshold of each orientation over the root of its median finest squared amplitude."""


def phase_congruency(planes: Float[Array, "n h w"]) -> Float[Array, "n h w"]:
    """How far the Fourier components agree in phase at each pixel: 0 (not at all) to 1.

    Four scales of log-Gabor filters in four orientations; per orientation the local energy (after
    subtracting what noise would give, estimated from the median response of the finest scale), all
    summed and divided by the sum of the amplitudes. Follows Kovesi's phasecong2 with the settings
    of FSIM's authors, without boundary treatment: the Fourier transform is circular. Where all
    amplitudes are 0 (a constant image), the result is 0 instead of the 0/0 of the program.
    """
    bank = _filter_bank(*planes.shape[1:])
    dtype = planes.dtype
    # The filters ignore the mean; removing a constant offset exactly keeps the transform of a
    # constant image exactly zero.
    offset = lax.stop_gradient(planes[:, :1, :1])
    spectrum = jnp.fft.fft2(planes - offset)
    radial = jnp.asarray(bank.radial, dtype)

    def add_orientation(sums: tuple[Array, Array], filters: tuple[Array, Array]):
        angular, threshold = filters
        energy, amplitude = _energy_and_amplitude(spectrum, angular * radial, threshold)
        return (sums[0] + energy, sums[1] + amplitude), None

    # A loop, not four copies in a row: its buffers stay in the processor's cache.
    zeros = jnp.zeros_like(planes)
    orientations = jnp.asarray(bank.angular, dtype), jnp.asarray(bank.thresholds, dtype)
    (energy_sum, amplitude_sum), _ = lax.scan(add_orientation, (zeros, zeros), orientations)
    empty = amplitude_sum <= 0
    return jnp.where(empty, 0.0, energy_sum / jnp.where(empty, 1.0, amplitude_sum))


def _energy_and_amplitude(
    spectrum: Complex[Array, "n h w"], filters: Float[Array, "s h w"], threshold: Float[Array, ""]
) -> tuple[Float[Array, "n h w"], Float[Array, "n h w"]]:
    """Local energy above the noise, and the sum of the amplitudes, of one orientation."""
    responses = [
        jnp.fft.ifft2(lax.complex(spectrum.real * each, spectrum.imag * each)) for each in filters
    ]
    even = [response.real for response in responses]
    odd = [response.imag for response in responses]
    squared = [e**2 + o**2 for e, o in zip(even, odd, strict=True)]
    even_sum, odd_sum = reduce(operator.add, even), reduce(operator.add, odd)
    strength = roots.sqrt(even_sum**2 + odd_sum**2) + EPSILON
    mean_even, mean_odd = even_sum / strength, odd_sum / strength
    energy = reduce(
        operator.add,
        (
            e * mean_even + o * mean_odd - jnp.abs(e * mean_odd - o * mean_even)
            for e, o in zip(even, odd, strict=True)
        ),
    )
    noise = threshold * roots.sqrt(median(squared[0].reshape(len(spectrum), -1)))
    amplitude = reduce(operator.add, map(roots.sqrt, squared))
    return jnp.maximum(energy - noise[:, None, None], 0.0), amplitude


@lru_cache(maxsize=16)
def _filter_bank(height: int, width: int) -> _FilterBank:
    """Radial and angular filter factors in FFT order, in double precision."""
    x, y = np.meshgrid(_frequencies(width), _frequencies(height))
    radius = np.fft.ifftshift(np.hypot(x, y))
    theta = np.fft.ifftshift(np.arctan2(-y, x))
    lowpass = 1.0 / (1.0 + (radius / LOWPASS_CUTOFF) ** (2 * LOWPASS_ORDER))
    radius[0, 0] = 1.0  # any positive number: the filters are zero there, the logarithm is not
    spread = 2 * math.log(SIGMA_ON_F) ** 2
    radial = np.stack(
        [np.exp(-(np.log(radius * length) ** 2) / spread) * lowpass for length in WAVELENGTHS]
    )
    radial[:, 0, 0] = 0.0
    sigma = math.pi / ORIENTATIONS / D_THETA_ON_SIGMA
    angular = []
    for index in range(ORIENTATIONS):
        distance = theta - index * math.pi / ORIENTATIONS
        distance = np.abs(np.arctan2(np.sin(distance), np.cos(distance)))
        angular.append(np.exp(-(distance**2) / (2 * sigma**2)))
    thresholds = np.array([_noise_threshold(radial * each) for each in angular])
    return _FilterBank(radial, np.stack(angular), thresholds)


def _noise_threshold(filters: np.ndarray) -> float:
    """Threshold T for a median squared response of 1 at the finest scale.

    The squared response to noise is exponentially distributed, hence mean = median / ln 2. The
    noise energy of the summed scales follows a Rayleigh distribution; T is its mean plus a number
    of standard deviations, both proportional to tau.
    """
    kernels = np.real(np.fft.ifft2(filters)) * math.sqrt(filters[0].size)
    power = 1.0 / math.log(2.0) / np.sum(filters[0] ** 2)
    squares = np.sum(kernels**2)
    products = sum(
        np.sum(kernels[i] * kernels[j])
        for i in range(len(kernels))
        for j in range(i + 1, len(kernels))
    )
    tau = math.sqrt((2 * power * squares + 4 * power * products) / 2)
    mean = tau * math.sqrt(math.pi / 2)
    deviation = tau * math.sqrt(2 - math.pi / 2)
    return (mean + NOISE_DEVIATIONS * deviation) / NOISE_DIVISOR


def _frequencies(size: int) -> np.ndarray:
    """Centred frequencies in cycles per pixel; odd sizes reach one half exactly (Kovesi)."""
    if size % 2:
        return (np.arange(size) - (size - 1) / 2) / (size - 1)
    return np.arange(size) / size - 0.5
