"""The Laplacian pyramid of matlabPyrTools, with its binomial filter and mirrored borders."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from fr_metrics.operations import filters

Planes = Float[Array, "n h w"]
Run = Callable[[Planes, Callable[[Array], Array]], Array]
"""How a pass over planes is run: as :func:`fr_metrics.operations.filters.after` does."""

BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)
"""The filter "binom5" with sum 1 (matlabPyrTools)."""
GAIN = 2.0
"""What one level is multiplied by: matlabPyrTools' filter is sqrt(2) times the binomial, along both
axes."""


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def laplacian_pyramid(planes: Planes, levels: int) -> list[Planes]:
    """Band-pass planes from fine to coarse, and last the low-pass that is left.

    Each level halves both sides (rounded up). A band is what its level has over the next one when
    that is enlarged again, so its mean is near 0; the low-pass has ``GAIN ** (levels - 1)`` times
    the mean of the image. Computed in double precision whatever the dtype of ``planes``, which the
    bands have too: in single precision a flat region would be left with a texture of rounding
    errors, which cannot be told from a faint one.
    """
    with jax.enable_x64(True):
        bands = _pyramid(planes.astype(jnp.float64), levels)
        return [filters.after(band, lambda band: band.astype(planes.dtype)) for band in bands]


@laplacian_pyramid.defjvp
def _laplacian_pyramid_jvp(levels: int, primals: tuple[Planes], tangents: tuple[Planes]):
    # Linear; its derivative needs no more than the precision of the planes.
    run = partial(filters.after, gate=primals[0])
    return laplacian_pyramid(*primals, levels), _pyramid(*tangents, levels, run)


def _pyramid(planes: Planes, levels: int, run: Run = filters.after) -> list[Planes]:
    bands = []
    for _ in range(levels - 1):
        low = _reduce(planes, run)
        bands.append(planes - _expand(low, *planes.shape[1:], run))
        planes = low
    return [*bands, planes]


def _reduce(planes: Planes, run: Run) -> Float[Array, "n oh ow"]:
    """Smooth and keep every second sample, beginning with the first."""

    def along(axis: int, gain: float, x: Array) -> Array:
        count = -(-x.shape[axis] // 2)
        padded = _padded(x, axis, (2, 2), "reflect")
        samples = (
            lax.slice_in_dim(padded, offset, offset + 2 * count - 1, 2, axis) for offset in range(5)
        )
        return _weighted(samples, [gain * tap for tap in BINOMIAL])

    return run(run(planes, partial(along, 1, GAIN)), partial(along, 2, 1.0))


def _expand(planes: Float[Array, "n oh ow"], height: int, width: int, run: Run) -> Planes:
    """Put a zero after every sample and smooth, up to the given size."""

    def along(axis: int, gain: float, size: int, x: Array) -> Array:
        count = x.shape[axis]
        # The mirror lies on the last sample: for even sizes that is a zero, and the sample before
        # it comes again; for odd sizes the sample before the last does.
        before = _padded(x, axis, (1, 0), "reflect")
        padded = _padded(before, axis, (0, 1), "reflect" if size % 2 else "symmetric")
        first, second, third = (
            lax.slice_in_dim(padded, offset, offset + count, axis=axis) for offset in range(3)
        )
        even = _weighted((first, second, third), [gain * tap for tap in BINOMIAL[::2]])
        odd = _weighted((second, third), [gain * tap for tap in BINOMIAL[1::2]])
        pairs = jnp.stack([even, odd], axis + 1)
        whole = pairs.reshape(*x.shape[:axis], 2 * count, *x.shape[axis + 1 :])
        return lax.slice_in_dim(whole, 0, size, axis=axis)

    return run(run(planes, partial(along, 2, 1.0, width)), partial(along, 1, GAIN, height))


def _padded(x: Array, axis: int, widths: tuple[int, int], mode: str) -> Array:
    return jnp.pad(x, [widths if each == axis else (0, 0) for each in range(x.ndim)], mode=mode)


def _weighted(planes: Iterable[Array], weights: Sequence[float]) -> Array:
    first, *rest = (weight * plane for weight, plane in zip(weights, planes, strict=True))
    return sum(rest, start=first)
