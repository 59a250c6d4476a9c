"""The similarity of two feature maps that most of the metrics are built from."""

from jaxtyping import Array, Float


def dissimilarity(a: Float[Array, "..."], b: Float[Array, "..."], constant: float) -> Array:
    """1 - S(a, b) = (a - b)^2 / (a^2 + b^2 + C); exactly 0 for equal features in any precision."""
    return (a - b) ** 2 / (a**2 + b**2 + constant)


def similarity(a: Float[Array, "..."], b: Float[Array, "..."], constant: float) -> Array:
    """S(a, b) = (2ab + C) / (a^2 + b^2 + C), written so that S(a, a) is exactly 1."""
    return 1.0 - dissimilarity(a, b, constant)
