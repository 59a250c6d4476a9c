"""Distributions of ratings on the absolute category rating scale."""

from jaxtyping import Array, Float

RATINGS = 5  # steps of the absolute category rating scale, 1 (bad) to 5 (excellent)


def expected_score(distribution: Float[Array, "n r"]) -> Float[Array, " n"]:
    """MOS(p) = Σ_n n p_n / Σ_n p_n, 1..N; of shares or counts, NumPy in and NumPy out, or JAX."""
    ratings = range(1, distribution.shape[-1] + 1)
    weighted = sum(n * distribution[..., n - 1] for n in ratings)
    return weighted / distribution.sum(axis=-1)
