"""Roots and powers whose gradient at zero is zero instead of infinite or undefined."""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float


def sqrt(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Square root of x >= 0; at 0 (and below, where rounding may lead) value and gradient are 0."""
    # The inner where keeps the derivative finite, the outer one picks the value; NaN stays NaN.
    zero = x <= 0
    return jnp.where(zero, 0.0, jnp.sqrt(jnp.where(zero, 1.0, x)))


def power(x: Float[Array, "..."], exponent: float) -> Float[Array, "..."]:
    """x ** exponent for x > 0 and exponent > 0; elsewhere value and gradient are 0."""
    zero = x <= 0
    return jnp.where(zero, 0.0, jnp.where(zero, 1.0, x) ** exponent)


def real_power(x: Float[Array, "..."], exponent: float) -> Float[Array, "..."]:
    """Real part of the principal complex power: |x|^e for x > 0, |x|^e cos(pi e) for x < 0."""
    magnitude = power(jnp.abs(x), exponent)
    return jnp.where(x < 0, magnitude * math.cos(math.pi * exponent), magnitude)
