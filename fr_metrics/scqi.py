"""The structural contrast-quality index."""

import math
import operator
from functools import reduce

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from fr_metrics.operations import color, filters, roots
from fr_metrics.operations.downsample import downsampled_channels
from fr_metrics.operations.images import Images
from fr_metrics.operations.pooling import weighted_mean
from fr_metrics.operations.similarity import similarity

L_WEIGHTS = (0.06, 0.63, 0.27)
"""R, G, B weights of the luminance L (paper: an LMN space; numbers of Zhang 2014, equation 11)."""
M_WEIGHTS = (0.30, 0.04, -0.35)
"""R, G, B weights of the chromaticity M (as for L)."""
N_WEIGHTS = (0.34, -0.60, 0.17)
"""R, G, B weights of the chromaticity N (as for L)."""
BLOCK = 4
"""Side in pixels of the blocks that are transformed (paper: a local DCT; size chosen here)."""
LOW, MIDDLE, HIGH = (1, 1), (2, 3), (4, 6)
"""First and last sum of the two DCT indices of each band (paper: three bands after the contrast
sensitivity function; limits chosen here, so that the middle one holds its peak of 3 to 6 cycles per
degree where a degree spans 16 pixels)."""
KURTOSIS_EXPONENT = 0.25
"""Exponent of the structuredness (paper: kurtosis of the DCT coefficients; exponent chosen here,
which makes the power a ratio of amplitudes: the fourth-order mean over the root mean square)."""
KURTOSIS_CONSTANT = 1.0
"""Keeps the kurtosis of a flat block defined, fourth power of gray levels (chosen here)."""
CONTRAST_CONSTANT = (0.03 * color.PEAK) ** 2
"""For the structural contrast and the three contrast energies, squared gray levels (chosen here:
C2 of Wang 2004, for local standard deviations as well)."""
BAND_EXPONENT = 1 / 3
"""Exponent of each band's contrast similarity (paper: a product of powers; chosen here, so that
the three bands together count as much as the structural contrast)."""
CHROMA_CONSTANT = 130.0
"""For the chromaticities, squared gray levels (chosen here: C3 of Zhang 2014, same LMN space)."""
CHROMA_EXPONENT = 0.020
"""Exponent of the chromaticity term (chosen here: beta of Zhang 2014, same LMN space)."""


def scqi(reference: Images, distorted: Images) -> Float[Array, " n"]:
    """Structural contrast-quality index (SC-QI) of two RGB images.

    The mean, weighted by the larger structural contrast t of the two images, of::

        S(t1, t2; 58.5) (S(l1, l2; 58.5) S(m1, m2; 58.5) S(h1, h2; 58.5))^(1/3)
        Re((S(M1, M2; 130) S(N1, N2; 130))^0.020)

    over all 4x4 blocks of the luminance L, overlapping in every position. With the orthonormal DCT
    coefficients c of a block without the mean, t is its contrast sqrt(sum c^2 / 16) over the fourth
    root of their kurtosis (15 sum c^4 + 1) / ((sum c^2)^2 + 1), large for dense texture and small
    for single edges; l, m and h are the root energies sqrt(sum c^2 / 16) of the coefficients whose
    indices sum to 1, to 2 or 3, and to 4 to 6. M and N are the chromaticities at the pixel one
    below and right of a block's first. Range (0, 1], higher is better, 1 for an image against
    itself; symmetric.

    NOT verified against the authors' program, which is not at hand. Taken from the paper are the
    features: contrast against structuredness measured by the kurtosis of a local DCT, contrast
    energies in three bands, chromaticities in an LMN space, and similarities S multiplied as
    powers. Chosen here are the numbers, each marked where it is defined and those of LMN taken
    from VSI; the block size; averaging F x F pixels first, F = max(1, round(min(H, W) / 256)), as
    FSIMc and VSI do; and weighting the mean as they do. Channels are not rounded, whatever the
    input. When the weights of a pair are all 0 its mean is the unweighted one. The smaller side
    must hold 4 pixels.

    Reference: Bae, Kim 2016, doi:10.1109/TIP.2016.2545863
    """
    (structural1, *bands1), m1, n1 = _features(reference)
    (structural2, *bands2), m2, n2 = _features(distorted)
    bands = reduce(
        operator.mul,
        (
            similarity(first, second, CONTRAST_CONSTANT)
            for first, second in zip(bands1, bands2, strict=True)
        ),
    )
    chroma = similarity(m1, m2, CHROMA_CONSTANT) * similarity(n1, n2, CHROMA_CONSTANT)
    quality = (
        similarity(structural1, structural2, CONTRAST_CONSTANT)
        * roots.power(bands, BAND_EXPONENT)
        * roots.real_power(chroma, CHROMA_EXPONENT)
    )
    return weighted_mean(quality, jnp.maximum(structural1, structural2))


def _features(images: Images) -> tuple[Float[Array, "4 n oh ow"], Array, Array]:
    """Structural contrast and the root energies of the bands of every block, and M and N there."""
    planes = downsampled_channels(images)
    height, width = (size - BLOCK + 1 for size in planes[0].shape[1:])
    # The pixel at the upper left of the block's centre stands for its colour.
    inner = (BLOCK - 1) // 2
    chromaticities = (
        color.combine(planes, weights)[:, inner : inner + height, inner : inner + width]
        for weights in (M_WEIGHTS, N_WEIGHTS)
    )
    # Each pass is written out before the next reads it several times.
    columns = filters.after(color.combine(planes, L_WEIGHTS), lambda x: jnp.stack(_dct(x, axis=2)))
    return filters.after(columns, _contrasts), *chromaticities


def _dct(planes: Float[Array, "*n h w"], axis: int) -> list[Array]:
    """The orthonormal DCT of every 4 samples in a row along an axis, a map per frequency.

    Equal samples are subtracted before anything is multiplied, so a flat block gives exact zeros.
    """
    count = planes.shape[axis] - BLOCK + 1
    first, second, third, fourth = (
        lax.slice_in_dim(planes, offset, offset + count, axis=axis) for offset in range(BLOCK)
    )
    outer_sum, inner_sum = first + fourth, second + third
    outer_difference, inner_difference = first - fourth, second - third
    wide, narrow = (math.cos(math.pi * odd / 8) / math.sqrt(2) for odd in (1, 3))
    return [
        0.5 * (outer_sum + inner_sum),
        wide * outer_difference + narrow * inner_difference,
        0.5 * (outer_sum - inner_sum),
        narrow * outer_difference - wide * inner_difference,
    ]


def _contrasts(columns: Float[Array, "4 n h ow"]) -> Float[Array, "4 n oh ow"]:
    """Structural contrast and the root energy of each band, from the DCT along the rows."""
    energies = {
        (row, column): coefficient**2
        for column in range(BLOCK)
        for row, coefficient in enumerate(_dct(columns[column], axis=1))
        if row + column > 0
    }
    bands = [
        reduce(operator.add, (e for index, e in energies.items() if low <= sum(index) <= high))
        for low, high in (LOW, MIDDLE, HIGH)
    ]
    total = reduce(operator.add, bands)
    fourth = reduce(operator.add, (energy**2 for energy in energies.values()))
    kurtosis = (len(energies) * fourth + KURTOSIS_CONSTANT) / (total**2 + KURTOSIS_CONSTANT)
    structural = roots.sqrt(total / BLOCK**2 / roots.power(kurtosis, 2 * KURTOSIS_EXPONENT))
    return jnp.stack([structural, *(roots.sqrt(band / BLOCK**2) for band in bands)])
