"""Sparse feature fidelity, and the learned matrix it rests on."""

import operator
import os
from functools import lru_cache, reduce
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Float64, Shaped

from fr_metrics.operations import color, filters, roots
from fr_metrics.operations.images import Images
from fr_metrics.operations.order_statistics import median
from fr_metrics.operations.similarity import similarity

SIDE = 8
"""Side of a tile in pixels (Chang 2013, section III)."""
SAMPLES = 3 * SIDE**2
"""Samples in a tile: red, green and blue."""
FEATURES = 8
"""Features of a tile (Chang 2013, section III)."""
FEATURE_CONSTANT = 0.08
"""Constant of the feature similarity, squared units of the features (authors' program)."""
MEAN_CONSTANT = 0.001
"""Constant of the correlation of tile means, squared gray levels (authors' program)."""
ENERGY_SHARE = 0.4
"""Share of the mean feature energy that a tile must exceed to count (authors' program)."""
MEAN_SHARE = 0.8
"""Weight of the tile means against the features (authors' program)."""

MATRIX = Path(__file__).parent / "data" / "sff_matrix.npy"
"""The matrix that comes with the package."""

Matrix = Float64[np.ndarray, "8 192"]


def sff(
    reference: Images, distorted: Images, *, matrix: Matrix | None = None
) -> Float[Array, " n"]:
    """Sparse feature fidelity (SFF) of two RGB images.

    On tiles of 8x8 pixels, side by side from the top left, with means m1, m2 over all their 192
    samples x1, x2 and features A = W (x1 - m1), B = W (x2 - m2)::

        0.8 (sum d1 d2 + 0.001) / (sqrt(sum d1^2 sum d2^2) + 0.001) + 0.2 mean S(A, B; 0.08)

    d is a tile mean less the mean of all tile means, over the tiles whose |m1 - m2| is at least its
    median; S is taken over those whose mean |(x1 - m1) - (x2 - m2)| is at least its median and, of
    these, whose sum of A^2 is above 0.4 of its mean. Range [-1, 1], above 0 for all but inverted
    images, higher is better, 1 for an image against itself. Not symmetric: the energies are the
    reference's.

    Args:
        reference: validated batch ``(1 or N, H, W, 3)``.
        distorted: validated batch ``(N, H, W, 3)``.
        matrix: W, features by samples; the samples of a tile are ordered by channel, then column,
            then row. By default the one that comes with the package. :func:`load_matrix` reads
            another, such as the authors'.

    With the authors' matrix this gives the numbers of their MATLAB program (version 2.0). Their
    matrix may not be redistributed; ours was learned by their procedure from other photographs
    (``sff_matrix.json`` beside it has the details), so its scores are close, not identical:
    hence the metric does not count as verified. Where the program gives NaN, this gives a number:
    when the reference has no feature energy, every tile passes that test, so that two images of one
    gray level each score 1. As in the program, the last row or column of tiles is left out where it
    ends with the image, channels are not rounded, whatever the input, and the smaller side must
    have 9 pixels.

    The selections make the score jump where tiles change sides. Tile means of 8-bit images are
    multiples of 1/192, so ties at the medians are common, and rounding errors of the program's
    double precision decide which tiles count; the selections are therefore made in double precision
    here, whatever the precision of the rest. The gradient is the one for a fixed selection.

    Reference: Chang, Yang, Gan, Wang 2013, doi:10.1109/TIP.2013.2266579
    """
    weights = load_matrix() if matrix is None else _checked_matrix(matrix, "the matrix")
    changed, shifted = _selections(reference, distorted)
    first, second = _rows(reference), _rows(distorted)
    means1, means2 = _means(first), _means(second)
    features1, features2 = _features(first, means1, weights), _features(second, means2, weights)
    energy = (features1**2).sum(-1)
    chosen = changed & (energy > ENERGY_SHARE * _masked_mean(energy, changed)[:, None, None])
    chosen = jnp.where(chosen.any((1, 2), keepdims=True), chosen, changed)
    # Written out first: inside the mean, XLA's matrix product leaves its fast path.
    agreement = filters.after(
        features2, lambda features2: similarity(features1, features2, FEATURE_CONSTANT).mean(-1)
    )
    fidelity = _masked_mean(agreement, chosen)
    deviation1, deviation2 = (
        jnp.where(shifted, means - _masked_mean(means, shifted)[:, None, None], 0.0)
        for means in (means1, means2)
    )
    square1, square2, product = (
        each.sum((1, 2)) for each in (deviation1**2, deviation2**2, deviation1 * deviation2)
    )
    correlation = (product + MEAN_CONSTANT) / (
        roots.sqrt(square1) * roots.sqrt(square2) + MEAN_CONSTANT
    )
    return MEAN_SHARE * correlation + (1 - MEAN_SHARE) * fidelity


def load_matrix(path: str | os.PathLike = MATRIX) -> Matrix:
    """Read a feature matrix from an ``.npy`` file; nothing in it is unpickled.

    Args:
        path: the file; by default the matrix that comes with the package.

    Returns:
        The matrix for :func:`sff`, in double precision, read-only.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not an ``.npy`` file of real numbers, or its array is not one of
            finite numbers of shape (8, 192).
    """
    return _load_matrix(os.fspath(path))


@lru_cache(maxsize=8)
def _load_matrix(path: str) -> Matrix:
    try:
        with Path(path).open("rb") as file:
            matrix = np.lib.format.read_array(file, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path}: is not an .npy file of numbers ({error})") from error
    return _checked_matrix(matrix, path)


def _checked_matrix(matrix: np.ndarray, name: str) -> Matrix:
    """The matrix in double precision, read-only; what is wrong with it is said of ``name``."""
    matrix = np.asarray(matrix)
    if matrix.shape != (FEATURES, SAMPLES):
        raise ValueError(
            f"{name}: must have shape ({FEATURES}, {SAMPLES}), features by samples of a tile, got"
            f" {matrix.shape}"
        )
    if not np.issubdtype(matrix.dtype, np.floating) or not np.isfinite(matrix).all():
        raise ValueError(f"{name}: must hold finite floating-point numbers, got {matrix.dtype}")
    matrix = matrix.astype(np.float64)
    matrix.flags.writeable = False
    return matrix


def _tiles(images: Images) -> Shaped[Array, "n th 8 tw 8 3"]:
    rows, columns = ((size - 1) // SIDE for size in images.shape[1:3])
    cut = images[:, : SIDE * rows, : SIDE * columns]
    return cut.reshape(len(images), rows, SIDE, columns, SIDE, 3)


def _samples(images: Images) -> Shaped[Array, "192 n th tw"]:
    """Samples of the tiles as they come, by channel, then column, then row."""
    tiles = _tiles(images).transpose(5, 4, 2, 0, 1, 3)
    return tiles.reshape(SAMPLES, *tiles.shape[3:])


def _rows(images: Images) -> list[Float[Array, "n th tw 24"]]:
    """Each of the eight rows of every tile, its columns and channels together, in 0..255."""
    tiles = _tiles(images)
    tiles = tiles.reshape(*tiles.shape[:4], 3 * SIDE)
    # Not one array of tiles: sums over the list are passes over the images, without a large copy.
    return [_gray_levels(tiles[:, :, row]) for row in range(SIDE)]


def _gray_levels(samples: Shaped[Array, "..."]) -> Float[Array, "..."]:
    """In 0..255, in JAX's default floating dtype."""
    levels = samples.astype(jnp.result_type(float))
    return levels if samples.dtype == jnp.uint8 else levels * color.PEAK


def _means(rows: list[Float[Array, "n th tw 24"]]) -> Float[Array, "n th tw"]:
    return _over_samples(reduce(operator.add, rows).sum(-1))


def _over_samples(totals: Float[Array, "n th tw"]) -> Float[Array, "n th tw"]:
    # A divisor known only at run time: XLA would multiply by the rounded reciprocal of a constant,
    # and the last bit of a mean decides ties.
    return totals / (SAMPLES + 0.0 * totals)


def _features(
    rows: list[Float[Array, "n th tw 24"]], means: Float[Array, "n th tw"], matrix: Matrix
) -> Float[Array, "n th tw k"]:
    centred = jnp.concatenate([row - means[..., None] for row in rows], -1)
    by_sample = matrix.reshape(FEATURES, 3, SIDE, SIDE).transpose(3, 2, 1, 0)
    weights = jnp.asarray(by_sample.reshape(SAMPLES, FEATURES), centred.dtype)
    return jnp.einsum("nhws,sk->nhwk", centred, weights, precision="highest")


def _selections(
    reference: Images, distorted: Images
) -> tuple[Bool[Array, "n th tw"], Bool[Array, "n th tw"]]:
    """Tiles whose samples, and tiles whose means, differ at least as much as the median tile's."""
    reference, distorted = lax.stop_gradient((reference, distorted))
    with jax.enable_x64(True):
        means1, means2 = _means(_rows(reference)), _means(_rows(distorted))

        def add(total: Array, samples: tuple[Array, Array]) -> tuple[Array, None]:
            sample1, sample2 = (_gray_levels(sample) for sample in samples)
            return total + jnp.abs((sample1 - means1) - (sample2 - means2)), None

        # One sample after the other, in the order of the program's vectors: rounding errors of
        # the sum decide ties.
        samples = _samples(reference), _samples(distorted)
        changes, _ = lax.scan(add, jnp.zeros_like(means2), samples)
        return _upper_half(_over_samples(changes)), _upper_half(jnp.abs(means1 - means2))


def _upper_half(values: Float[Array, "n th tw"]) -> Bool[Array, "n th tw"]:
    # Written out first: computed twice, a value could be rounded differently from the median that
    # was picked among its copies.
    return filters.after(
        values, lambda values: values >= median(values.reshape(len(values), -1))[:, None, None]
    )


def _masked_mean(values: Float[Array, "n th tw"], mask: Bool[Array, "n th tw"]) -> Array:
    return jnp.where(mask, values, 0.0).sum((1, 2)) / mask.sum((1, 2))
