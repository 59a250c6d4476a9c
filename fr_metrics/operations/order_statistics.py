"""The exact median of non-negative maps, without sorting."""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

# Relative width of what counts as equal to the median in its derivative. XLA may compute the values
# once for the comparison and once for the selection, fused differently, a rounding or two apart;
# without it, no sample would then be the median and the derivative 0/0.
ROUNDINGS = 8


@jax.custom_jvp
def median(values: Float[Array, "n m"]) -> Float[Array, " n"]:
    """Median of each row of non-negative numbers; for even counts the mean of the middle two.

    Non-negative floats are ordered as their bit patterns are, so the k-th smallest is found by
    bisection on the integers: one counting pass per bit, much faster on a CPU than sorting. The
    derivative goes to the middle samples, shared equally among those equal up to rounding.
    """
    lower, upper = _middle_pair(values)
    return 0.5 * lower + 0.5 * upper


@median.defjvp
def _median_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (values,) = primals
    (tangent,) = tangents
    lower, upper = _middle_pair(values)
    tolerance = ROUNDINGS * jnp.finfo(values.dtype).eps

    def slope(middle: Array) -> Array:
        shared = jnp.abs(values - middle[:, None]) <= tolerance * middle[:, None]
        return jnp.mean(tangent, axis=-1, where=shared)

    return 0.5 * lower + 0.5 * upper, 0.5 * slope(lower) + 0.5 * slope(upper)


def _middle_pair(values: Array) -> tuple[Array, Array]:
    count = values.shape[-1]
    rank = (count + 1) // 2
    bits = 8 * values.dtype.itemsize
    integer = jnp.dtype(f"int{bits}")
    # abs() turns a negative zero, whose pattern sorts below everything, into zero.
    patterns = lax.bitcast_convert_type(jnp.abs(values), integer)

    def halve(_: int, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bounds
        middle = low + (high - low) // 2
        below = jnp.sum(patterns <= middle[:, None], axis=-1)
        enough = below >= rank
        return jnp.where(enough, low, middle + 1), jnp.where(enough, middle, high)

    low = jnp.zeros(values.shape[:1], integer)
    high = jnp.full(values.shape[:1], jnp.iinfo(integer).max, integer)
    low, _ = lax.fori_loop(0, bits - 1, halve, (low, high))
    lower = lax.bitcast_convert_type(low, values.dtype)
    if count % 2:
        return lower, lower
    not_above = jnp.sum(values <= lower[:, None], axis=-1)
    next_above = jnp.min(jnp.where(values > lower[:, None], values, jnp.inf), axis=-1)
    return lower, jnp.where(not_above > rank, lower, next_above)
