"""Spatial distortions: non-eccentricity patch (20), pixelate (21) and colour block (23)."""

import math

import numpy as np
from jaxtyping import Float64, Int

from distortions._matlab import FloatImage, round_half_away

PATCH_SIDE = 16  # pixels; the squares copied by 20
PATCH_MARGIN_BEFORE = 16  # first row and column, counted from 1, where a patch may start
PATCH_MARGIN_AFTER = 32  # pixels between the last start of a patch and the far border
PATCH_REACH = 16.0  # pixels; a copy moves by half of this at most, along either axis

BLOCK_SIDE = 32  # pixels; the squares painted by 23

# Scale of `pixelate` as a function of its level: 0.95 - a^0.6.
PIXELATE_OFFSET = 0.95
PIXELATE_EXPONENT = 0.6


def non_eccentricity_patch(
    image: FloatImage, sources: Int[np.ndarray, "n 2"], targets: Int[np.ndarray, "n 2"]
) -> FloatImage:
    """Copy squares of 16 pixels from `sources` to `targets`, top-left (row, column), in order.

    A later copy reads what the earlier ones have written.
    """
    result = image.copy()
    height, width = (min(PATCH_SIDE, side) for side in image.shape[:2])
    for (row, column), (to_row, to_column) in zip(sources, targets, strict=True):
        # The two squares may overlap, so the source is taken out before it is written.
        patch = result[row : row + height, column : column + width].copy()
        result[to_row : to_row + height, to_column : to_column + width] = patch
    return result


def random_non_eccentricity_patch(
    image: FloatImage, count: float, rng: np.random.Generator
) -> FloatImage:
    """Apply `non_eccentricity_patch` to `count` random squares, each moved by up to 8 pixels."""
    return non_eccentricity_patch(image, *draw_patches(image.shape[:2], int(count), rng))


def draw_patches(
    size: tuple[int, ...], count: int, rng: np.random.Generator
) -> tuple[Int[np.ndarray, "n 2"], Int[np.ndarray, "n 2"]]:
    """Draw the top-left corners (row, column) of `count` squares and of their copies.

    Per axis, a square starts at a uniform position, rounded, from 16 (counted from 1) to the
    side minus 32, and its copy at most 8 pixels away, so no copy leaves the picture. An axis
    shorter than 48 pixels has no such range; there any position that fits is allowed.
    """
    sides = np.array(size)
    last = np.maximum(sides - PATCH_SIDE + 1, 1)
    low, high = np.full(2, PATCH_MARGIN_BEFORE), sides - PATCH_MARGIN_AFTER
    low, high = np.where(high < low, 1, low), np.where(high < low, last, high)
    draws = rng.random((count, 2, 2))
    sources = round_half_away(low + draws[:, 0] * (high - low))
    targets = round_half_away(PATCH_REACH * (draws[:, 1] - 0.5) + sources)
    targets = np.clip(targets, 1, last)
    return sources.astype(np.int64) - 1, targets.astype(np.int64) - 1


def pixelate(image: FloatImage, amount: float) -> FloatImage:
    """Scale down by 0.95 - amount^0.6 and back to the original size, both by nearest neighbour.

    The small picture has ceil(scale H) x ceil(scale W) pixels. Indices are MATLAB's `imresize`:
    centres of pixels aligned, halves rounded up.
    """
    scale = PIXELATE_OFFSET - amount**PIXELATE_EXPONENT
    rows, columns = (_pixelate_indices(side, scale) for side in image.shape[:2])
    return image[rows[:, None], columns]


def _pixelate_indices(side: int, scale: float) -> Int[np.ndarray, " side"]:
    """Index into the original of each pixel of the pixelated axis."""
    small = math.ceil(scale * side)
    down = _nearest_indices(side, small, scale)
    return down[_nearest_indices(small, side, side / small)]


def _nearest_indices(old: int, new: int, scale: float) -> Int[np.ndarray, " new"]:
    """Index, from 0, of the input pixel nearest to each output pixel of a resized axis."""
    positions = np.arange(1, new + 1) / scale + 0.5 * (1 - 1 / scale)
    return np.clip(np.floor(positions + 0.5).astype(np.int64), 1, old) - 1


def color_block(
    image: FloatImage, corners: Int[np.ndarray, "n 2"], colors: Float64[np.ndarray, "n 3"]
) -> FloatImage:
    """Paint opaque squares of 32 pixels of RGB `colors` (0..1) at top-left (row, column) `corners`.

    A corner may be -1: the square then loses its first row or column.
    """
    result = image.copy()
    for (row, column), color in zip(corners, colors, strict=True):
        rows = slice(max(row, 0), max(row + BLOCK_SIDE, 0))
        columns = slice(max(column, 0), max(column + BLOCK_SIDE, 0))
        result[rows, columns] = color
    return result


def random_color_block(image: FloatImage, count: float, rng: np.random.Generator) -> FloatImage:
    """Apply `color_block` with `count` squares of random position and colour."""
    return color_block(image, *draw_blocks(image.shape[:2], int(count), rng))


def draw_blocks(
    size: tuple[int, ...], count: int, rng: np.random.Generator
) -> tuple[Int[np.ndarray, "n 2"], Float64[np.ndarray, "n 3"]]:
    """Draw the top-left corners (row, column) and the RGB colours of `count` squares.

    A corner, counted from 1, is uniform from 0 to the side minus 32 and then rounded; a colour is
    uniform in 0..1 per channel. In a picture smaller than a square, a square starts at its border.
    """
    room = np.maximum(np.array(size) - BLOCK_SIDE, 0)
    corners = round_half_away(rng.random((count, 2)) * room).astype(np.int64) - 1
    return corners, rng.random((count, 3))
