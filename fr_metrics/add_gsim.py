"""Gradient similarity pooled by the analysis of the distortion's distribution."""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

from fr_metrics.operations import color, filters
from fr_metrics.operations.downsample import box_downsample
from fr_metrics.operations.images import Images
from fr_metrics.operations.pooling import pixel_mean
from fr_metrics.operations.similarity import dissimilarity, similarity
from fr_metrics.operations.soft_histogram import soft_histogram

GRADIENT_CONSTANT = 170.0
"""Constant of the gradient similarity in squared gray levels (chosen here: that of Xue 2014)."""
SCALE_EXPONENTS = (0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the images halved 1 to 4 times, before they are made to sum to 1 (paper: several
scales; chosen here: those of Wang 2003 without the full size, whose exponent is 0.0448)."""
RANK_BINS = 32
"""Steps from 0 to 1 in which distortions are ranked (chosen here, for speed)."""
DETAIL_LEVELS = 3
"""Levels of the Haar transform, each half the size before, whose details are compared (paper:
changes in frequency; transform and number chosen here)."""
DETAIL_CONSTANT = 1.0
"""Constant of the similarity of detail energies, squared bits (chosen here)."""
GRAY_BINS = 32
"""Bins of the histogram of gray values over 0..255 (paper: changes of the histogram, by its
entropy; number chosen here)."""
ENTROPY_CONSTANT = 1.0
"""Constant of the similarity of entropies, squared bits (chosen here)."""


def add_gsim(reference: Images, distorted: Images) -> Float[Array, " n"]:
    """Gradient similarity pooled by the distribution of the distortion (ADD-GSIM), gray images.

    Four factors, with d = 1 - S(g1, g2; 170) of the Prewitt gradient magnitudes at each scale::

        product over scales (1 - R(d))^w  S(e1, e2; 1)  S(H1, H2; 1)

    * scale: the images halved 1 to 4 times (2x2 means); w is the exponent of the scale.
    * intensity: R(d) is a mean of d that weights the worst pixel by 2 and the best by 0, linearly
      in their rank.
    * frequency: e is the sum over three levels of a Haar transform of log2(1 + the energy of the
      details per sample).
    * histogram: H is the entropy in bits of the gray values of the image halved once.

    Range (0, 1], higher is better, 1 for an image against itself; symmetric.

    NOT verified against the authors' program, which is not at hand. Taken from the paper are the
    local measure and the four parts of the pooling by the names it gives them: several scales,
    ranking-based weighting, a frequency variation-induced adjuster and an entropy gain multiplier.
    Chosen here are their formulas and numbers, each marked where it is defined. The entropies enter
    by their similarity, not by the gain of one over the other, whose formula is not known: with
    (H2 + 1) / (H1 + 1) in its place, one version in seven (24 photographs, 100 of KADID-10k's
    conditions) scores above its reference. Gray values are as for GMSD: ``uint8`` input is rounded
    to 8-bit gray like MATLAB's rgb2gray, floating input is not rounded. Ranks are exact to one of
    32 steps of d, the values are not stepped. The smaller side must hold 48 pixels, three at the
    coarsest scale.

    Reference: Gu, Wang, Zhai, Lin, Yang, Zhang 2016, doi:10.1109/TBC.2015.2511624
    """
    gradients1, detail1, entropy1 = _features(reference)
    gradients2, detail2, entropy2 = _features(distorted)
    quality = similarity(detail1, detail2, DETAIL_CONSTANT)
    quality = quality * similarity(entropy1, entropy2, ENTROPY_CONSTANT)
    for first, second, exponent in zip(gradients1, gradients2, SCALE_EXPONENTS, strict=True):
        distortion = dissimilarity(first, second, GRADIENT_CONSTANT)
        share = exponent / sum(SCALE_EXPONENTS)
        quality = quality * (1.0 - _ranked_mean(distortion)) ** share
    return quality


def _features(images: Images) -> tuple[list[Array], Float[Array, " n"], Float[Array, " n"]]:
    """Gradient magnitudes of each scale, logarithmic detail energy, and entropy."""
    planes = color.gray(images)
    gradients, detail = [], jnp.zeros(len(planes), planes.dtype)
    entropy = detail
    for scale in range(len(SCALE_EXPONENTS)):
        if scale < DETAIL_LEVELS:
            detail = detail + jnp.log2(1.0 + _detail_energy(planes))
        # Written out before the next scale and the gradient each read it several times.
        planes = filters.after(planes, lambda x: box_downsample(x, 2, "zero"))
        gradients.append(
            filters.after(planes, lambda x: filters.gradient_magnitude(x, filters.PREWITT))
        )
        if scale == 0:
            entropy = _entropy(soft_histogram(planes, GRAY_BINS, color.PEAK))
    return gradients, detail, entropy


def _ranked_mean(distortion: Float[Array, "n h w"]) -> Float[Array, " n"]:
    """Mean with weights that fall linearly from 2 to 0 with the rank, the largest value first."""
    shares = soft_histogram(distortion, RANK_BINS, 1.0)
    below = jnp.cumsum(shares, axis=-1)
    # The integral of 2 F from F - share to F, F being the share of values that are no larger.
    weights = shares * (2.0 * below - shares)
    return weights @ jnp.linspace(0.0, 1.0, RANK_BINS, dtype=distortion.dtype)


def _detail_energy(planes: Float[Array, "n h w"]) -> Float[Array, " n"]:
    """Energy per sample of the three details of an orthonormal Haar transform, summed.

    A last odd row or column is left out.
    """
    height, width = (size // 2 * 2 for size in planes.shape[1:])
    a, b, c, d = (
        planes[:, row:height:2, column:width:2] for row in range(2) for column in range(2)
    )
    return pixel_mean((a - b + c - d) ** 2 + (a + b - c - d) ** 2 + (a - b - c + d) ** 2) / 4


def _entropy(shares: Float[Array, "n bins"]) -> Float[Array, " n"]:
    """Entropy in bits; empty bins add nothing, to the gradient neither."""
    empty = shares <= 0
    terms = -shares * jnp.log(jnp.where(empty, 1.0, shares)) / math.log(2.0)
    return jnp.where(empty, 0.0, terms).sum(-1)
