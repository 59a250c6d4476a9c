"""A metric's formula behind the checks of :func:`fr_metrics.score`."""

import functools
from collections.abc import Callable

import numpy as np
from jaxtyping import Array, Float

from fr_metrics.operations.images import Images, as_pairs

Formula = Callable[[Images, Images], Float[Array, " n"]]
"""Scores of a reference batch ``(1 or N, H, W, 3)`` and a distorted batch ``(N, H, W, 3)``."""


class Checked:
    """Call a formula with images that have been checked, single ones or batches.

    Concrete arrays are checked in full. While JAX is tracing (``jit``, ``grad``, ``vmap``), an
    argument that is traced has no values yet: its dtype, shape and size are checked, and that its
    floating values lie in 0..1 is the caller's promise. A score of other values means nothing.

    Args:
        formula: takes checked batches.
        name: of the metric, for messages.
        min_size: smallest side in pixels that the formula is defined for.
    """

    def __init__(self, formula: Formula, name: str, min_size: int):
        functools.update_wrapper(self, formula)
        self.formula = formula
        self._limit = {name: min_size}

    def __call__(
        self, reference: Images | np.ndarray, distorted: Images | np.ndarray
    ) -> Float[Array, "..."]:
        """Return one number for two single images, otherwise one per distorted image.

        Raises:
            TypeError: not arrays, a dtype that is neither uint8 nor floating, or one of each.
            ValueError: shapes that are not RGB images or do not match, images that are too small,
                or concrete floating values outside 0..1 or NaN.
        """
        first, second, single = as_pairs(reference, distorted, self._limit)
        values = self.formula(first, second)
        return values[0] if single else values

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Checked):
            return NotImplemented
        return (self.formula, self._limit) == (other.formula, other._limit)

    def __hash__(self) -> int:
        return hash((self.formula, *self._limit.items()))
