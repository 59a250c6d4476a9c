"""Sums and means over the pixels of a map, plain and weighted."""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float


def pixel_sum(maps: Float[Array, "n h w"]) -> Float[Array, " n"]:
    """Sum over all pixels: columns first, which XLA vectorises on a CPU, then across them."""
    return maps.sum(1).sum(1)


def pixel_mean(maps: Float[Array, "n h w"]) -> Float[Array, " n"]:
    """Mean over all pixels."""
    return pixel_sum(maps) / math.prod(maps.shape[1:])


def weighted_mean(maps: Float[Array, "n h w"], weight: Float[Array, "_ h w"]) -> Float[Array, " n"]:
    """Mean over all pixels by their weight; the plain mean where the weights sum to 0 or less."""
    weight = jnp.where(pixel_sum(weight)[:, None, None] <= 0, 1.0, weight)
    return pixel_sum(maps * weight) / pixel_sum(weight)
