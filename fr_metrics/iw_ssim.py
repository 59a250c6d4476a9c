"""Information content weighted SSIM."""

from collections.abc import Iterator
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from fr_metrics.ms_ssim import SCALE_EXPONENTS
from fr_metrics.operations import color, filters, roots
from fr_metrics.operations.images import Images
from fr_metrics.operations.laplacian_pyramid import GAIN, laplacian_pyramid
from fr_metrics.operations.pooling import pixel_mean, weighted_mean
from fr_metrics.operations.resize import resize_matrix
from fr_metrics.ssim import MIDDLE_GRAY, WINDOW, luminance_and_structure

NOISE_VARIANCE = 0.4
"""Variance of the visual noise in both images, squared gray levels (Wang and Li 2011)."""
FLAT = 1e-15
"""Variance below which a neighbourhood is flat, squared gray levels (authors' program)."""
MARGIN = len(WINDOW) // 2
"""Pixels by which the map of the window's places is smaller than the plane, on each side."""

Planes = Float[Array, "n h w"]
Covariance = Float[Array, "m k k"]


def iw_ssim(reference: Images, distorted: Images) -> Float[Array, " n"]:
    """Information content weighted structural similarity (IW-SSIM) of two gray images.

    MS-SSIM on the five levels of a Laplacian pyramid, with exponents that sum to 1, pooled with
    the information a neighbourhood shares with what is seen of it::

        prod_s [ sum_p w cs / sum_p w ]^(v_s),  s = 1..4, times [ mean_p l cs ]^(v_5)
        w = sum_j log2(1 + ((u + (1 + g^2) 0.4) q L_j + 0.4 u) / 0.4^2)

    The distorted 3x3 window is g times the reference's plus a residual of variance u; the
    neighbourhood of the reference (the window and, except at s = 4, the coarser band's sample
    above it) is a Gaussian scale mixture, L_j are the eigenvalues of its covariance over the whole
    band and q is its squared Mahalanobis length over its size. Range [0, 1], higher is better, 1
    for an image against itself. Not symmetric: q and L come from the reference.

    Matches the authors' MATLAB program on gray images: ``uint8`` input is rounded to 8-bit gray
    like MATLAB's rgb2gray, floating input is not rounded. As in :func:`fr_metrics.ms_ssim.ms_ssim`
    a negative mean of a scale, whose power is complex in MATLAB, counts as 0, with gradient 0.
    Where the program gives NaN or inverts a singular matrix, this gives a number: directions in
    which the reference's neighbourhoods do not vary carry no information, so a constant reference
    has q = L = 0, and when the weights of a scale are all 0 its mean is the unweighted one. The
    program takes windows of a variance below 1e-15 as flat, which rounding errors of single
    precision exceed, so the pyramid is computed in double precision whatever the input. The
    authors' program refuses sides below 176 pixels.

    Reference: Wang, Li 2011, doi:10.1109/TIP.2010.2092435
    """
    # One pyramid of all planes is much less to compile than two.
    planes = jnp.concatenate([color.gray(reference), color.gray(distorted)])
    bands = laplacian_pyramid(planes, len(SCALE_EXPONENTS))
    pairs = [(band[: len(reference)], band[len(reference) :]) for band in bands]
    *exponents, last_exponent = (each / sum(SCALE_EXPONENTS) for each in SCALE_EXPONENTS)
    luminance, structure = luminance_and_structure(
        *pairs[-1], origin=MIDDLE_GRAY * GAIN ** len(exponents)
    )
    product = roots.power(pixel_mean(luminance * structure), last_exponent)
    for scale, exponent in enumerate(exponents):
        first, second = pairs[scale]
        _, structure = luminance_and_structure(first, second, origin=0.0)
        parent = None if scale == len(exponents) - 1 else pairs[scale + 1][0]
        weight = _information(first, second, parent)
        mean = filters.after(weight, partial(weighted_mean, structure))
        product = product * roots.power(mean, exponent)
    return product


def _information(
    reference: Float[Array, "m h w"],
    distorted: Float[Array, "n h w"],
    parent: Float[Array, "m ph pw"] | None,
) -> Float[Array, "n oh ow"]:
    """The weight of each place of the window: bits shared between reference and distorted image."""
    scale, eigenvalues = _scale_mixture(reference, parent)
    gain, residual = _gain_and_residual(reference, distorted)
    signal = (residual + (1 + gain**2) * NOISE_VARIANCE) * scale / NOISE_VARIANCE**2
    noise = 1 + residual / NOISE_VARIANCE
    bits = sum(
        jnp.log2(noise + signal * eigenvalues[:, index, None, None])
        for index in range(eigenvalues.shape[1])
    )
    return jnp.where(bits < FLAT, 0.0, bits)


def _scale_mixture(
    planes: Float[Array, "m h w"], parent: Float[Array, "m ph pw"] | None
) -> tuple[Float[Array, "m oh ow"], Float[Array, "m k"]]:
    """The squared Mahalanobis length of each neighbourhood over its size, and the eigenvalues."""
    neighbours = list(_windows(planes, 1))
    if parent is not None:
        neighbours.append(_enlarge(parent, *planes.shape[1:])[:, 1:-1, 1:-1])
    vectors = jnp.stack(neighbours, 1)
    flat = vectors.reshape(*vectors.shape[:2], -1)
    count, places = flat.shape[1:]
    covariance = jnp.einsum("mip,mjp->mij", flat, flat, precision="highest") / places
    eigenvalues, inverse = _eigenvalues_and_inverse(covariance)
    inner = MARGIN - 1
    samples = [neighbour[:, inner:-inner, inner:-inner] for neighbour in neighbours]
    # Written out, the quadratic form is one pass over the samples; a matrix product is not.
    length = jnp.zeros((), planes.dtype)
    for row in range(count):
        twice = sum(
            inverse[:, row, column, None, None] * samples[column]
            for column in range(row + 1, count)
        )
        length += samples[row] * (inverse[:, row, row, None, None] * samples[row] + 2 * twice)
    return length / count, eigenvalues


@jax.custom_jvp
def _eigenvalues_and_inverse(covariance: Covariance) -> tuple[Float[Array, "m k"], Covariance]:
    """Eigenvalues and inverse, both 0 in the directions without variance.

    What is made of them does not depend on the basis, so their derivatives exist where those of
    the eigenvectors do not (at equal eigenvalues, such as the zeros of a constant image).
    """
    eigenvalues, _, inverse = _decomposed(covariance)
    return eigenvalues, inverse


@_eigenvalues_and_inverse.defjvp
def _eigenvalues_and_inverse_jvp(primals: tuple[Covariance], tangents: tuple[Covariance]):
    (covariance,), (tangent,) = primals, tangents
    eigenvalues, basis, inverse = _decomposed(covariance)
    slopes = jnp.einsum("mij,mik,mkj->mj", basis, tangent, basis, precision="highest")
    bend = -jnp.einsum("mij,mjk,mkl->mil", inverse, tangent, inverse, precision="highest")
    return (eigenvalues, inverse), (jnp.where(eigenvalues > 0, slopes, 0.0), bend)


def _decomposed(
    covariance: Covariance,
) -> tuple[Float[Array, "m k"], Covariance, Covariance]:
    eigenvalues, basis = jnp.linalg.eigh(covariance)
    # Below this an eigenvalue is the rounding error of the largest one.
    limit = eigenvalues[:, -1:] * covariance.shape[-1] * jnp.finfo(covariance.dtype).eps
    present = eigenvalues > jnp.maximum(limit, 0.0)
    reciprocals = jnp.where(present, 1.0 / jnp.where(present, eigenvalues, 1.0), 0.0)
    inverse = jnp.einsum("mij,mj,mkj->mik", basis, reciprocals, basis, precision="highest")
    return jnp.where(present, eigenvalues, 0.0), basis, inverse


def _gain_and_residual(
    reference: Float[Array, "m h w"], distorted: Float[Array, "n h w"]
) -> tuple[Float[Array, "n oh ow"], Float[Array, "n oh ow"]]:
    """Regression of the distorted 3x3 window on the reference's: slope and residual variance.

    Differences to the window's centre and the residuals themselves are squared, not the samples:
    in single precision the difference of large squares would leave little of a small variance.
    """
    first, second = (_differences(planes) for planes in (reference, distorted))
    variance = _covariance(first, first)
    textured = variance >= FLAT
    slope = _covariance(first, second) / jnp.where(textured, variance + FLAT, 1.0)
    slope = jnp.where(textured, slope, 0.0)
    residual = [b - slope * a for a, b in zip(first, second, strict=True)]
    return slope, _covariance(residual, residual)


def _differences(planes: Planes) -> list[Float[Array, "n oh ow"]]:
    centre = planes[:, MARGIN:-MARGIN, MARGIN:-MARGIN]
    return [window - centre for window in _windows(planes, MARGIN)]


def _covariance(first: list[Array], second: list[Array]) -> Float[Array, "n oh ow"]:
    count = len(first)
    products = sum(a * b for a, b in zip(first, second, strict=True))
    return (products - sum(first) * sum(second) / count) / count


def _windows(planes: Planes, margin: int) -> Iterator[Float[Array, "n oh ow"]]:
    """The nine samples of the 3x3 window around each pixel that is ``margin`` from the border."""
    height, width = (size - 2 * margin for size in planes.shape[1:])
    for row in (margin - 1, margin, margin + 1):
        for column in (margin - 1, margin, margin + 1):
            yield lax.slice(planes, (0, row, column), (len(planes), row + height, column + width))


def _enlarge(planes: Float[Array, "m ph pw"], height: int, width: int) -> Float[Array, "m h w"]:
    """A coarser band at the size of the band below it, with the offsets of the authors' program."""
    rows, columns = (
        jnp.asarray(_enlargement(size, target), planes.dtype)
        for size, target in zip(planes.shape[1:], (height, width), strict=True)
    )
    planes = jnp.einsum("oh,nhw->now", rows, planes, precision="highest")
    return jnp.einsum("pw,nhw->nhp", columns, planes, precision="highest")


@lru_cache(maxsize=64)
def _enlargement(size: int, target: int) -> np.ndarray:
    """Matrix of shape (target, size) that enlarges one axis.

    Bilinear to 4 size - 3 samples, one more sample at each end on the line through the last two,
    and of these every second one.
    """
    samples = 4 * size - 3
    inside = resize_matrix(size, samples, samples / size, "bilinear")
    first, last = 2 * inside[:1] - inside[1:2], 2 * inside[-1:] - inside[-2:-1]
    return np.concatenate([first, inside, last])[::2][:target]
