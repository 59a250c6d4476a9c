"""The visual saliency based index and the saliency (SDSP) it rests on."""

from functools import lru_cache

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from fr_metrics.operations import color, filters, roots
from fr_metrics.operations.downsample import automatic_factor, box_downsample
from fr_metrics.operations.images import Images
from fr_metrics.operations.pooling import weighted_mean
from fr_metrics.operations.resize import resize
from fr_metrics.operations.similarity import similarity

L_WEIGHTS = (0.06, 0.63, 0.27)
"""R, G, B weights of the luminance L (Zhang 2014, equation 11)."""
M_WEIGHTS = (0.30, 0.04, -0.35)
"""R, G, B weights of the chromaticity M (Zhang 2014, equation 11)."""
N_WEIGHTS = (0.34, -0.60, 0.17)
"""R, G, B weights of the chromaticity N (Zhang 2014, equation 11)."""
SALIENCY_CONSTANT = 1.27
"""C1, for saliency, no unit (Zhang 2014, section III-D)."""
GRADIENT_CONSTANT = 386.0
"""C2, for gradient magnitudes, squared gray levels (Zhang 2014, section III-D)."""
CHROMA_CONSTANT = 130.0
"""C3, for the chromaticities, squared gray levels (Zhang 2014, section III-D)."""
GRADIENT_EXPONENT = 0.40
"""Exponent alpha of the gradient term (Zhang 2014, section III-D)."""
CHROMA_EXPONENT = 0.020
"""Exponent beta of the chromaticity term (Zhang 2014, section III-D)."""

SALIENCY_SIDE = 256
"""Side in pixels of the square that saliency is computed on (authors' program)."""
CENTRE_FREQUENCY = 0.021
"""Centre of the log-Gabor band-pass in cycles per pixel (authors' program)."""
BAND_SIGMA = 1.34
"""Width of the log-Gabor band-pass: standard deviation of the logarithm (authors' program)."""
CENTRE_SIGMA = 145.0
"""Fall-off of the centre prior in pixels of the square (authors' program)."""
WARMTH_SIGMA = 0.001
"""Fall-off of the colour prior, in the min-max scaled a and b of Lab (authors' program)."""
SRGB_TO_XYZ = (
    (0.4124564, 0.3575761, 0.1804375),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339, 0.1191920, 0.9503041),
)
"""Linear sRGB to CIE XYZ for the white D65."""
WHITE = (0.9642, 1.0, 0.8251)
"""White X, Y, Z of the Lab conversion: D50, against the D65 matrix, as in the authors' program."""
LAB_EPSILON, LAB_KAPPA = 0.008856, 903.3
"""Where CIE Lab's cube root gives way to a line, and the slope of that line."""


def vsi(reference: Images, distorted: Images) -> Float[Array, " n"]:
    """Visual saliency based index (VSI) of two RGB images.

    The mean, weighted by the larger saliency of the two images, of::

        S(v1, v2; 1.27) S(g1, g2; 386)^0.40 Re((S(M1, M2; 130) S(N1, N2; 130))^0.020)

    with SDSP saliency v, Scharr gradient magnitude g of the luminance L, and chromaticities M and
    N. Range (0, 1], higher is better, 1 for an image against itself; symmetric.

    Matches the authors' MATLAB program, resizing included: saliency is computed on the whole image
    squeezed to 256x256 pixels, then all maps are averaged over F x F pixels, F = max(1,
    round(min(H, W) / 256)); channels are not rounded, whatever the input. Where the program gives
    NaN, this gives a number: an image of one colour has saliency 0, and when the weights of a pair
    are all 0 its mean is the unweighted one. The minima and maxima that scale the maps, and the
    narrow colour prior, make the gradient large at a few pixels.

    Reference: Zhang, Shen, Li 2014, doi:10.1109/TIP.2014.2346028
    """
    saliency1, gradient1, m1, n1 = _features(reference)
    saliency2, gradient2, m2, n2 = _features(distorted)
    chroma = similarity(m1, m2, CHROMA_CONSTANT) * similarity(n1, n2, CHROMA_CONSTANT)
    quality = (
        similarity(saliency1, saliency2, SALIENCY_CONSTANT)
        * roots.power(similarity(gradient1, gradient2, GRADIENT_CONSTANT), GRADIENT_EXPONENT)
        * roots.real_power(chroma, CHROMA_EXPONENT)
    )
    return weighted_mean(quality, jnp.maximum(saliency1, saliency2))


def _features(images: Images) -> tuple[Array, Array, Array, Array]:
    full = color.channels(images)
    factor = automatic_factor(*images.shape[1:3])
    planes = [box_downsample(plane, factor, "zero") for plane in full]
    return (
        box_downsample(_saliency(full), factor, "zero"),
        filters.gradient_magnitude(color.combine(planes, L_WEIGHTS), filters.SCHARR),
        color.combine(planes, M_WEIGHTS),
        color.combine(planes, N_WEIGHTS),
    )


def _saliency(planes: tuple[Array, ...]) -> Float[Array, "n h w"]:
    """SDSP: band-passed Lab energy times a centre prior times a warm-colour prior, in 0..1."""
    height, width = planes[0].shape[1:]
    side = SALIENCY_SIDE
    # Rounding of the resize must not make an image of one colour look structured.
    uniform = jnp.stack([_spread(plane) <= 0 for plane in planes]).all(0)
    square = [resize(plane, side, side, "bilinear") for plane in planes]
    # The square is written out first, and Lab after it: five consumers would each compute it anew.
    lab = filters.after(
        jnp.stack(square), lambda planes: jnp.stack(_lab([each / color.PEAK for each in planes]))
    )
    band, centre = (jnp.asarray(each, square[0].dtype) for each in _band_and_centre())
    energy = jnp.zeros_like(square[0])
    for plane in lab:
        # The band is even, so that half of the spectrum holds all of it.
        spectrum = jnp.fft.rfft2(plane - lax.stop_gradient(plane[:, :1, :1]))
        filtered = jnp.fft.irfft2(lax.complex(spectrum.real * band, spectrum.imag * band))
        energy = energy + filtered**2
    coolness = _scaled(lab[1]) ** 2 + _scaled(lab[2]) ** 2
    warmth = -jnp.expm1(-coolness / WARMTH_SIGMA**2)
    saliency = jnp.where(uniform, 0.0, roots.sqrt(energy) * centre * warmth)
    # Written out first, or its minimum and its maximum would each compute it anew.
    return filters.after(resize(saliency, height, width, "bilinear"), _scaled)


def _spread(planes: Float[Array, "n h w"]) -> Float[Array, "n 1 1"]:
    return planes.max((1, 2), keepdims=True) - planes.min((1, 2), keepdims=True)


def _scaled(planes: Float[Array, "n h w"]) -> Float[Array, "n h w"]:
    """Stretched to 0..1 per image; all 0 for constant planes."""
    spread = _spread(planes)
    flat = spread <= 0
    above = planes - planes.min((1, 2), keepdims=True)
    return jnp.where(flat, 0.0, above / jnp.where(flat, 1.0, spread))


def _lab(channels: list[Array]) -> tuple[Array, Array, Array]:
    linear = [
        jnp.where(
            channel <= 0.04045,
            channel / 12.92,
            ((jnp.maximum(channel, 0.04045) + 0.055) / 1.055) ** 2.4,
        )
        for channel in channels
    ]
    compressed = []
    for weights, white in zip(SRGB_TO_XYZ, WHITE, strict=True):
        ratio = color.combine(linear, weights) / white
        compressed.append(
            jnp.where(
                ratio > LAB_EPSILON,
                jnp.exp(jnp.log(jnp.maximum(ratio, LAB_EPSILON)) / 3.0),
                (LAB_KAPPA * ratio + 16.0) / 116.0,
            )
        )
    x, y, z = compressed
    return 116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)


@lru_cache(maxsize=1)
def _band_and_centre() -> tuple[np.ndarray, np.ndarray]:
    """The log-Gabor band-pass, real FFT order, and the centre prior, in double precision."""
    index = np.arange(1, SALIENCY_SIDE + 1)
    u = (index - (SALIENCY_SIDE // 2 + 1)) / SALIENCY_SIDE
    radius = np.fft.ifftshift(np.hypot(*np.meshgrid(u, u)))
    inside = (radius > 0) & (radius <= 0.5)
    logarithm = np.log(np.where(inside, radius, 1.0) / CENTRE_FREQUENCY)
    band = np.where(inside, np.exp(-(logarithm**2) / (2 * BAND_SIGMA**2)), 0.0)
    offset = (index - SALIENCY_SIDE // 2) ** 2
    centre = np.exp(-(offset[:, None] + offset[None, :]) / CENTRE_SIGMA**2)
    return band[:, : SALIENCY_SIDE // 2 + 1], centre
