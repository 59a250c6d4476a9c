"""Mean deviation similarity index."""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

from fr_metrics.operations import color, filters, roots
from fr_metrics.operations.downsample import downsampled_channels
from fr_metrics.operations.images import Images
from fr_metrics.operations.pooling import pixel_mean
from fr_metrics.operations.similarity import dissimilarity

LUMINANCE_WEIGHTS = (0.2989, 0.5870, 0.1140)
"""R, G, B weights of the luminance L (authors' program)."""
H_WEIGHTS = (0.30, 0.04, -0.35)
"""R, G, B weights of the first chromaticity channel H (Nafchi 2016, section III-B)."""
M_WEIGHTS = (0.34, -0.60, 0.17)
"""R, G, B weights of the second chromaticity channel M (Nafchi 2016, section III-B)."""
GRADIENT_CONSTANT = 140.0
"""C1, for reference against distorted gradients, squared gray levels (Nafchi 2016)."""
FUSED_CONSTANT = 55.0
"""C2, for either image's gradient against the fused image's, squared gray levels (Nafchi 2016)."""
CHROMA_CONSTANT = 550.0
"""C3, for the chromaticity similarity, squared gray levels (Nafchi 2016)."""
GRADIENT_SHARE = 0.6
"""Weight alpha of the gradient similarity against the chromaticity similarity (Nafchi 2016)."""
POOLING_ROOT = 0.25
"""Exponent both of the similarity map and of its mean deviation (Nafchi 2016, section III-D)."""


def mdsi(reference: Images, distorted: Images) -> Float[Array, " n"]:
    """Mean deviation similarity index (MDSI) of two RGB images, combined as a weighted sum.

    With gradient magnitudes g of the reference, the distorted and the fused image (their mean),
    and the chromaticity channels H and M::

        GS  = S(g1, g2; 140) + S(g2, gf; 55) - S(g1, gf; 55)
        CS  = (2 (H1 H2 + M1 M2) + 550) / (H1^2 + H2^2 + M1^2 + M2^2 + 550)
        z   = (0.6 GS + 0.4 CS)^(1/4)
        Q   = (mean |z - mean z|)^(1/4)

    Range [0, 0.7] in practice, LOWER is better, exactly 0 for an image against itself. Not
    symmetric: the reference and the distorted image enter GS with opposite signs.

    Matches the authors' MATLAB program: images are averaged over F x F pixels, F = max(1,
    round(min(H, W) / 256)); where 0.6 GS + 0.4 CS is negative, z is the principal complex root and
    |z - mean z| the complex modulus. Colour channels are not rounded, whatever the input. The
    outer fourth root makes the gradient unbounded near identical images; at them it is 0.

    Reference: Nafchi, Shahkolaei, Hedjam, Cheriet 2016, doi:10.1109/ACCESS.2016.2604042
    """
    gradients1, h1, m1 = _features(reference)
    gradients2, h2, m2 = _features(distorted)
    fused = tuple(
        (first + second) / 2 for first, second in zip(gradients1, gradients2, strict=True)
    )
    g1, g2, gf = (filters.length(*gradient) for gradient in (gradients1, gradients2, fused))
    # Everything is expressed by what is missing to 1, so that equal images give exactly 0 and
    # nearly equal ones keep their digits under the outer fourth root.
    gradient_loss = (
        dissimilarity(g1, g2, GRADIENT_CONSTANT)
        + dissimilarity(g2, gf, FUSED_CONSTANT)
        - dissimilarity(g1, gf, FUSED_CONSTANT)
    )
    chroma_loss = ((h1 - h2) ** 2 + (m1 - m2) ** 2) / (
        h1**2 + h2**2 + m1**2 + m2**2 + CHROMA_CONSTANT
    )
    loss = GRADIENT_SHARE * gradient_loss + (1 - GRADIENT_SHARE) * chroma_loss
    real, imaginary = _one_minus_root(loss)
    deviation = pixel_mean(
        roots.sqrt(
            (real - pixel_mean(real)[:, None, None]) ** 2
            + (imaginary - pixel_mean(imaginary)[:, None, None]) ** 2
        )
    )
    # Compilers may round the two images' features differently; a fourth root would show it.
    same = jnp.all(reference == distorted, axis=(1, 2, 3))
    return roots.power(jnp.where(same, 0.0, deviation), POOLING_ROOT)


def _features(images: Images) -> tuple[tuple[Array, Array], Array, Array]:
    planes = downsampled_channels(images)
    luminance = color.combine(planes, LUMINANCE_WEIGHTS)
    return (
        filters.gradient(luminance, filters.PREWITT),
        color.combine(planes, H_WEIGHTS),
        color.combine(planes, M_WEIGHTS),
    )


def _one_minus_root(loss: Array) -> tuple[Array, Array]:
    """Real and imaginary part of 1 - (1 - loss)^(1/4), the root taken as a principal one."""
    positive = loss < 1.0
    below = jnp.where(positive, loss, 0.0)
    ordinary = -jnp.expm1(POOLING_ROOT * jnp.log1p(-below))
    magnitude = roots.power(loss - 1.0, POOLING_ROOT)
    angle = math.pi * POOLING_ROOT
    real = jnp.where(positive, ordinary, 1.0 - magnitude * math.cos(angle))
    imaginary = jnp.where(positive, 0.0, -magnitude * math.sin(angle))
    return real, imaginary
