"""The feature similarity index with colour."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from fr_metrics.operations import color, filters, roots
from fr_metrics.operations.downsample import downsampled_channels
from fr_metrics.operations.images import Images
from fr_metrics.operations.phase_congruency import phase_congruency
from fr_metrics.operations.pooling import weighted_mean
from fr_metrics.operations.similarity import similarity

Y_WEIGHTS = (0.299, 0.587, 0.114)
"""R, G, B weights of the luminance Y (Zhang 2011, equation 9)."""
I_WEIGHTS = (0.596, -0.274, -0.322)
"""R, G, B weights of the chromaticity I (Zhang 2011, equation 9)."""
Q_WEIGHTS = (0.211, -0.523, 0.312)
"""R, G, B weights of the chromaticity Q (Zhang 2011, equation 9)."""
PHASE_CONSTANT = 0.85
"""T1, for phase congruency, no unit (Zhang 2011, section IV-A)."""
GRADIENT_CONSTANT = 160.0
"""T2, for gradient magnitudes, squared gray levels (Zhang 2011, section IV-A)."""
CHROMA_CONSTANT = 200.0
"""T3 = T4, for the chromaticities, squared gray levels (Zhang 2011, section IV-A)."""
CHROMA_EXPONENT = 0.03
"""Exponent lambda of the chromaticity term (Zhang 2011, section IV-A)."""


def fsimc(reference: Images, distorted: Images) -> Float[Array, " n"]:
    """Feature similarity with colour (FSIMc) of two RGB images.

    The mean, weighted by the larger phase congruency of the two images, of::

        S(PC1, PC2; 0.85) S(g1, g2; 160) Re((S(I1, I2; 200) S(Q1, Q2; 200))^0.03)

    with phase congruency PC and Scharr gradient magnitude g of Y in YIQ. Range (0, 1], higher is
    better, 1 for an image against itself; symmetric.

    Matches the authors' MATLAB program: images are averaged over F x F pixels, F = max(1,
    round(min(H, W) / 256)); YIQ is not rounded, whatever the input. Where the program gives NaN,
    this gives a number: a constant image has phase congruency 0, and when the weights of a pair
    are all 0 its mean is the unweighted one. The power's gradient is 0 where its base is 0.

    Reference: Zhang, Zhang, Mou, Zhang 2011, doi:10.1109/TIP.2011.2109730
    """
    phase1, gradient1, i1, q1 = _features(reference)
    phase2, gradient2, i2, q2 = _features(distorted)
    chroma = similarity(i1, i2, CHROMA_CONSTANT) * similarity(q1, q2, CHROMA_CONSTANT)
    quality = (
        similarity(phase1, phase2, PHASE_CONSTANT)
        * similarity(gradient1, gradient2, GRADIENT_CONSTANT)
        * roots.real_power(chroma, CHROMA_EXPONENT)
    )
    return weighted_mean(quality, jnp.maximum(phase1, phase2))


def _features(images: Images) -> tuple[Array, Array, Array, Array]:
    planes = downsampled_channels(images)
    luminance = color.combine(planes, Y_WEIGHTS)
    return (
        phase_congruency(luminance),
        filters.gradient_magnitude(luminance, filters.SCHARR),
        color.combine(planes, I_WEIGHTS),
        color.combine(planes, Q_WEIGHTS),
    )
