"""Sums and means over the pixels of a map."""

import math

from jaxtyping import Array, Float


def pixel_sum(maps: Float[Array, "n h w"]) -> Float[Array, " n"]:
    """Sum over all pixels: columns first, which XLA vectorises on a CPU, then across them."""
    return maps.sum(1).sum(1)


def pixel_mean(maps: Float[Array, "n h w"]) -> Float[Array, " n"]:
    """Mean over all pixels."""
    return pixel_sum(maps) / math.prod(maps.shape[1:])
