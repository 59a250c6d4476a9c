"""Small fixed filters on batches of planes: Gaussian windows and gradient operators."""

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from fr_metrics.operations import roots

Planes = Float[Array, "n h w"]

PREWITT = (1.0 / 3.0, 1.0 / 3.0)
"""Smoothing weights (outer, centre) of the Prewitt operator divided by 3."""

SCHARR = (3.0 / 16.0, 10.0 / 16.0)
"""Smoothing weights (outer, centre) of the Scharr operator divided by 16."""


def after(planes: Planes, function: Callable[[Array], Array], gate: Array | None = None) -> Array:
    """``function(planes)``, with ``planes`` written to memory in full before it starts.

    XLA on a CPU fuses two passes over an image into one that recomputes the first for every tap of
    the second, which is several times slower. A condition known only at run time keeps the passes
    apart (``optimization_barrier`` does not). It is true for every value an image can lead to, NaN
    included, so the zeros of the other branch are never seen. It is a condition on ``planes``, or,
    where these are tangents, which may not decide a branch, on the values of a ``gate``.
    """
    result = jax.eval_shape(function, planes)
    gate = planes if gate is None else gate
    corner = gate[(0,) * gate.ndim]
    return lax.cond(
        corner != jnp.finfo(gate.dtype).max,
        function,
        lambda _: jnp.zeros(result.shape, result.dtype),
        planes,
    )


def gaussian_taps(size: int, sigma: float) -> tuple[float, ...]:
    """A normalised one-dimensional Gaussian sampled at ``size`` points around its centre."""
    position = np.arange(size) - (size - 1) / 2
    taps = np.exp(-(position**2) / (2 * sigma**2))
    return tuple(float(tap) for tap in taps / taps.sum())


def correlate_valid(planes: Planes, taps: Sequence[float]) -> Float[Array, "n oh ow"]:
    """Separable correlation with ``taps`` along both axes, where the window fits entirely."""

    def along(axis: int, x: Array) -> Array:
        count = x.shape[axis] - len(taps) + 1
        total = taps[0] * lax.slice_in_dim(x, 0, count, axis=axis)
        for offset, tap in enumerate(taps[1:], start=1):
            total = total + tap * lax.slice_in_dim(x, offset, offset + count, axis=axis)
        return total

    return after(after(planes, partial(along, 1)), partial(along, 2))


def gradient(planes: Planes, smoothing: tuple[float, float]) -> tuple[Planes, Planes]:
    """Horizontal and vertical derivatives with a 3x3 operator and zeros outside the image.

    The zeros make a strong artificial gradient along the frame of every image; the published
    metrics all have it. ``smoothing`` is :data:`PREWITT` or :data:`SCHARR`.
    """
    outer, centre = smoothing
    padded = jnp.pad(planes, ((0, 0), (1, 1), (1, 1)))
    smooth_rows = outer * (padded[:, :-2] + padded[:, 2:]) + centre * padded[:, 1:-1]
    smooth_columns = outer * (padded[:, :, :-2] + padded[:, :, 2:]) + centre * padded[:, :, 1:-1]
    horizontal = smooth_rows[:, :, 2:] - smooth_rows[:, :, :-2]
    vertical = smooth_columns[:, 2:] - smooth_columns[:, :-2]
    return horizontal, vertical


def gradient_magnitude(planes: Planes, smoothing: tuple[float, float]) -> Planes:
    """Length of :func:`gradient`; where the image is flat its derivative is 0."""
    return length(*gradient(planes, smoothing))


def length(horizontal: Planes, vertical: Planes) -> Planes:
    """Length of the vectors of two components, with a zero derivative where both are 0."""
    return roots.sqrt(horizontal**2 + vertical**2)
