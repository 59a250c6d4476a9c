"""Activations of pictures that share a batch, and the pools that work on them.

A `Map` holds activations and how much of them belongs to each picture. Pictures of several sizes
lie in the upper left corners of a common canvas and their sizes come with them; every layer then
sees zeros where a picture ends, as its own padding would be, and every average leaves the rest of
the canvas out, so that each picture's numbers are those it has alone, up to rounding.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int


class Map(NamedTuple):
    """Activations of a batch, and how much of them belongs to each picture."""

    values: Float[Array, "n h w c"]
    sizes: Int[Array, "n 2"] | None = None
    """(height, width) of each picture's part, in the upper left corner; None is everything. What
    lies outside it means nothing."""

    def inside(self) -> Bool[Array, "n h w 1"]:
        """Where the pictures are; all true without sizes."""
        n, h, w, _ = self.values.shape
        if self.sizes is None:
            return jnp.ones((n, h, w, 1), bool)
        rows = jnp.arange(h) < self.sizes[:, :1]
        columns = jnp.arange(w) < self.sizes[:, 1:]
        return (rows[:, :, None] & columns[:, None, :])[..., None]

    def cut_out(self) -> Float[Array, "n h w c"]:
        """The values, zero outside the pictures."""
        return self.values if self.sizes is None else jnp.where(self.inside(), self.values, 0)

    def mean(self) -> Float[Array, "n c"]:
        """Average over each picture's places, in float32."""
        if self.sizes is None:
            return self.values.mean(axis=(1, 2), dtype=jnp.float32)
        places = self.sizes.prod(axis=1, keepdims=True).astype(jnp.float32)
        return self.cut_out().sum(axis=(1, 2), dtype=jnp.float32) / places


Sides = int | tuple[int, int]
"""Places of zeros on each side, or before and after, the same for rows and columns."""


def both_sides(padding: Sides) -> tuple[int, int]:
    """Return the places before and after."""
    return (padding, padding) if isinstance(padding, int) else padding


def sizes_after(
    sizes: Int[Array, "n 2"] | None, kernel: tuple[int, int], stride: int, padding: Sides = 0
) -> Int[Array, "n 2"] | None:
    """Return the sizes of what a convolution or pool makes of pictures of these sizes.

    Args:
        sizes: (height, width) of each picture; None stays None.
        kernel: (height, width).
        stride: in both directions.
        padding: places added.
    """
    if sizes is None:
        return None
    return (sizes + sum(both_sides(padding)) - jnp.asarray(kernel)) // stride + 1


def max_pool(x: Float[Array, "n h w c"], window: int = 3) -> Float[Array, "n h2 w2 c"]:
    """Maximum of `window` × `window` places, stride 2, no padding."""
    return nnx.max_pool(x, (window, window), (2, 2), "VALID")


def max_pool_on(x: Map, window: int = 3, *, padding: Sides = 0) -> Map:
    """The same for pictures of several sizes on one canvas, with zeros around them if wanted.

    Args:
        x: activations.
        window: places of a side.
        padding: zeros on each side, or before and after.
    """
    values = x.values
    if padding:
        sides = both_sides(padding)
        values = jnp.pad(x.cut_out(), ((0, 0), sides, sides, (0, 0)))
    return Map(max_pool(values, window), sizes_after(x.sizes, (window, window), 2, padding))


def average_pool(x: Map) -> Map:
    """3×3 mean, stride 1, as large as before; beyond a picture's edges nothing is counted."""
    _, h, w, _ = x.values.shape
    sizes = jnp.array([[h, w]]) if x.sizes is None else x.sizes

    def counted(length: int, sizes: Int[Array, " n"]) -> Int[Array, "n s"]:
        place = jnp.arange(length)
        return 3 - (place == 0).astype(int) - (place == sizes[:, None] - 1)

    rows, columns = counted(h, sizes[:, 0]), counted(w, sizes[:, 1])
    count = (rows[:, :, None] * columns[:, None, :])[..., None]
    nine = (1, 3, 3, 1), (1, 1, 1, 1), "SAME"
    total = jax.lax.reduce_window(x.cut_out(), 0.0, jax.lax.add, *nine)
    return Map(total / count.astype(total.dtype), x.sizes)


PYRAMID = (1, 2, 3)  # cells a side of the grids of spatial pyramid pooling; KonIQ-10k, table 5
PYRAMID_CELLS = sum(cells * cells for cells in PYRAMID)


def pyramid_means(x: Map) -> Float[Array, "n p"]:
    """Averages over grids of 1×1, 2×2 and 3×3 of each picture, in this order, each row by row.

    KonIQ-10k, doi:10.1109/TIP.2020.2967829, table 5: "spatial pyramid pooling, with average pooling
    and sizes 1, 2, 3". PYRAMID_CELLS numbers for each channel.
    """
    grids = [grid_means(x, cells) for cells in PYRAMID]
    return jnp.concatenate([grid.reshape(len(grid), -1) for grid in grids], axis=1)


def grid_means(x: Map, cells: int) -> Float[Array, "n k k c"]:
    """Averages over a grid of `cells` × `cells` that spans each picture, in float32.

    Cell i of k covers the places floor(i·h/k) ... ceil((i+1)·h/k) - 1 of h, so that cells share a
    place where the size does not divide (adaptive average pooling).
    """
    n, h, w, _ = x.values.shape
    sizes = jnp.full((n, 2), jnp.array([h, w])) if x.sizes is None else x.sizes
    rows, columns = _shares(sizes[:, 0], h, cells), _shares(sizes[:, 1], w, cells)
    exact = jax.lax.Precision.HIGHEST
    lines = jnp.einsum("nih,nhwc->niwc", rows, x.cut_out(), precision=exact)
    return jnp.einsum("njw,niwc->nijc", columns, lines, precision=exact)


def _shares(sizes: Int[Array, " n"], length: int, cells: int) -> Float[Array, "n k s"]:
    """What each of `length` places counts in each cell's average."""
    number = jnp.arange(cells)
    begins = number * sizes[:, None] // cells
    ends = -((number + 1) * -sizes[:, None] // cells)  # rounded up
    place = jnp.arange(length)
    within = (place >= begins[..., None]) & (place < ends[..., None])
    return within / (ends - begins)[..., None].astype(jnp.float32)
