"""Histograms that change smoothly with the values they count."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from fr_metrics.operations import filters


def soft_histogram(
    maps: Float[Array, "n h w"], bins: int, highest: float
) -> Float[Array, "n bins"]:
    """The share of the values near each of ``bins`` centres evenly spread over 0..``highest``.

    A value between two centres counts for both, in proportion to its nearness, so the shares are
    continuous and piecewise linear in it, and their mean centre is the mean of the values.
    """
    centres = jnp.arange(bins, dtype=maps.dtype)

    def shares(position: Array) -> Array:
        nearness = jnp.maximum(1.0 - jnp.abs(position[..., None] - centres), 0.0)
        return nearness.sum((1, 2)) / (maps.shape[1] * maps.shape[2])

    # Written out first: each bin would compute the values anew.
    return filters.after(maps * ((bins - 1) / highest), shares)
